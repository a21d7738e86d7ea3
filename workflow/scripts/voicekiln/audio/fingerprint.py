"""Acoustic fingerprints: the same recording is known again after codecs, gain, noise and trimming.

Haitsma, Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): 32 bits a frame, each
the sign of a difference of energies of neighbouring bands and frames. Frames are long and overlap,
so that it does not matter where a copy begins.
"""

from collections.abc import Sequence

import numpy as np
import scipy.fft
import soxr

RATE_HZ = 5512  # all bands lie below 2 kHz
WINDOW, HOP = 2048, 128  # samples: 0.37 s, every 23 ms
N_BANDS, LOW_HZ, HIGH_HZ = 33, 300.0, 2000.0
FRAMES_PER_S = RATE_HZ / HOP


def fingerprint(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """`[n] uint32`, one for every 23 ms that has a whole window after it.

    Args:
        samples: `[n]` float32 at `rate_hz`, of any loudness.
    """
    if rate_hz != RATE_HZ:
        samples = soxr.resample(samples, rate_hz, RATE_HZ, quality="LQ")
    if len(samples) < WINDOW + HOP:
        samples = np.pad(samples, (0, WINDOW + HOP - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    energies = np.empty((len(frames), N_BANDS), np.float32)
    for start in range(0, len(frames), 1024):
        some = frames[start : start + 1024] * np.hanning(WINDOW).astype(np.float32)
        power = np.square(np.abs(scipy.fft.rfft(some, axis=1)))
        energies[start : start + 1024] = np.add.reduceat(power, EDGES, axis=1)[:, :N_BANDS]
    between_bands = energies[:, :-1] - energies[:, 1:]
    bits = between_bands[1:] > between_bands[:-1]
    return np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0].astype(np.uint32)


_EDGES_HZ = np.geomspace(LOW_HZ, HIGH_HZ, N_BANDS + 1)
EDGES = np.round(_EDGES_HZ * WINDOW / RATE_HZ).astype(int)

# Copies are met where 24 of 32 bits are equal: three of the four bytes, in each of the four ways.
MASKS = tuple(np.uint32(0xFFFFFFFF) ^ (np.uint32(0xFF) << np.uint32(8 * n)) for n in range(4))
INDEX_EVERY = 4  # frames
MAX_BUCKET = 64  # a pattern that more indexed frames have says nothing
MIN_HITS = 3  # at one offset, of what is expected of a copy: a quarter of a hundred
NEAR_FRAMES = 3  # around the offset of the hits, the least distance counts
MIN_OVERLAP = 0.6
BLOCK = 4096  # clips that are looked up together
OFFSET_BITS, CLIP_BITS = 16, 24


def copies(
    prints: Sequence[np.ndarray], max_distance: float, parts: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of clips that hold the same recording.

    Args:
        prints: fingerprint of each clip, at most 12 minutes each.
        max_distance: share of the bits that may differ; unrelated speech mostly
            differs in 0.4 and more.
        parts: clips count that hold `MIN_OVERLAP` of the shorter; otherwise, of the longer.

    Returns:
        i, j (i < j, sorted) and the distance of each pair.
    """
    lengths = np.array([len(one) for one in prints], np.int64)
    clip = np.repeat(np.arange(len(prints)), lengths)
    at = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    bits = np.concatenate([np.empty(0, np.uint32), *prints])
    indexed = np.flatnonzero((at % INDEX_EVERY == 0) & (bits != 0))
    index = []
    for mask in MASKS:
        order = np.argsort(bits[indexed] & mask, kind="stable")
        index.append(((bits[indexed] & mask)[order], indexed[order]))
    found = [
        _hits(bits, clip, at, rows, index)
        for rows in _blocks(lengths)
    ]  # fmt: skip
    i, j, offset = np.concatenate([np.empty((3, 0), np.int64), *found], axis=1)
    rows = [_distance(prints[a], prints[b], o, parts) for a, b, o in zip(i, j, offset, strict=True)]
    distance = np.array(rows, np.float64)
    near = distance <= max_distance
    order = np.lexsort((j[near], i[near]))
    return i[near][order], j[near][order], distance[near][order]


def _blocks(lengths):
    ends = np.append(0, np.cumsum(lengths))
    for start in range(0, len(lengths), BLOCK):
        yield np.arange(ends[start], ends[min(start + BLOCK, len(lengths))])


def _hits(bits, clip, at, rows, index):
    """Earlier clip, later clip, offset of those with `MIN_HITS` equal patterns at one offset."""
    votes = []
    rows = rows[bits[rows] != 0]
    for mask, (keys, indexed) in zip(MASKS, index, strict=True):
        asked = bits[rows] & mask
        first = np.searchsorted(keys, asked)
        counts = np.searchsorted(keys, asked, side="right") - first
        counts[counts > MAX_BUCKET] = 0
        before = np.cumsum(counts) - counts
        other = indexed[np.arange(counts.sum()) + np.repeat(first - before, counts)]
        mine = np.repeat(rows, counts)
        earlier = clip[other] < clip[mine]
        other, mine = other[earlier], mine[earlier]
        offset = (at[other] - at[mine]) // 2 + (1 << (OFFSET_BITS - 1))
        votes.append((((clip[other] << CLIP_BITS) | clip[mine]) << OFFSET_BITS) | offset)
    votes = np.concatenate(votes)
    votes.sort()
    starts = np.flatnonzero(np.append(True, votes[1:] != votes[:-1])) if len(votes) else votes
    counts = np.diff(np.append(starts, len(votes)))
    enough = counts >= MIN_HITS
    kept, counts = votes[starts[enough]], counts[enough]
    pair = kept >> OFFSET_BITS
    order = np.lexsort((kept, -counts, pair))  # of each pair the offset with the most votes
    _, best = np.unique(pair[order], return_index=True)
    kept = kept[order][best]
    offset = ((kept & ((1 << OFFSET_BITS) - 1)) - (1 << (OFFSET_BITS - 1))) * 2
    pair = kept >> OFFSET_BITS
    return np.stack([pair >> CLIP_BITS, pair & ((1 << CLIP_BITS) - 1), offset])


def _distance(a, b, offset, parts):
    """Least share of differing bits with `b` laid upon `a` near `offset`; 1 if they overlap little.

    Frames of digital silence, which are 0 in both, do not count.
    """
    least = 1.0
    whole = min(len(a), len(b)) if parts else max(len(a), len(b))
    for shift in range(offset - NEAR_FRAMES, offset + NEAR_FRAMES + 1):
        first, last = max(0, shift), min(len(a), shift + len(b))
        if last - first < MIN_OVERLAP * whole:
            continue
        one, other = a[first:last], b[first - shift : last - shift]
        counted = np.count_nonzero(one | other)
        if counted >= MIN_OVERLAP * min(np.count_nonzero(a), np.count_nonzero(b)) and counted:
            least = min(least, float(np.bitwise_count(one ^ other).sum()) / (32 * counted))
    return least
