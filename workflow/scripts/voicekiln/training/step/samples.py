"""Spoken samples of a training, to be heard and seen in TensorBoard. They change nothing in it.

The averaged weights speak the texts of a few validation clips, always the same, each after another
clip of its speaker. Whatever goes wrong with that is a warning.
"""

import logging
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from voicekiln.families import Arrays, Clip, Tokenizer, facts
from voicekiln.training.data.clips import Clips, Row
from voicekiln.training.process.stop import Stop
from voicekiln.training.step.ema import Ema

log = logging.getLogger("train")

SEED = 0  # of the noise: samples of one training differ by their weights alone
BAND_PX, GAP_PX = 2, 4  # of the pictures: height of a mel band, and between the two


class Samples:
    """Speaks them.

    Args:
        family: the family module.
        model: on its device.
        ema: its averaged weights.
        clips: validation clips.
        tokenizer: the run's.
        decoder: makes the family's decoder, at the first sample.
        count: how many samples.
        accelerator: its main process speaks.
        stop: asked before each.
    """

    def __init__(
        self,
        family: ModuleType,
        model: torch.nn.Module,
        ema: Ema,
        clips: Clips,
        tokenizer: Tokenizer,
        decoder: Callable[[], Any],
        count: int,
        accelerator: Accelerator,
        stop: Stop,
    ):
        self._family, self._model, self._ema, self._clips = family, model, ema, clips
        self._tokenizer, self._make_decoder, self._decoder = tokenizer, decoder, None
        self._settings = facts.of(family.__name__.rpartition(".")[2]).samples
        self._accelerator, self._stop = accelerator, stop
        self._pairs = pairs(clips.rows, count) if accelerator.is_main_process else []

    def speak(self, update: int, show: Callable[[int, str, np.ndarray, np.ndarray], None]) -> None:
        """Speaks all of them after so many updates.

        Args:
            show: gets number, text, samples and picture of each.
        """
        began, n = time.monotonic(), 0
        try:
            for clip, reference in self._pairs:
                if self._stop.reason():
                    return
                show(n, self._clips.rows[clip].text, *self._sample(clip, reference))
                n += 1
        except Exception as error:  # memory, a text the family refuses, a vocoder that is not there
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            log.warning("no spoken sample at update %d (%s)", update, why)
        finally:
            self._model.train()
        if n:
            taken_s = time.monotonic() - began
            log.info("spoken samples of update %d: %d in %.2f s", update, n, taken_s)

    def _sample(self, clip: int, reference: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples, and the picture of the clip's mel above theirs."""
        if self._decoder is None:
            self._decoder = self._make_decoder()
        original, row = self._arrays(clip), self._clips.rows[clip]
        # eager: `train.compile` is for the training's shapes
        with (
            self._ema.in_place(),
            self._accelerator.autocast(),
            torch.compiler.set_stance("force_eager"),
        ):
            spoken = self._family.speak(
                self._model,
                self._tokenizer,
                self._decoder,
                self._prompt(reference),
                row.text,
                row.language,
                seed=SEED,
                **self._settings,
            )
        again = self._family.extractor({}, {}, "cpu")(torch.from_numpy(spoken))
        return spoken, picture(original["mel"], again["mel"])

    def _prompt(self, clip: int) -> Clip:
        row, ids = self._clips.rows[clip], self._clips.tokens[clip]
        return Clip(row.id, row.text, row.language, ids, self._arrays(clip))

    def _arrays(self, clip: int) -> Arrays:
        row = self._clips.rows[clip]
        return self._clips.packs.get(row.pack, row.feature)


def pairs(rows: Sequence[Row], count: int) -> list[tuple[int, int]]:
    """Which clips' texts are spoken, each with the clip it is spoken after, as indices.

    Clips of typical length, first those whose speaker has another clip in the same language. The
    other clip is in the same language and of the same speaker as far as there is one.
    """
    typical = statistics.median(row.n_frames for row in rows)
    by_length = sorted(
        range(len(rows)), key=lambda i: (abs(rows[i].n_frames - typical), rows[i].id)
    )
    alike = Counter((row.language, row.speaker) for row in rows)

    def other(i):
        def unlike(j):
            return rows[j].language != rows[i].language, rows[j].speaker != rows[i].speaker

        # min takes the first of equals, which is the most typical one
        return min((j for j in by_length if j != i), key=unlike, default=i)

    chosen = sorted(by_length, key=lambda i: alike[rows[i].language, rows[i].speaker] == 1)
    return [(i, other(i)) for i in chosen[:count]]


def picture(original: torch.Tensor, spoken: torch.Tensor) -> np.ndarray:
    """Two mels `[T, M]` one above the other, low bands at the bottom, `[H, W]` uint8, loud is dark.

    The scale is that of the original.
    """
    width = max(len(original), len(spoken))
    quiet, loud = float(original.min()), float(original.max())
    halves = []
    for mel in (original, spoken):
        shade = 255 * (loud - mel.float().cpu().clamp(quiet, loud)) / max(loud - quiet, 1e-6)
        half = np.full((mel.shape[1], width), 255, np.uint8)
        half[:, : len(mel)] = shade.numpy().astype(np.uint8).T[::-1]
        halves.append(half.repeat(BAND_PX, axis=0))
    gap = np.full((GAP_PX, width), 128, np.uint8)
    return np.concatenate([halves[0], gap, halves[1]])
