"""Which clips form a batch, the order of the batches, and the position in them.

Everything here is a function of the clips' lengths, the settings and (seed, epoch): two processes,
or one process before and after a kill, see the same batches at the same positions. Lengths are in
steps of the model's sequence, settings in seconds; `to_steps` converts.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from voicekiln.errors import UserError
from voicekiln.training.data import balance
from voicekiln.training.seeds import derive_seed

# Clips whose lengths agree in this grid (8 mel frames of 10.7 ms are 85 ms) trade places from epoch
# to epoch, so a clip does not always meet the same others.
LENGTH_GRID_STEPS = 8
MIN_STEPS = 2
MAX_LISTED = 10


def to_steps(seconds: float, steps_per_s: float) -> int:
    """Steps of so much audio; the only place where settings in seconds are converted."""
    return round(seconds * steps_per_s)


def to_seconds(steps: int, steps_per_s: float) -> float:
    """The lowest setting, in hundredths of a second, that gives at least this many steps."""
    hundredths = max(0, math.floor((steps - 0.5) / steps_per_s * 100))
    while to_steps(hundredths / 100, steps_per_s) < steps:
        hundredths += 1
    return hundredths / 100


@dataclass(frozen=True)
class Position:
    """The NEXT batch to train on, never the last one done: `batch` of `epoch`, both from 0."""

    epoch: int
    batch: int


@dataclass(frozen=True)
class BatchSize:
    """Size of batches and updates.

    Attributes:
        steps: maximum in a batch, padding included.
        per_update: batches of an update, over all processes.
    """

    steps: int
    per_update: int


@dataclass(frozen=True, eq=False)  # compared by identity: its tuples are long
class Batches:
    """All batches of an epoch and their order in each epoch.

    Attributes:
        n_steps: length of each clip.
        members: clips (indices into `n_steps`) of each batch, shortest batch first, before any
            epoch's exchange.
        per_update: batches of one update, over all processes.
        seed: seed of the order.
        speakers: speaker of each clip if an epoch is balanced by them, otherwise empty.
    """

    n_steps: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]
    per_update: int
    seed: int
    speakers: tuple[str, ...] = ()

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self.members)

    @property
    def updates_per_epoch(self) -> int:
        """Updates in an epoch; the last one of an epoch may have fewer batches."""
        return -(-self.per_epoch // self.per_update)

    @property
    def padding(self) -> float:
        """Fraction of an epoch's steps that are padding."""
        steps = sum(self.n_steps[i] for members in self.members for i in members)
        return 1 - steps / sum(self.padded(members) for members in self.members)

    def padded(self, members: Sequence[int]) -> int:
        """Steps of a batch of these clips, padding included."""
        return len(members) * max(self.n_steps[i] for i in members)

    @lru_cache(maxsize=2)  # noqa: B019 (two lists; `at` asks for the same epoch repeatedly)
    def epoch(self, epoch: int) -> list[tuple[int, ...]]:
        """The batches of an epoch in their order; every clip is in exactly one of them.

        If the epoch is balanced by speakers, every clip is in one or more, see `balance`.
        """
        rng = random.Random(derive_seed(self.seed, epoch))
        if self.speakers:
            batches = self._balanced(rng)
        else:
            place = _traded(self.n_steps, rng)
            batches = [tuple(place[i] for i in members) for members in self.members]
        rng.shuffle(batches)
        return batches

    def _balanced(self, rng: random.Random) -> list[tuple[int, ...]]:
        """The batches with each place taken by a clip of the same grid length."""
        grid = [_grid_point(n) for n in self.n_steps]
        places = [i for members in self.members for i in members]
        drawn = balance.draw(places, list(zip(self.speakers, grid, strict=True)), rng)
        left: dict[int, list[int]] = {}
        for (_, point), clips in drawn.items():
            left.setdefault(point, []).extend(clips)
        for point in sorted(left):
            rng.shuffle(left[point])
        return [tuple(left[grid[i]].pop() for i in members) for members in self.members]

    def next(self, position: Position) -> Position:
        """The position after the update that starts at `position`."""
        batch = position.batch + self.per_update
        if batch >= self.per_epoch:
            return Position(position.epoch + 1, 0)
        return Position(position.epoch, batch)

    def update(self, position: Position) -> int:
        """Number of updates done before `position`."""
        return position.epoch * self.updates_per_epoch + position.batch // self.per_update

    def at(self, position: Position) -> list[tuple[int, ...]]:
        """The batches of the update that starts at a position."""
        return next(self.updates_from(position, position.epoch + 1))

    def steps_of(self, position: Position) -> int:
        """Steps of that update's clips, without padding."""
        return sum(self.n_steps[i] for batch in self.at(position) for i in batch)

    def updates_from(self, position: Position, epochs: int) -> Iterator[list[tuple[int, ...]]]:
        """The batches of each update from `position` to the end of epoch `epochs - 1`."""
        while position.epoch < epochs:
            order = self.epoch(position.epoch)
            here = position.epoch
            while position.epoch == here:
                yield order[position.batch : position.batch + self.per_update]
                position = self.next(position)


def plan(
    n_steps: Sequence[int],
    ids: Sequence[str],
    batch_steps: int,
    batch_clips: int,
    per_update: int,
    seed: int,
    steps_per_s: float,
    speakers: Sequence[str] = (),
) -> Batches:
    """Batches filled with clips of similar length.

    Args:
        n_steps: length of each clip.
        ids: names of the clips, for messages and to order clips of equal length.
        batch_steps: maximum in a batch, padding included: clips x the longest of them.
        batch_clips: maximum clips in a batch; 0 for no limit.
        per_update: batches of one update, over all processes.
        seed: seed of the order.
        steps_per_s: the family's STEPS_PER_S, for messages.
        speakers: speaker of each clip, to balance an epoch by them.

    Raises:
        UserError: no clips, or clips that fit no batch, with their ids.
    """
    if not n_steps:
        raise UserError(
            "there are no clips to train on; see the corpus's ledger.json for the reasons"
        )
    require_fit(n_steps, ids, batch_steps, steps_per_s)
    short = [(n, name) for n, name in zip(n_steps, ids, strict=True) if n < MIN_STEPS]
    _refuse(
        short,
        f"shorter than {MIN_STEPS} steps ({MIN_STEPS / steps_per_s:.2f} s); drop them by a line "
        '{"content_sha256": ..., "start_s": ..., "end_s": ..., "status": "drop"} for each in the '
        "file that corpora.<corpus>.corrections names (docs/review.md)",
        steps_per_s,
    )
    # Clips trade places with clips of the same grid length, so a batch must also fit if every clip
    # in it is as long as its grid length. A clip whose grid length exceeds `batch_steps` counts as
    # `batch_steps`: it has a batch to itself.
    rounded = [min(_grid_point(n) * LENGTH_GRID_STEPS, batch_steps) for n in n_steps]
    members: list[list[int]] = []
    clips = balance.repeated(n_steps, ids, speakers) if speakers else range(len(n_steps))
    for i in sorted(clips, key=lambda i: (n_steps[i], ids[i])):
        last = members[-1] if members else None
        full = last is None or (len(last) + 1) * rounded[i] > batch_steps
        if full or (batch_clips and len(last) >= batch_clips):
            members.append([i])
        else:
            last.append(i)
    members = tuple(map(tuple, members))
    return Batches(tuple(n_steps), members, per_update, seed, tuple(speakers))


def require_fit(
    n_steps: Sequence[int], ids: Sequence[str], batch_steps: int, steps_per_s: float
) -> None:
    """Stop if clips are longer than a batch.

    Raises:
        UserError: with their lengths and ids.
    """
    needed = to_seconds(max(n_steps, default=0), steps_per_s)
    _refuse(
        [(n, name) for n, name in zip(n_steps, ids, strict=True) if n > batch_steps],
        f"longer than train.batch_s ({batch_steps / steps_per_s:.2f} s), the limit of a "
        f"batch: raise it to {needed:g} or more, or lower segment.max_s of the corpus",
        steps_per_s,
    )


def in_order(n_steps: Sequence[int], ids: Sequence[str], batch_steps: int) -> list[tuple[int, ...]]:
    """Batches for validation: sorted by length, always the same; a long clip has its own batch."""
    batches: list[list[int]] = []
    for i in _sorted(n_steps, ids):
        if batches and (len(batches[-1]) + 1) * n_steps[i] <= batch_steps:
            batches[-1].append(i)
        else:
            batches.append([i])
    return [tuple(batch) for batch in batches]


def _sorted(n_steps: Sequence[int], ids: Sequence[str]) -> list[int]:
    return sorted(range(len(n_steps)), key=lambda i: (n_steps[i], ids[i]))


def _grid_point(n_steps: int) -> int:
    return -(-n_steps // LENGTH_GRID_STEPS)


def _traded(n_steps: Sequence[int], rng: random.Random) -> list[int]:
    """For each clip one of the same grid length, each once."""
    alike: dict[int, list[int]] = {}
    for i, n in enumerate(n_steps):
        alike.setdefault(_grid_point(n), []).append(i)
    place = list(range(len(n_steps)))
    for point in sorted(alike):
        mixed = alike[point][:]
        rng.shuffle(mixed)
        for old, new in zip(alike[point], mixed, strict=True):
            place[old] = new
    return place


def _refuse(clips: list[tuple[int, str]], why: str, steps_per_s: float) -> None:
    if clips:
        clips = sorted(clips, reverse=True)
        listed = ", ".join(f"{name} ({n / steps_per_s:.2f} s)" for n, name in clips[:MAX_LISTED])
        more = f" and {len(clips) - MAX_LISTED} more" if len(clips) > MAX_LISTED else ""
        number = "1 clip is" if len(clips) == 1 else f"{len(clips)} clips are"
        raise UserError(f"{number} {why}: {listed}{more}")
