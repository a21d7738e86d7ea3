"""Read a span of a normalised recording from the store."""

import numpy as np
import soundfile
import soxr

from voicekiln.store.items import Store


def load_span(
    store: Store, item: str, start: int, end: int, rate_hz: int | None = None
) -> np.ndarray:
    """Samples of a span of a normalised recording, `[n]` float32.

    Args:
        store: store of normalised audio.
        item: key of the recording in the store.
        start, end: samples at the rate of the recording, end exclusive.
        rate_hz: resample to this rate; None: do not resample.
    """
    path = store.path(item, ".flac")
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(start)
            samples = file.read(end - start, dtype="float32")
            source_hz = file.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        store.report(item, f"cannot be read ({error})")
    if len(samples) != end - start:
        store.report(item, f"ends before sample {end}")
    if rate_hz is None or rate_hz == source_hz:
        return samples
    return soxr.resample(samples, source_hz, rate_hz, quality="HQ").astype(np.float32)


def resampled_length(n_samples: int, source_hz: int, rate_hz: int) -> int:
    """Number of samples that `load_span` returns for a span of `n_samples` at `source_hz`."""
    return (2 * n_samples * rate_hz + source_hz) // (2 * source_hz)  # soxr rounds half up
