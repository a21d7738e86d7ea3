"""Predicted opinion scores of clips by DNSMOS, with the weights of the package speechmos.

Three scores of ITU-T P.835, from 1 (bad) to 5 (excellent): of the speech, of the background (5: no
audible noise), and overall. The network was trained on ratings of noisy and denoised speech in a
few languages. Its scores rank the clips of one speaker; they are not comparable across languages,
speakers or microphones. It mistakes a DC offset for noise, so the offset must be removed first, as
`normalize` does.
Reddy, Gopal, Cutler, "DNSMOS P.835: A Non-Intrusive Perceptual Objective Speech Quality Metric to
Evaluate Noise Suppressors" (ICASSP 2022).

Only the weights of the package are used. The package is not imported: it needs librosa, computes a
fourth score for every window, and by a rounding error omits the windows that start at 7 to 23 s.
"""

from pathlib import Path

import numpy as np
import soxr

from voicekiln import extras

VERSION = 1  # of the pre- and postprocessing; raise it if a score changes
SCORES = ("mos_signal", "mos_background", "mos_overall")
RATE_HZ = 16_000
WINDOW = 144_160  # samples, 9.01 s, the fixed input length of the network
MAX_WINDOWS = 3  # of a clip, evenly spaced: using all rarely changes a score by more than 0.04
# For each score, the polynomial that maps the output of the network to the scale of the listeners,
# highest power first; published with the weights.
CALIBRATION = np.array(
    [
        [-0.08397278, 1.22083953, 0.0052439],
        [-0.13166888, 1.60915514, -0.39604546],
        [-0.06766283, 1.11546468, 0.04602535],
    ]
)


def weights_path() -> Path:
    """The network's file in the installed package; see `extras.package_file`."""
    return extras.package_file(
        "speechmos", "dnsmos_models/sig_bak_ovr.onnx", "measure.mos", "false"
    )


class Rater:
    """Predicted opinion scores of a clip; one object may be used by several threads."""

    def __init__(self, max_windows: int | None = MAX_WINDOWS):
        """
        Args:
            max_windows: rated per clip; None: all.
        """
        path = weights_path()
        import onnxruntime  # slow to import, and needed for few corpora

        # One thread per call: measure.py rates several recordings in parallel, and with one thread
        # the sums are reproducible.
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._max_windows = max_windows

    def __call__(self, samples: np.ndarray, rate_hz: int) -> dict[str, float | None]:
        """`SCORES` of the clip; None if it is empty.

        Args:
            samples: `[n]` float32, full scale 1.
        """
        samples = soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ").astype(np.float32)
        if not len(samples):
            return dict.fromkeys(SCORES)
        samples, starts = windows(samples)
        if self._max_windows and len(starts) > self._max_windows:
            chosen = np.linspace(0, len(starts) - 1, self._max_windows).round().astype(int)
            starts = [starts[i] for i in chosen]
        # one batch of all windows is no faster and needs more memory
        raw = [
            self._session.run(None, {"input_1": samples[None, start : start + WINDOW]})[0][0]
            for start in starts
        ]
        each = [[np.polyval(c, x) for c, x in zip(CALIBRATION, row, strict=True)] for row in raw]
        mean = np.mean(each, axis=0)
        return {name: round(float(value), 3) for name, value in zip(SCORES, mean, strict=True)}


def windows(samples: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """A clip at `RATE_HZ`, repeated until it fills a window, and the starts of its windows.

    Windows start one second apart; a partial second at the end gets no window.
    """
    while len(samples) < WINDOW:
        samples = np.concatenate([samples, samples])
    n_windows = max(1, len(samples) // RATE_HZ - 9)  # 9.01 s each
    return samples, [i * RATE_HZ for i in range(n_windows)]
