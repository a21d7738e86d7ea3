"""Rows of a data set, and batches made from them by loader processes."""

import importlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from voicekiln.errors import UserError
from voicekiln.families import Batch, Clip, Family, Tokenizer
from voicekiln.features.packs import PackReader
from voicekiln.training.seeds import generator

LOADER_TIMEOUT_S = 600
MAX_LISTED = 10


@dataclass(frozen=True)
class Row:
    """A clip of a run's data set: a line of train_rows or val_rows.

    Attributes:
        id: segment id, unique in the run.
        text, speaker, language: as in the corpus.
        n_steps: length of its sequence, see the family's `n_steps`.
        duration_s: length of its audio.
        feature: key of its features in the pack.
        pack: file that holds its features.
        audio_sha256: hash of its samples.
    """

    id: str
    text: str
    speaker: str
    language: str
    n_steps: int
    duration_s: float
    feature: str
    pack: str
    audio_sha256: str


def read_rows(path: Path) -> list[Row]:
    """Rows of a JSONL file, sorted by id.

    Raises:
        UserError: a field is missing, or an id occurs twice.
    """
    names = [field.name for field in fields(Row)]
    rows = {}
    # split at line feeds only: texts may contain other characters that `splitlines` splits at
    for n, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if not line:
            continue
        values = json.loads(line)
        if missing := [name for name in names if name not in values]:
            raise UserError(
                f"{path}, line {n}: {', '.join(missing)} missing; build the run that wrote it again"
            )
        if values["id"] in rows:
            raise UserError(f"{path}, line {n}: id {values['id']!r} occurs twice")
        rows[values["id"]] = Row(**{name: values[name] for name in names})
    return [rows[name] for name in sorted(rows)]


def hours_of(rows: Sequence[Row]) -> float:
    """Length of the audio of clips."""
    return sum(row.duration_s for row in rows) / 3600


@dataclass(frozen=True)
class BatchRequest:
    """One batch to make.

    Attributes:
        clips: indices of its clips.
        update: number of updates done before, or a text in validation; the draws depend on it.
        pad_to: steps to pad to; None for those of the longest clip.
    """

    clips: tuple[int, ...]
    update: int | str
    pad_to: int | None = None


class Clips(Dataset):
    """Clips of a data set, and the batches made from them.

    Args:
        family: the model's family.
        rows: the clips.
        tokenizer: the run's.
        packs: reads the rows' features.
        seed: seed of the draws.
        train: whether conditions may be dropped.
        prompts: other clips that may be prompts too, if the family needs them.

    Raises:
        UserError: a text has tokens that are not in the vocabulary.
    """

    def __init__(
        self,
        family: Family,
        rows: Sequence[Row],
        tokenizer: Tokenizer,
        packs: PackReader,
        seed: int,
        train: bool,
        prompts: "Clips | None" = None,
    ):
        self.family, self.rows = family, rows
        self._packs, self._seed, self._train = packs, seed, train
        self._text_ids = [_encode(tokenizer, row) for row in rows]
        self._prompts: dict[str, list[tuple[Clips, int]]] = defaultdict(list)
        for source in [self] if prompts is None else [self, prompts]:
            for i, row in enumerate(source.rows):
                self._prompts[row.speaker].append((source, i))

    def __getstate__(self) -> dict:
        # For loader processes that are not forked: a module goes by its name.
        return self.__dict__ | {"family": self.family.__name__}

    def __setstate__(self, values: dict) -> None:
        self.__dict__ = values | {"family": importlib.import_module(values["family"])}

    @property
    def n_steps(self) -> list[int]:
        """Length of each clip, in steps."""
        return [row.n_steps for row in self.rows]

    @property
    def ids(self) -> list[str]:
        """Id of each clip."""
        return [row.id for row in self.rows]

    def __getitem__(self, request: BatchRequest) -> "Batch | UserError":
        # Returned and not raised: a loader process would wrap it into a traceback.
        try:
            return self.batch(request)
        except UserError as error:
            return error

    def batch(self, request: BatchRequest) -> Batch:
        """The batch that a request asks for.

        Raises:
            UserError: features are missing or do not match the data set.
        """
        clips, draws = [], []
        for i in request.clips:
            clip = self.clip(i)
            rng = generator(self._seed, request.update, clip.id)
            if self.family.PROMPTED:
                clip = replace(clip, prompt=self._prompt(i, rng))
            draws.append(self.family.draw(clip, rng, self._train))
            clips.append(clip)
        return self.family.collate(clips, draws, request.pad_to)

    def clip(self, i: int) -> Clip:
        """A clip with its features, without a prompt.

        Raises:
            UserError: features are missing or do not match the data set.
        """
        row = self.rows[i]
        arrays = self._packs.get(row.pack, row.feature)
        if (found := self.family.n_steps(arrays)) != row.n_steps:
            raise UserError(
                f"{row.pack}: {row.feature} has {found} steps, expected {row.n_steps} as in the "
                "data set; run snakemake again"
            )
        return Clip(row.id, row.text, row.language, self._text_ids[i], arrays)

    def without_prompt(self) -> list[str]:
        """Ids of the clips whose speaker has no other clip, if the family needs prompts."""
        if not self.family.PROMPTED:
            return []
        return [row.id for row in self.rows if len(self._prompts[row.speaker]) < 2]

    def require_prompts(self, what: str) -> None:
        """Stop if a clip has no possible prompt.

        Args:
            what: the clips, for the message.

        Raises:
            UserError: with the clips' ids.
        """
        if alone := self.without_prompt():
            more = f" and {len(alone) - MAX_LISTED} more" if len(alone) > MAX_LISTED else ""
            raise UserError(
                f"{len(alone)} {what} have no second clip by the same speaker, which this model "
                f"family needs as a prompt: {', '.join(alone[:MAX_LISTED])}{more}; add recordings "
                "of these speakers, or drop the clips in the corpus's corrections"
            )

    def _prompt(self, i: int, rng: torch.Generator) -> Clip:
        """Another clip by the same speaker, drawn from `rng`."""
        others = [
            (source, j)
            for source, j in self._prompts[self.rows[i].speaker]
            if source is not self or j != i
        ]
        source, j = others[int(torch.randint(len(others), (1,), generator=rng))]
        return source.clip(j)


def _encode(tokenizer: Tokenizer, row: Row) -> torch.Tensor:
    try:
        return torch.tensor(tokenizer.encode(row.text, row.language), dtype=torch.int64)
    except UserError as error:
        raise UserError(f"{row.id}: {error}") from error


def load(
    clips: Clips, requests: Iterable[BatchRequest], workers: int, prefetch: int, pin: bool
) -> Iterator[Batch]:
    """Batches in the order of the requests.

    Args:
        clips: where the batches come from.
        requests: taken ahead of their batches.
        workers: processes that make the batches; 0 for this one.
        prefetch: batches that each of them keeps ready, in shared memory.
        pin: whether they are in page-locked memory.

    Raises:
        UserError: features are missing or do not match the data set; a process died.
    """
    batches = DataLoader(
        clips,
        sampler=requests,
        batch_size=None,
        collate_fn=_unchanged,
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
            f"a process that loads batches died or hangs ({str(error).splitlines()[0]}). A killed "
            "one has usually run out of memory, of the host or of shared memory (/dev/shm): lower "
            "train.workers (0: none) or train.prefetch"
        ) from error


def _unchanged(batch: Batch) -> Batch:
    return batch
