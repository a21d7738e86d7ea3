"""Speech flags by Silero's network, in its variant for frame sequences.

The model file is part of the package `silero-vad`; the package is not imported, as that would load
torch. The network processes 32 ms frames, each preceded by the last 4 ms of the previous one
(silero_vad/sequence_vad.py); its state is kept between calls, so blocks may have any size.
"""

from pathlib import Path

import numpy as np

from voicekiln import extras

FRAME, CONTEXT = 512, 64  # samples at 16 kHz
STATE = (1, 1, 128)
RATE_HZ, FRAMES_PER_S = 16_000, 100


def model_path() -> Path:
    """The network's file in the installed package; see `extras.package_file`."""
    name = "data/silero_vad_16k_sequence.onnx"
    return extras.package_file("silero_vad", name, "segment.engine", "webrtcvad")


class SileroVad:
    """Speech flags of a 16 kHz signal that arrives in blocks of any size."""

    rate_hz = RATE_HZ
    reach_frames = 6  # 10 ms frames by which its flags may lag at both ends

    def __init__(self, onset: float, offset: float):
        """
        Args:
            onset: probability at which speech starts.
            offset: probability below which it ends.
        """
        import onnxruntime  # slow to import, and not needed with another engine

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model_path(), options, providers=["CPUExecutionProvider"]
        )
        self.onset, self.offset = onset, offset
        self._pending = np.zeros(0, np.float32)
        self._context = np.zeros(CONTEXT, np.float32)
        self._hidden, self._cell = np.zeros(STATE, np.float32), np.zeros(STATE, np.float32)
        self._speaking = False
        self._n_frames = self._n_flags = 0

    def probabilities(self, samples: np.ndarray) -> np.ndarray:
        """Probabilities of the 32 ms frames completed by `[n]` float32 samples, `[n_frames]`."""
        pending = np.concatenate([self._pending, samples])
        n_frames = len(pending) // FRAME
        self._pending = pending[n_frames * FRAME :]
        if not n_frames:
            return np.zeros(0, np.float32)
        whole = np.concatenate([self._context, pending[: n_frames * FRAME]])
        frames = np.lib.stride_tricks.sliding_window_view(whole, CONTEXT + FRAME)[::FRAME]
        self._context = whole[-CONTEXT:]
        names = ["speech_probs", "hn", "cn"]
        inputs = {"input": np.ascontiguousarray(frames), "h": self._hidden, "c": self._cell}
        found, self._hidden, self._cell = self._session.run(names, inputs)
        return found.reshape(-1)

    def update(self, samples: np.ndarray) -> np.ndarray:
        """Flags of the 10 ms frames completed by `[n]` int16 samples, bool."""
        return self._flags(self.probabilities(samples.astype(np.float32) / 32768))

    def finish(self) -> np.ndarray:
        """Flags of the last frame, padded with silence."""
        missing = -len(self._pending) % FRAME
        return self._flags(self.probabilities(np.zeros(missing, np.float32)))

    def _flags(self, probabilities):
        """Apply hysteresis; each 10 ms frame takes the flag of the 32 ms frame at its middle."""
        speech = np.empty(len(probabilities), bool)
        for i, probability in enumerate(probabilities):
            self._speaking = probability >= (self.offset if self._speaking else self.onset)
            speech[i] = self._speaking
        begin, self._n_frames = self._n_frames, self._n_frames + len(speech)
        step = RATE_HZ // FRAMES_PER_S
        n_flags = max(self._n_flags, (self._n_frames * FRAME + step // 2 - 1) // step)
        middles = np.arange(self._n_flags, n_flags) * step + step // 2
        self._n_flags = n_flags
        return speech[middles // FRAME - begin]
