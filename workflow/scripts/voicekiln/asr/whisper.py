"""Speech to text by openai-whisper, in batches of a fixed shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import whisper
from whisper.audio import N_SAMPLES, SAMPLE_RATE

from voicekiln.errors import UserError

VERSION = 1
RATE_HZ = SAMPLE_RATE  # 16000
MAX_S = N_SAMPLES / SAMPLE_RATE  # 30 s, the model's window


@dataclass(frozen=True)
class Hypothesis:
    """What the recogniser heard in one segment, with Whisper's own scores."""

    text: str
    language: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


class WhisperRecogniser:
    """A Whisper checkpoint that reads segments.

    Args:
        checkpoint: file in openai-whisper's format; nothing is ever downloaded here.
        language: code as Whisper knows it, or None to detect it for each segment.
        batch: segments decoded together. Every batch is padded to this number, so that what a
            segment gets does not depend on how many others came with it.
        device: `cuda` (half precision) or `cpu`.
    """

    def __init__(self, checkpoint: Path, language: str | None, batch: int, device: str):
        try:
            self.model = whisper.load_model(str(checkpoint), device=device)
        except Exception as error:
            raise UserError(
                f"{checkpoint}: cannot be loaded as an openai-whisper checkpoint ({error})"
            ) from error
        # languages beyond Whisper's own list are detected: nearest is better than an error
        known = whisper.tokenizer.LANGUAGES
        self.language = language if language in known else None
        if not self.model.is_multilingual:
            self.language = "en"
        self.batch = batch
        self.device = device

    @torch.inference_mode()
    def __call__(self, segments: Sequence[np.ndarray]) -> list[Hypothesis]:
        """The hypotheses of at most `batch` segments.

        Args:
            segments: mono float32 at 16 kHz, `[n]` each, at most 30 s.
        """
        assert 0 < len(segments) <= self.batch
        mels = torch.zeros(
            self.batch, self.model.dims.n_mels, N_SAMPLES // 160, device=self.device
        )  # [B, n_mels, 3000]
        for i, samples in enumerate(segments):
            padded = whisper.pad_or_trim(torch.from_numpy(np.ascontiguousarray(samples)))
            mels[i] = whisper.log_mel_spectrogram(
                padded, self.model.dims.n_mels, device=self.device
            )
        for i in range(len(segments), self.batch):
            mels[i] = mels[0]
        options = whisper.DecodingOptions(
            language=self.language,
            temperature=0.0,
            without_timestamps=True,
            fp16=self.device != "cpu",
        )
        results = whisper.decode(self.model, mels.half() if options.fp16 else mels, options)
        return [
            Hypothesis(
                text=result.text.strip(),
                language=result.language,
                avg_logprob=round(float(result.avg_logprob), 5),
                no_speech_prob=round(float(result.no_speech_prob), 5),
                compression_ratio=round(float(result.compression_ratio), 5),
            )
            for result in results[: len(segments)]
        ]
