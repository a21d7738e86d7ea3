"""Copies of a recording, and stretches that clips share, among a million clips by fingerprints.

Two clips are compared where three of the four bytes of a frame are equal, in each of the four ways;
a copy has such frames as long as its distance is allowed, and what chance brings together differs a
few frames further. Speech has patterns that thousands of clips share: a clip
looks up its rarest first, so that what it costs is bounded at any size. Besides the fingerprints
themselves an index of one way is held, 6 bytes a frame while it is made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from voicekiln.search.ragged import distinct, portions, ranges, sums

WAYS = 4
SHARE_BITS = 2  # the share of the patterns that is looked at is 2^-SHARE_BITS
MAX_KEY_BITS = 24
LOOK_UPS = 256  # frames of others that a clip is compared with in each way
NEXT = (-16, 16)  # frames from an equal one, where no others overlap: these are held ready,
PROBES = ((-32, 32), (-64, -48, 48, 64))  # and these looked at in turn
PROBE_MARGIN = 0.1  # above the distance that is allowed, as a probe is short
GAP = 64  # empty frames between clips: a probe beyond the end of one meets nothing
SPARSE_FRAMES = 4  # one of these is compared at first
NEAR_FRAMES = 3  # around the offset of the equal frames, the least distance counts
MIN_OVERLAP = 0.6
# Windows cut from one recording: what they share is alike but for the grid of frames (0.1 at most
# of the bits differ). A short stretch of unrelated speech comes as near as 0.19, a long one never.
SHARED_FRAMES, SHARED_DISTANCE = 6, 0.12  # 6 frames are 0.51 s of sound
LONG_FRAMES = 86  # 2.3 s, from which the distance that is allowed for copies counts
BLOCK = 2048  # clips that are looked up together
MAX_COMPARED = 1 << 21  # frames that are compared together
OFFSET_BITS, CLIP_BITS = 16, 24


@dataclass(frozen=True)
class Prints:
    """Fingerprints of many clips.

    Attributes:
        bits: `[n] uint32`: one clip after the other, `GAP` zeros before each and after the last.
        starts: where each clip begins in `bits`, `[n_clips] int64`.
        counts: its frames, `[n_clips] int64`; 0 where it has no fingerprint.
    """

    bits: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def empty(cls, counts: np.ndarray) -> "Prints":
        """Clips of `counts` frames, all 0."""
        bits = np.zeros(counts.sum() + GAP * (len(counts) + 1), np.uint32)
        return cls(bits, np.cumsum(counts + GAP) - counts, counts)

    @classmethod
    def of(cls, prints: Iterable[np.ndarray | None]) -> "Prints":
        """The fingerprints of clips, None where there is none."""
        frames = [np.empty(0, np.uint32) if one is None else one for one in prints]
        made = cls.empty(np.array([len(one) for one in frames], np.int64))
        for start, one in zip(made.starts, frames, strict=True):
            made.bits[start : start + len(one)] = one
        return made

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, which: np.ndarray | slice) -> "Prints":
        """These clips, in this order; the frames are shared."""
        return Prints(self.bits, self.starts[which], self.counts[which])


class Pairs(NamedTuple):
    """Clips that hold the same sound: i < j, sorted."""

    i: np.ndarray
    j: np.ndarray
    distance: np.ndarray  # fraction of the bits that differ where the two overlap
    offset: np.ndarray  # frames from the start of `i` to the start of `j`


def copies(
    prints: Prints,
    max_distance: float,
    parts: bool = False,
    asking: np.ndarray | None = None,
) -> Pairs:
    """Pairs of clips that hold the same recording.

    A clip looks up its rarest patterns first, until it was compared with `LOOK_UPS` frames of
    others; of a pattern that more have, with the first of them.

    Args:
        prints: of the clips, at most 12 minutes each.
        max_distance: fraction of the bits that may differ; unrelated speech mostly
            differs in 0.4 and more.
        parts: clips count that share `MIN_OVERLAP` of the shorter, or `LONG_FRAMES`, or
            `SHARED_FRAMES` that differ in `SHARED_DISTANCE` at most; otherwise, `MIN_OVERLAP` of
            the longer.
        asking: the clips that look up; None: all.
    """
    asking = np.arange(len(prints)) if asking is None else asking
    met = [np.empty(0, np.uint64)]
    for way in range(WAYS):
        index = _Index(prints, way)
        for first in range(0, len(asking), BLOCK):
            clips = asking[first : first + BLOCK]
            met.append(index.meet(clips, max_distance + PROBE_MARGIN, parts))
        del index  # before the next is made
    met = distinct(np.concatenate(met))
    pair = met >> np.uint64(OFFSET_BITS)
    offset = _field(met, 0, OFFSET_BITS) - (1 << OFFSET_BITS - 1)
    i, j = _field(pair, CLIP_BITS, CLIP_BITS), _field(pair, 0, CLIP_BITS)
    rough = _distances(prints, i, j, offset, parts, SPARSE_FRAMES)
    order = np.lexsort((rough, pair))  # of each pair the offset with the least distance
    best = order[np.unique(pair[order], return_index=True)[1]]
    best = best[rough[best] <= max_distance + PROBE_MARGIN]
    i, j, offset = i[best], j[best], offset[best]
    shifts = np.arange(-NEAR_FRAMES, NEAR_FRAMES + 1)
    distances = np.array([_distances(prints, i, j, offset + n, parts) for n in shifts])
    nearest = distances.argmin(axis=0)
    distance, offset = distances.min(axis=0), offset + shifts[nearest]
    limit = np.where(_brief(prints, i, j, offset), SHARED_DISTANCE, max_distance)
    near = distance <= np.minimum(limit, max_distance)
    return Pairs(i[near], j[near], distance[near], offset[near])


def _field(numbers, shift, bits):
    return (numbers >> np.uint64(shift) & np.uint64((1 << bits) - 1)).astype(np.int64)


class _Index:
    """Frames of all clips by three of their bytes; a quarter of them, chosen by these bytes.

    Attributes:
        rows: the frames' places in `prints.bits`, clip after clip.
        ends: where those of each clip end, 0 first.
        firsts: where in `sorted` each key begins.
        sorted: the same places by their keys, of each key in the order of the clips.
        around: the frames at `NEXT` of each of them.
    """

    def __init__(self, prints, way):
        self.prints = prints
        self.mask = np.uint32(0xFFFFFFFF ^ 0xFF << 8 * way)
        self.by_start = np.argsort(prints.starts, kind="stable")
        self.starts = prints.starts[self.by_start]
        self.rows, self.ends = self._chosen()
        n_bits = min(MAX_KEY_BITS, len(self.rows).bit_length())
        self.shift = np.uint32(32 - SHARE_BITS - n_bits)
        keys = np.empty(len(self.rows), np.uint64)
        self.firsts = np.zeros((1 << n_bits) + 1, np.uint32)
        for first in range(0, len(keys), MAX_COMPARED):
            hashes = self._hashes(self.rows[first : first + MAX_COMPARED]) >> self.shift
            places = np.arange(first, first + len(hashes), dtype=np.uint64)
            keys[first : first + len(hashes)] = hashes.astype(np.uint64) << 32 | places
            self.firsts[1:] += np.bincount(hashes, minlength=1 << n_bits).astype(np.uint32)
        np.cumsum(self.firsts, out=self.firsts)
        keys.sort()
        self.sorted = self.rows[keys.view("<u4")[::2]]
        del keys
        self.around = [prints.bits[self.sorted + np.uint32(at % (1 << 32))] for at in NEXT]

    def _hashes(self, rows):
        return (self.prints.bits[rows] & self.mask) * np.uint32(0x9E3779B1)

    def _chosen(self):
        parts, counts = [np.empty(0, np.uint32)], [0]
        for first in range(0, len(self.prints), BLOCK):
            some = self.prints[first : first + BLOCK]
            rows = ranges(some.starts, some.counts)
            chosen = self._hashes(rows) >> np.uint32(32 - SHARE_BITS) == 0
            chosen &= self.prints.bits[rows] != 0
            parts.append(rows[chosen].astype(np.uint32))
            counts += sums(chosen, some.counts).tolist()
        return np.concatenate(parts), np.cumsum(counts)

    def meet(self, clips, limit, parts):
        """Others that share a key with these and are alike around it.

        Returns:
            the earlier clip, the later one and the offset between them, in one number.
        """
        bits = self.prints.bits
        counts = self.ends[clips + 1] - self.ends[clips]
        mine = self.rows[ranges(self.ends[clips], counts)].astype(np.int64)
        owner = np.repeat(np.arange(len(clips)), counts)
        keys = self._hashes(mine) >> self.shift
        begins = self.firsts[keys].astype(np.int64)
        found = self.firsts[keys + 1] - begins
        order = np.lexsort((found, owner))
        mine, begins, found = mine[order], begins[order], found[order]
        before = np.cumsum(found) - found
        earlier = np.append(0, sums(found, counts))[:-1].cumsum()  # those of other clips
        taken = np.clip(LOOK_UPS - (before - earlier[owner]), 0, found)
        place, query = ranges(begins, taken), np.repeat(np.arange(len(mine)), taken)
        words = zip(NEXT, self.around, strict=True)
        alike = _alike(((bits[mine + at][query], held[place]) for at, held in words), limit)
        mine, other = mine[query[alike]], self.sorted[place[alike]].astype(np.int64)
        for probes in PROBES:
            alike = _alike(((bits[mine + at], bits[other + at]) for at in probes), limit)
            mine, other = mine[alike], other[alike]
        a, b = self._clips(mine), self._clips(other)
        starts = self.prints.starts
        offset = (mine - starts[a]) - (other - starts[b])
        laid = (a != b) & (_overlap(self.prints, a, b, offset, parts)[1] > 0)
        a, b, offset = a[laid], b[laid], offset[laid]
        offset = np.where(a < b, offset, -offset) + (1 << OFFSET_BITS - 1)
        pair = np.minimum(a, b) << CLIP_BITS | np.maximum(a, b)
        return distinct(pair.astype(np.uint64) << OFFSET_BITS | offset.astype(np.uint64))

    def _clips(self, rows):
        return self.by_start[np.searchsorted(self.starts, rows, side="right") - 1]


def _alike(pairs, limit):
    """Where the words that are no silence differ in at most this share of their bits."""
    differing = counted = 0
    for one, two in pairs:
        both = (one != 0) & (two != 0)
        differing = differing + np.bitwise_count(one ^ two) * both
        counted = counted + both.astype(np.uint8)
    return differing <= limit * 32 * counted


def _distances(prints, i, j, offset, parts, every=1):
    """Share of differing bits of each pair with `j` laid upon `i`; 1 if they overlap little.

    Frames of digital silence, which are 0 in both, do not count. Of the others one of `every`.
    """
    first, n = _overlap(prints, i, j, offset, parts)
    enough = np.flatnonzero(n)
    one, two = prints.starts[i] + first, prints.starts[j] + first - offset
    sounding = np.minimum(_sounding(prints, i), _sounding(prints, j))
    distance = np.ones(len(offset))
    for some in portions(n[enough] // every + 1, MAX_COMPARED):
        which = enough[some]
        steps = -(-n[which] // every)
        a = prints.bits[ranges(one[which], steps, every)]
        b = prints.bits[ranges(two[which], steps, every)]
        counted = sums((a | b) != 0, steps)
        differing = sums(np.bitwise_count(a ^ b), steps)
        least = MIN_OVERLAP * sounding[which]
        if parts:
            least = np.minimum(least, SHARED_FRAMES)
        known = (counted > 0) & (every * counted >= least)
        distance[which[known]] = differing[known] / (32 * counted[known])
    return distance


def _overlap(prints, i, j, offset, parts):
    """From which frame of `i` on how many lie upon frames of `j`; none where these are too few."""
    a, b = prints.counts[i], prints.counts[j]
    first = np.maximum(0, offset)
    n = np.minimum(a, offset + b) - first
    least = MIN_OVERLAP * (np.minimum(a, b) if parts else np.maximum(a, b))
    if parts:
        least = np.minimum(least, SHARED_FRAMES)
    return first, np.where(n >= least, n, 0)


def _brief(prints, i, j, offset):
    """Whether the two share less than `LONG_FRAMES` and less than `MIN_OVERLAP` of the shorter."""
    a, b = prints.counts[i], prints.counts[j]
    n = np.minimum(a, offset + b) - np.maximum(0, offset)
    return n < np.minimum(LONG_FRAMES, MIN_OVERLAP * np.minimum(a, b))


def _sounding(prints, which):
    """Frames of each of these clips that are no digital silence."""
    distinct, where = np.unique(which, return_inverse=True)
    some = prints[distinct]
    found = [
        sums(prints.bits[ranges(some.starts[part], some.counts[part])] != 0, some.counts[part])
        for part in portions(some.counts, MAX_COMPARED)
    ]
    return np.concatenate([np.empty(0, np.int64), *found])[where]
