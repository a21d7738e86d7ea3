"""Rows of a data set, and batches made from them by loader processes."""

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType

import torch
from torch.utils.data import DataLoader, Dataset

from voicekiln.errors import UserError
from voicekiln.features.packs import PackReader

LOADER_TIMEOUT_S = 600


@dataclass(frozen=True)
class Row:
    """A clip of a run's data set: a line of train_rows or val_rows.

    Attributes:
        id: segment id, unique in the run.
        text, speaker, language: as in the corpus.
        n_frames: length of its features.
        feature: its key in the pack.
        pack: file that holds its features.
        audio_sha256: of its samples.
    """

    id: str
    text: str
    speaker: str
    language: str
    n_frames: int
    feature: str
    pack: str
    audio_sha256: str


def read_rows(path: Path) -> list[Row]:
    """Rows of a JSONL file, by id.

    Raises:
        UserError: a field is missing, or an id comes twice.
    """
    names = [field.name for field in fields(Row)]
    rows = {}
    for n, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        values = json.loads(line)
        if missing := [name for name in names if name not in values]:
            raise UserError(f"{path}, line {n}: {', '.join(missing)} missing")
        if values["id"] in rows:
            raise UserError(f"{path}, line {n}: id {values['id']!r} comes twice")
        rows[values["id"]] = Row(**{name: values[name] for name in names})
    return [rows[name] for name in sorted(rows)]


@dataclass(frozen=True)
class BatchRequest:
    """One batch to make: the clips' indices, and what their draws depend on."""

    clips: tuple[int, ...]
    update: int | str
    pad_to: int | None = None  # frames; None: the longest clip's


class Clips(Dataset):
    """Batches by request.

    Args:
        family: the family module.
        rows: the clips.
        tokens: token ids of each clip.
        packs: reads the rows' features.
        seed: of the draws.
        drops: whether conditions may be dropped.
    """

    def __init__(
        self,
        family: ModuleType,
        rows: Sequence[Row],
        tokens: Sequence[torch.Tensor],
        packs: PackReader,
        seed: int,
        drops: bool,
    ):
        self.family, self.rows, self.tokens = family, rows, tokens
        self.packs, self.seed, self.drops = packs, seed, drops

    def __getstate__(self) -> dict:
        # For loader processes that are not forked: a module goes by its name.
        return self.__dict__ | {"family": self.family.__name__}

    def __setstate__(self, values: dict) -> None:
        self.__dict__ = values | {"family": importlib.import_module(values["family"])}

    def __getitem__(self, request: BatchRequest) -> "dict | UserError":
        # Returned and not raised: a loader process would wrap it into a traceback.
        try:
            return self.batch(request)
        except UserError as error:
            return error

    def batch(self, request: BatchRequest) -> dict:
        """The batch that a request asks for."""
        samples = []
        for i in request.clips:
            arrays = self.packs.get(self.rows[i].pack, self.rows[i].feature)
            features = arrays["mel"]
            if len(features) != self.rows[i].n_frames:
                raise UserError(
                    f"{self.rows[i].pack}: {self.rows[i].feature} has {len(features)} frames, the"
                    f" data set says {self.rows[i].n_frames}; run snakemake again"
                )
            samples.append(self.family.Sample(self.rows[i].id, features, self.tokens[i]))
        draws = [self.family.draw(s, self.seed, request.update, self.drops) for s in samples]
        return self.family.collate(samples, draws, request.pad_to)


def load(
    clips: Clips, requests: Iterable[BatchRequest], workers: int, prefetch: int, pin: bool
) -> Iterator[dict]:
    """Batches in the order of the requests.

    Args:
        clips: to make them of.
        requests: taken ahead of their batches.
        workers: processes that make them; 0 for this one.
        prefetch: batches that each of them has ready, in shared memory.
        pin: whether they are in page-locked memory.

    Raises:
        UserError: features are missing or are not what the data set says; a process is gone.
    """
    batches = DataLoader(
        clips,
        sampler=requests,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        pin_memory=pin,
        timeout=LOADER_TIMEOUT_S if workers else 0,
    )
    try:
        for batch in batches:
            if isinstance(batch, UserError):
                raise batch
            yield batch
    except RuntimeError as error:
        if "DataLoader" not in str(error):
            raise
        raise UserError(
            f"a process that loads batches is gone or stands still ({str(error).splitlines()[0]}). "
            "Killed ones have mostly run out of memory, of the host or of shared memory "
            "(/dev/shm): fewer train.workers, 0 for none, or a lower train.prefetch"
        ) from error


def _as_it_is(batch: dict) -> dict:
    return batch
