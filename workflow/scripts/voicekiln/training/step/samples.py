"""Audio samples of a training for TensorBoard; they do not affect it.

A fixed set of validation texts is synthesised with the EMA weights, each prompted by another clip
of the same speaker. Failures are logged, never raised.
"""

import logging
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from voicekiln.families import Arrays, Files, Tokenizer
from voicekiln.training.data.clips import Clips, Row
from voicekiln.training.log.metrics import MetricsLogger
from voicekiln.training.run import Run
from voicekiln.training.step.ema import Ema

log = logging.getLogger("train")

SEED = 0  # of the sampling: samples of one training differ by their weights alone
BAND_PX, GAP_PX = 2, 4  # of the pictures: height of a band, and between the two


class Samples:
    """Synthesises the samples.

    Args:
        run: the training; its main process synthesises.
        ema: its EMA weights.
        clips: validation clips.
        tokenizer: the run's.
        base: the run's base files.
        vocoder: its folder, or None.
        settings: keywords for the family's `speak`.
    """

    def __init__(
        self,
        run: Run,
        ema: Ema,
        clips: Clips,
        tokenizer: Tokenizer,
        base: Files,
        vocoder: Path | None,
        settings: Mapping[str, Any],
    ):
        self._run, self._ema, self._clips, self._tokenizer = run, ema, clips, tokenizer
        self._base, self._vocoder, self._settings = base, vocoder, settings
        self._pairs = choose_pairs(clips.rows, run.settings.samples) if run.writes else []
        self._decoder = self._extract = None  # loaded at the first sample

    def synthesise(self, update: int, logger: MetricsLogger) -> None:
        """Synthesise and log all samples after `update` updates."""
        began, n = time.monotonic(), 0
        try:
            for clip, prompt in self._pairs:
                if self._run.stop.reason():
                    return
                speech, picture = self._sample(clip, prompt)
                logger.log_sample(update, n, self._clips.rows[clip].text, speech, picture)
                n += 1
        except Exception as error:  # memory, a text the family refuses, a missing vocoder, ...
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            log.warning("no audio sample at update %d (%s)", update, why)
        finally:
            self._run.model.train()
        if n:
            taken_s = time.monotonic() - began
            log.info("audio samples of update %d: %d in %.2f s", update, n, taken_s)

    def _sample(self, clip: int, prompt: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Speech, and a picture of the clip's features above those of the speech."""
        family = self._run.family
        if self._decoder is None:
            device = self._run.device.type
            self._decoder = family.decoder(self._base, self._vocoder, device)
            self._extract = family.extractor(self._base, {}, "cpu")
        original = self._clips.clip(clip)
        # eager: `train.compile` is for the shapes of training
        with (
            self._ema.in_place(),
            self._run.accelerator.autocast(),
            torch.compiler.set_stance("force_eager"),
        ):
            speech = family.speak(
                self._run.model,
                self._tokenizer,
                self._decoder,
                self._clips.clip(prompt),
                original.text,
                original.language,
                seed=SEED,
                **self._settings,
            )
        samples = soxr.resample(speech, family.SPEECH_HZ, family.RATE_HZ)
        return speech, picture(original.arrays, self._extract(torch.from_numpy(samples)))


def choose_pairs(rows: Sequence[Row], count: int) -> list[tuple[int, int]]:
    """Clips whose texts are synthesised, each with the clip that is its prompt, as indices.

    Clips of typical length, first those whose speaker has another clip in the same language. The
    prompt is in the same language and by the same speaker if there is such a clip.
    """
    typical = statistics.median(row.n_steps for row in rows)
    by_length = sorted(range(len(rows)), key=lambda i: (abs(rows[i].n_steps - typical), rows[i].id))
    alike = Counter((row.language, row.speaker) for row in rows)

    def other(i):
        def unlike(j):
            return rows[j].language != rows[i].language, rows[j].speaker != rows[i].speaker

        # min takes the first of equals, which is the most typical one
        return min((j for j in by_length if j != i), key=unlike, default=i)

    chosen = sorted(by_length, key=lambda i: alike[rows[i].language, rows[i].speaker] == 1)
    return [(i, other(i)) for i in chosen[:count]]


def picture(original: Arrays, synthesised: Arrays) -> np.ndarray | None:
    """A spectrogram-like array of both, one above the other, `[H, W]` uint8.

    Takes the first array that is `[T, bands]` of floats in both; None if there is none. Low bands
    are at the bottom, loud is dark, and the scale is that of the original.
    """
    for name in sorted(original):
        both = original[name], synthesised[name]
        if all(a.ndim == 2 and a.is_floating_point() for a in both):
            break
    else:
        return None
    width = max(map(len, both))
    quiet, loud = float(both[0].min()), float(both[0].max())
    halves = []
    for bands in both:
        shade = 255 * (loud - bands.float().cpu().clamp(quiet, loud)) / max(loud - quiet, 1e-6)
        half = np.full((bands.shape[1], width), 255, np.uint8)
        half[:, : len(bands)] = shade.numpy().astype(np.uint8).T[::-1]
        halves.append(half.repeat(BAND_PX, axis=0))
    gap = np.full((GAP_PX, width), 128, np.uint8)
    return np.concatenate([halves[0], gap, halves[1]])
