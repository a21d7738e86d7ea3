"""Audio in the page: clips as data: URIs with their envelopes."""

import base64
import io
from pathlib import Path

import numpy as np
import soundfile

MAX_CLIP_S = 12.0
ENVELOPE_POINTS = 140


class Clips:
    """Embeds audio until a byte budget is spent, so that the page stays easy to send.

    Args:
        budget_bytes: limit of the base64 text of all clips.
    """

    def __init__(self, budget_bytes: int):
        self.left_bytes = budget_bytes

    def embed(self, samples: np.ndarray, rate_hz: int) -> dict:
        """Return the fields that the page needs to play a clip.

        Args:
            samples: `[n] float32`, mono.
            rate_hz: sample rate.

        Returns:
            `seconds` of the whole clip, `shown_s` of the embedded part, `envelope` (peaks, 0 ... 1)
            and `uri`, which is None if the budget is spent.
        """
        shown = samples[: round(MAX_CLIP_S * rate_hz)]
        buffer = io.BytesIO()
        # FLAC: all current browsers decode it, and recordings are stored as FLAC
        soundfile.write(buffer, shown, rate_hz, format="FLAC", subtype="PCM_16")
        text = base64.b64encode(buffer.getvalue()).decode()
        uri = None
        if len(text) <= self.left_bytes:
            self.left_bytes -= len(text)
            uri = f"data:audio/flac;base64,{text}"
        return {
            "seconds": len(samples) / rate_hz,
            "shown_s": len(shown) / rate_hz,
            "envelope": envelope(shown),
            "uri": uri,
        }

    def embed_file(self, path: Path) -> dict | None:
        """`embed` for a sound file; None if it is missing or unreadable."""
        try:
            samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError):
            return None
        return self.embed(samples.mean(axis=1), rate_hz) if len(samples) else None


def envelope(samples: np.ndarray, points: int = ENVELOPE_POINTS) -> list[float]:
    """Peaks of `points` equal parts of `samples`, scaled so that the loudest is 1."""
    edges = np.linspace(0, len(samples), points + 1).astype(int)
    pairs = zip(edges[:-1], edges[1:], strict=True)
    peaks = [float(np.abs(samples[a:b]).max()) if b > a else 0.0 for a, b in pairs]
    top = max(peaks, default=0.0) or 1.0
    return [peak / top for peak in peaks]
