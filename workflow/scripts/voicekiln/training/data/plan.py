"""Which clips make a batch, in which order batches come, and where training stands in them.

Everything here is a function of the clips' lengths, the settings and (seed, epoch): two processes,
or the same one before and after a kill, see the same batches at the same positions.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from voicekiln.errors import UserError

# Clips are alike when their lengths agree in this grid (8 frames are 85 ms at 24 kHz, hop 256).
# Alike clips trade places from epoch to epoch, so a clip does not always meet the same others.
LENGTH_STEP_FRAMES = 8
LISTED_CLIPS = 10


@dataclass(frozen=True)
class Position:
    """The NEXT batch to train on, never the last one trained: `batch` of `epoch`, both from 0."""

    epoch: int
    batch: int


@dataclass(frozen=True)
class BatchSize:
    """Size of batches and updates.

    Attributes:
        frames: most in a batch, padding included.
        per_update: batches of an update, over all processes.
    """

    frames: int
    per_update: int


@dataclass(frozen=True, eq=False)  # compared by identity: its tuples are long
class Batches:
    """All batches of an epoch and their order in each epoch.

    Attributes:
        frames: length of each clip, frames.
        members: clips (indices into `frames`) of each batch, shortest batch first, as of no epoch.
        per_update: batches that make one update, over all processes.
        seed: of the order.
    """

    frames: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]
    per_update: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self.members)

    @property
    def updates_per_epoch(self) -> int:
        """Updates in an epoch; the last one of an epoch may have fewer batches."""
        return -(-self.per_epoch // self.per_update)

    @property
    def padding_share(self) -> float:
        """Padded frames that hold no clip, as a share of all frames computed in an epoch."""
        computed = sum(len(m) * max(self.frames[i] for i in m) for m in self.members)
        return 1 - sum(self.frames) / computed

    @lru_cache(maxsize=2)  # noqa: B019 (two lists; `at` asks for the same epoch again and again)
    def epoch(self, epoch: int) -> list[tuple[int, ...]]:
        """The batches of an epoch in their order; every clip is in exactly one of them."""
        rng = random.Random(number(self.seed, epoch))
        place = _traded(self.frames, rng)
        batches = [tuple(place[i] for i in members) for members in self.members]
        rng.shuffle(batches)
        return batches

    def next(self, position: Position) -> Position:
        """The position after the update that begins at `position`."""
        batch = position.batch + self.per_update
        if batch >= self.per_epoch:
            return Position(position.epoch + 1, 0)
        return Position(position.epoch, batch)

    def update(self, position: Position) -> int:
        """Number of updates done before `position`."""
        return position.epoch * self.updates_per_epoch + position.batch // self.per_update

    def at(self, position: Position) -> list[tuple[int, ...]]:
        """The batches of the update that begins at a position."""
        return next(self.updates_from(position, position.epoch + 1))

    def frames_of(self, position: Position) -> int:
        """Frames of the clips of that update, without padding."""
        return sum(self.frames[i] for batch in self.at(position) for i in batch)

    def updates_from(self, position: Position, epochs: int) -> Iterator[list[tuple[int, ...]]]:
        """The batches of each update from `position` to the end of epoch `epochs - 1`."""
        while position.epoch < epochs:
            order = self.epoch(position.epoch)
            here = position.epoch
            while position.epoch == here:
                yield order[position.batch : position.batch + self.per_update]
                position = self.next(position)


def plan(
    frames: Sequence[int],
    ids: Sequence[str],
    batch_frames: int,
    batch_clips: int,
    per_update: int,
    seed: int,
) -> Batches:
    """Batches filled up with clips of similar length.

    Args:
        frames: length of each clip, frames.
        ids: names of the clips, for messages and to order clips of equal length.
        batch_frames: most frames in a batch, padding included: clips x the longest of them.
        batch_clips: most clips in a batch; 0 for no limit.
        per_update: batches that make one update, over all processes.
        seed: of the order.

    Raises:
        UserError: no clips, or clips that fit no batch, with their ids.
    """
    if not frames:
        raise UserError(
            "there are no clips to train on; see the corpus's ledger.json for the reasons"
        )
    require_fit(frames, ids, batch_frames)
    _refuse(
        [(f, i) for f, i in zip(frames, ids, strict=True) if f < 2],
        "are shorter than 2 frames: leave them out",
    )
    # The limit is kept for lengths rounded up to the grid, so that alike clips may trade places;
    # a clip between the limit's own grid point and the limit counts as the limit.
    rounded = [min(_step(f) * LENGTH_STEP_FRAMES, batch_frames) for f in frames]
    members: list[list[int]] = []
    for i in _sorted(frames, ids):
        last = members[-1] if members else None
        full = last is None or (len(last) + 1) * rounded[i] > batch_frames
        if full or (batch_clips and len(last) >= batch_clips):
            members.append([i])
        else:
            last.append(i)
    return Batches(tuple(frames), tuple(map(tuple, members)), per_update, seed)


def require_fit(frames: Sequence[int], ids: Sequence[str], batch_frames: int) -> None:
    """Stops at clips that are longer than a batch.

    Raises:
        UserError: with their lengths and ids.
    """
    _refuse(
        [(f, i) for f, i in zip(frames, ids, strict=True) if f > batch_frames],
        f"are longer than train.batch_frames ({batch_frames} frames) and fit no batch: raise it to"
        f" {max(frames, default=0)} or more, or lower segment.max_s of the corpus",
    )


def in_order(frames: Sequence[int], ids: Sequence[str], batch_frames: int) -> list[tuple[int, ...]]:
    """Batches for validation: sorted by length, always the same; a long clip has its own batch."""
    batches: list[list[int]] = []
    for i in _sorted(frames, ids):
        if batches and (len(batches[-1]) + 1) * frames[i] <= batch_frames:
            batches[-1].append(i)
        else:
            batches.append([i])
    return [tuple(batch) for batch in batches]


def _sorted(frames: Sequence[int], ids: Sequence[str]) -> list[int]:
    return sorted(range(len(frames)), key=lambda i: (frames[i], ids[i]))


def _step(frames: int) -> int:
    return -(-frames // LENGTH_STEP_FRAMES)


def _traded(frames: Sequence[int], rng: random.Random) -> list[int]:
    """For each clip one of the same length step, each once."""
    alike: dict[int, list[int]] = {}
    for i, n_frames in enumerate(frames):
        alike.setdefault(_step(n_frames), []).append(i)
    place = list(range(len(frames)))
    for step in sorted(alike):
        mixed = alike[step][:]
        rng.shuffle(mixed)
        for old, new in zip(alike[step], mixed, strict=True):
            place[old] = new
    return place


def _refuse(clips: list[tuple[int, str]], why: str) -> None:
    if clips:
        clips = sorted(clips, reverse=True)
        listed = ", ".join(f"{name} ({frames} frames)" for frames, name in clips[:LISTED_CLIPS])
        more = f" and {len(clips) - LISTED_CLIPS} more" if len(clips) > LISTED_CLIPS else ""
        raise UserError(f"{len(clips)} clips {why}. They are {listed}{more}")


def number(*parts: object) -> int:
    """A seed of 63 bits from any parts, the same on every machine."""
    text = ":".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
