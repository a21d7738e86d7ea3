"""Find repeated audio among a million clips by acoustic fingerprints.

Candidates are clips with a frame in which three of the four bytes are equal, for each choice of the
ignored byte. Copies within the distance limit have such frames; random matches differ a few frames
away. Common frames occur in thousands of clips, so a clip looks up its rarest frames first, which
bounds its cost at any corpus size. Memory: the fingerprints and one index at a time, 6 bytes per
frame while it is built. The package docstring explains the method.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from voicekiln.search.ragged import distinct, portions, ranges, sums

N_INDEXES = 4  # one for each ignored byte
SAMPLE_BITS = 2  # 2^-SAMPLE_BITS of the frames are indexed
MAX_KEY_BITS = 24
LOOK_UPS = 256  # frames of other clips that a clip is compared with, per index
NEXT = (-16, 16)  # offsets, in frames without overlap, of the first check, stored in the index
PROBES = ((-32, 32), (-64, -48, 48, 64))  # offsets of the further checks, in order
PROBE_MARGIN = 0.1  # added to the distance limit, as a probe is short
GAP = 64  # empty frames between clips, so that probes beyond the end of a clip hit zeros
SPARSE_FRAMES = 4  # the first comparison takes one frame in this many
NEAR_FRAMES = 3  # offsets around that of the equal frames; the smallest distance counts
MIN_OVERLAP = 0.6
# Windows cut from one recording differ only by the frame grid: at most 0.1 of the bits in the
# shared part. Short stretches of unrelated speech come as near as 0.19, long ones never.
SHARED_FRAMES, SHARED_DISTANCE = 6, 0.12  # 6 frames are 0.51 s of sound
LONG_FRAMES = 86  # 2.3 s; from here on the limit for copies applies
BLOCK = 2048  # clips looked up together
MAX_COMPARED = 1 << 21  # frames compared together
OFFSET_BITS, CLIP_BITS = 16, 24


@dataclass(frozen=True)
class Fingerprints:
    """Fingerprints of many clips.

    Attributes:
        bits: `[n] uint32`: all clips end to end, with `GAP` zeros before each and after the last.
        starts: first frame of each clip in `bits`, `[n_clips] int64`.
        counts: frames of each clip, `[n_clips] int64`; 0 if it has no fingerprint.
    """

    bits: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def empty(cls, counts: np.ndarray) -> "Fingerprints":
        """Clips of `counts` frames, all zero."""
        bits = np.zeros(counts.sum() + GAP * (len(counts) + 1), np.uint32)
        return cls(bits, np.cumsum(counts + GAP) - counts, counts)

    @classmethod
    def of(cls, prints: Iterable[np.ndarray | None]) -> "Fingerprints":
        """Fingerprints of clips; None for a clip without one."""
        frames = [np.empty(0, np.uint32) if one is None else one for one in prints]
        made = cls.empty(np.array([len(one) for one in frames], np.int64))
        for start, one in zip(made.starts, frames, strict=True):
            made.bits[start : start + len(one)] = one
        return made

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, which: np.ndarray | slice) -> "Fingerprints":
        """View of the given clips, in this order."""
        return Fingerprints(self.bits, self.starts[which], self.counts[which])


class Pairs(NamedTuple):
    """Pairs of clips with the same audio: i < j, sorted."""

    i: np.ndarray
    j: np.ndarray
    distance: np.ndarray  # fraction of differing bits in the overlap
    offset: np.ndarray  # frames from the start of `i` to the start of `j`


def find_copies(
    prints: Fingerprints,
    max_distance: float,
    partial: bool = False,
    queries: np.ndarray | None = None,
) -> Pairs:
    """Pairs of clips with the same audio.

    A clip looks up its rarest frames first, until it was compared with `LOOK_UPS` frames of other
    clips; of a more common frame, with the first clips that contain it.

    Args:
        prints: fingerprints of the clips, at most 12 minutes each.
        max_distance: limit for the fraction of differing bits; unrelated speech mostly has 0.4
            and more.
        partial: also report clips that share only a part: `MIN_OVERLAP` of the shorter clip, or
            `LONG_FRAMES`, or `SHARED_FRAMES` with a distance up to `SHARED_DISTANCE`. Otherwise
            `MIN_OVERLAP` of the longer clip is required.
        queries: clips to look up; None: all.
    """
    queries = np.arange(len(prints)) if queries is None else queries
    found = [np.empty(0, np.uint64)]
    for ignored_byte in range(N_INDEXES):
        index = _Index(prints, ignored_byte)
        for first in range(0, len(queries), BLOCK):
            clips = queries[first : first + BLOCK]
            found.append(index.candidates(clips, max_distance + PROBE_MARGIN, partial))
        del index  # before the next is built
    found = distinct(np.concatenate(found))
    pair = found >> np.uint64(OFFSET_BITS)
    offset = _field(found, 0, OFFSET_BITS) - (1 << OFFSET_BITS - 1)
    i, j = _field(pair, CLIP_BITS, CLIP_BITS), _field(pair, 0, CLIP_BITS)
    rough = _distances(prints, i, j, offset, partial, SPARSE_FRAMES)
    order = np.lexsort((rough, pair))  # per pair, the offset with the smallest distance
    best = order[np.unique(pair[order], return_index=True)[1]]
    best = best[rough[best] <= max_distance + PROBE_MARGIN]
    i, j, offset = i[best], j[best], offset[best]
    shifts = np.arange(-NEAR_FRAMES, NEAR_FRAMES + 1)
    distances = np.array([_distances(prints, i, j, offset + n, partial) for n in shifts])
    nearest = distances.argmin(axis=0)
    distance, offset = distances.min(axis=0), offset + shifts[nearest]
    limit = np.where(_brief(prints, i, j, offset), SHARED_DISTANCE, max_distance)
    near = distance <= np.minimum(limit, max_distance)
    return Pairs(i[near], j[near], distance[near], offset[near])


def _field(numbers, shift, bits):
    return (numbers >> np.uint64(shift) & np.uint64((1 << bits) - 1)).astype(np.int64)


class _Index:
    """Index of the frames of all clips by three of their bytes, on a sample chosen by the hash.

    Attributes:
        rows: positions of the indexed frames in `prints.bits`, clip after clip.
        ends: end of the frames of each clip in `rows`, preceded by 0.
        firsts: start of each key in `sorted`.
        sorted: the positions sorted by key, and by clip within a key.
        around: for each position in `sorted`, the frames at the offsets `NEXT`.
    """

    def __init__(self, prints, ignored_byte):
        self.prints = prints
        self.mask = np.uint32(0xFFFFFFFF ^ 0xFF << 8 * ignored_byte)
        self.by_start = np.argsort(prints.starts, kind="stable")
        self.starts = prints.starts[self.by_start]
        self.rows, self.ends = self._sampled_frames()
        n_bits = min(MAX_KEY_BITS, len(self.rows).bit_length())
        self.shift = np.uint32(32 - SAMPLE_BITS - n_bits)
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

    def _sampled_frames(self):
        sampled, counts = [np.empty(0, np.uint32)], [0]
        for first in range(0, len(self.prints), BLOCK):
            some = self.prints[first : first + BLOCK]
            rows = ranges(some.starts, some.counts)
            chosen = self._hashes(rows) >> np.uint32(32 - SAMPLE_BITS) == 0
            chosen &= self.prints.bits[rows] != 0
            sampled.append(rows[chosen].astype(np.uint32))
            counts += sums(chosen, some.counts).tolist()
        return np.concatenate(sampled), np.cumsum(counts)

    def candidates(self, clips, limit, partial):
        """Candidates: clips that share a key with the given clips and are similar around it.

        Returns:
            earlier clip, later clip and offset, packed into one uint64 per candidate.
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
        earlier = np.append(0, sums(found, counts))[:-1].cumsum()  # matches of the preceding clips
        taken = np.clip(LOOK_UPS - (before - earlier[owner]), 0, found)
        place, query = ranges(begins, taken), np.repeat(np.arange(len(mine)), taken)
        words = zip(NEXT, self.around, strict=True)
        similar = _similar(((bits[mine + at][query], held[place]) for at, held in words), limit)
        mine, other = mine[query[similar]], self.sorted[place[similar]].astype(np.int64)
        for probes in PROBES:
            similar = _similar(((bits[mine + at], bits[other + at]) for at in probes), limit)
            mine, other = mine[similar], other[similar]
        a, b = self._clips(mine), self._clips(other)
        starts = self.prints.starts
        offset = (mine - starts[a]) - (other - starts[b])
        overlapping = (a != b) & (_overlap(self.prints, a, b, offset, partial)[1] > 0)
        a, b, offset = a[overlapping], b[overlapping], offset[overlapping]
        offset = np.where(a < b, offset, -offset) + (1 << OFFSET_BITS - 1)
        pair = np.minimum(a, b) << CLIP_BITS | np.maximum(a, b)
        return distinct(pair.astype(np.uint64) << OFFSET_BITS | offset.astype(np.uint64))

    def _clips(self, rows):
        return self.by_start[np.searchsorted(self.starts, rows, side="right") - 1]


def _similar(pairs, limit):
    """Where the non-silent words of `pairs` differ in at most this fraction of their bits."""
    differing = counted = 0
    for one, two in pairs:
        both = (one != 0) & (two != 0)
        differing = differing + np.bitwise_count(one ^ two) * both
        counted = counted + both.astype(np.uint8)
    return differing <= limit * 32 * counted


def _distances(prints, i, j, offset, partial, every=1):
    """Fraction of differing bits in the overlap of each pair; 1 if the overlap is too short.

    Compares one frame in `every`; frames of digital silence, 0 in both, are ignored.
    """
    first, n = _overlap(prints, i, j, offset, partial)
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
        if partial:
            least = np.minimum(least, SHARED_FRAMES)
        comparable = (counted > 0) & (every * counted >= least)
        distance[which[comparable]] = differing[comparable] / (32 * counted[comparable])
    return distance


def _overlap(prints, i, j, offset, partial):
    """First frame of `i` in the overlap with `j`, and its length; 0 if it is too short."""
    a, b = prints.counts[i], prints.counts[j]
    first = np.maximum(0, offset)
    n = np.minimum(a, offset + b) - first
    least = MIN_OVERLAP * (np.minimum(a, b) if partial else np.maximum(a, b))
    if partial:
        least = np.minimum(least, SHARED_FRAMES)
    return first, np.where(n >= least, n, 0)


def _brief(prints, i, j, offset):
    """Whether the two share less than `LONG_FRAMES` and less than `MIN_OVERLAP` of the shorter."""
    a, b = prints.counts[i], prints.counts[j]
    n = np.minimum(a, offset + b) - np.maximum(0, offset)
    return n < np.minimum(LONG_FRAMES, MIN_OVERLAP * np.minimum(a, b))


def _sounding(prints, which):
    """Number of frames of each of these clips that are not digital silence."""
    distinct, where = np.unique(which, return_inverse=True)
    some = prints[distinct]
    found = [
        sums(prints.bits[ranges(some.starts[part], some.counts[part])] != 0, some.counts[part])
        for part in portions(some.counts, MAX_COMPARED)
    ]
    return np.concatenate([np.empty(0, np.int64), *found])[where]
