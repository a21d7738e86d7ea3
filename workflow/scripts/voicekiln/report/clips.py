"""Audio inside the page: clips as data: URIs with a drawing of their envelope."""

import base64
import io
from pathlib import Path

import numpy as np
import soundfile

MAX_CLIP_S = 12.0
ENVELOPE_POINTS = 140


class Clips:
    """Embeds audio until a budget of bytes is spent, so that a page stays easy to send.

    Args:
        budget_bytes: of base64 text over all clips of the page.
    """

    def __init__(self, budget_bytes: int):
        self.left_bytes = budget_bytes

    def embed(self, samples: np.ndarray, rate_hz: int) -> dict:
        """What the page needs to play a clip.

        Args:
            samples: `[n] float32`, mono.
            rate_hz: their rate.

        Returns:
            `seconds` of the whole clip, `shown_s` of what is embedded, `envelope` (peaks, 0 ... 1)
            and `uri`; `uri` is None where the budget is spent.
        """
        shown = samples[: round(MAX_CLIP_S * rate_hz)]
        buffer = io.BytesIO()
        # FLAC: every browser of today decodes it, and it is what the recordings are stored as
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
        """`embed` for a sound file; None where it is missing or cannot be read."""
        try:
            samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError):
            return None
        return self.embed(samples.mean(axis=1), rate_hz) if len(samples) else None


def envelope(samples: np.ndarray, points: int = ENVELOPE_POINTS) -> list[float]:
    """Peaks of `points` equal stretches of `samples`, the loudest being 1."""
    edges = np.linspace(0, len(samples), points + 1).astype(int)
    pairs = zip(edges[:-1], edges[1:], strict=True)
    peaks = [float(np.abs(samples[a:b]).max()) if b > a else 0.0 for a, b in pairs]
    top = max(peaks, default=0.0) or 1.0
    return [peak / top for peak in peaks]
