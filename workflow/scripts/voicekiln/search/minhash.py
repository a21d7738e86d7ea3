"""Find near-duplicate texts among millions: MinHash, banded lookup, exact Jaccard similarity.

Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman, Ullman,
"Mining of Massive Datasets", chapter 3. The package docstring explains the method.

A text is the set of its runs of 4 characters. Two texts are candidates if a band of their
signatures is equal; bands are as long as the threshold allows, so that a pair at the threshold is
missed with a probability below `MISS`. The true similarity is computed for candidates whose
signatures agree well enough. If more than `MAX_BUCKET` texts share a band (a phrase that thousands
of texts start with), a text is compared only with those whose signatures continue most similarly.
All work is on whole arrays, some thousand texts at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voicekiln.search.ragged import distinct, portions, ranges

SHINGLE = 4  # characters
HASHES = 128
MISS = 1e-3  # probability that a pair at the threshold shares no band
MARGIN = 0.15  # five standard deviations of the estimate from 128 hashes at a similarity of 0.85
CHUNK = 65_536  # texts hashed together
FIRST_BLOCK, MAX_BLOCK = 256, 16_384  # texts looked up together
MAX_BUCKET = 64  # texts sharing a band that a text is compared with
MAX_CANDIDATES = 1 << 21  # pairs compared together
KEY_BITS, NEXT_BITS, N_NEXT = 40, 8, 3  # layout of a key: the band, then the next hashes


@dataclass(frozen=True)
class Sketches:
    """Texts as sets of shingles and as signatures.

    Attributes:
        keys: `[n, bands] uint64`: hash of the band in the upper bits, then the first bits of the
            next hashes, so that the most similar texts are neighbours in sorted order.
        marks: `[n, HASHES] uint8`, one byte per hash: b-bit minwise hashing (Li, König 2010).
        shingles: hashes of the distinct shingles of all texts, end to end, uint32.
        ends: end of each text's shingles, `[n + 1] int64`, preceded by 0.
    """

    keys: np.ndarray
    marks: np.ndarray
    shingles: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.marks)


def sketch(texts: Sequence[str], threshold: float) -> Sketches:
    """Sketch texts (in the form of `text.clean.comparable`) for a threshold, in order."""
    parts = [_sketch(texts[i : i + CHUNK], threshold) for i in range(0, max(1, len(texts)), CHUNK)]
    counts = np.concatenate([np.diff(part.ends) for part in parts])
    return Sketches(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.marks for part in parts]),
        np.concatenate([part.shingles for part in parts]),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def _sketch(texts, threshold):
    padded = [f" {text} ".ljust(SHINGLE, "\0") for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32)
    lengths = np.array([len(text) for text in padded], np.int64)
    n_windows = lengths - SHINGLE + 1
    owner = np.repeat(np.arange(len(texts)), n_windows)
    begins = np.cumsum(lengths) - lengths
    at = ranges(begins, n_windows)
    mixed = np.zeros(len(at), np.uint64)
    for column in range(SHINGLE):  # FNV-1a over the characters, then a finaliser
        mixed = (mixed ^ codes[at + column]) * np.uint64(0x100000001B3)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    # text number in the upper bits, shingle hash in the lower: one sort builds all sets
    keys = distinct((owner.astype(np.uint64) << np.uint64(32)) | (mixed >> np.uint64(32)))
    shingles = keys.astype(np.uint32)
    ends = np.searchsorted(keys, np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(32))
    rng = np.random.default_rng(1)
    odd = rng.integers(1 << 32, size=HASHES, dtype=np.uint32) | np.uint32(1)
    shift = rng.integers(1 << 32, size=HASHES, dtype=np.uint32)
    signatures = np.empty((HASHES, len(texts)), np.uint32)
    for i in range(HASHES if len(texts) else 0):  # multiply-add modulo 2^32
        signatures[i] = np.minimum.reduceat(shingles * odd[i] + shift[i], ends[:-1])
    marks = np.ascontiguousarray(signatures.astype(np.uint8).T)
    return Sketches(_band_keys(signatures, threshold), marks, shingles, ends.astype(np.int64))


def _band_keys(signatures, threshold):
    n_bands, length = bands(threshold)
    keys = np.empty((signatures.shape[1], n_bands), np.uint64)
    for band in range(n_bands):
        begin = band * length
        key = np.full(signatures.shape[1], band, np.uint64)
        for row in signatures[begin : begin + length]:
            key = (key ^ row) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(32)
        key >>= np.uint64(64 - KEY_BITS)
        for n in range(N_NEXT):
            following = signatures[(begin + length + n) % HASHES]
            key = (key << np.uint64(NEXT_BITS)) | (following >> np.uint32(32 - NEXT_BITS))
        keys[:, band] = key
    return keys


def jaccard(a: Sketches, i: np.ndarray, b: Sketches, j: np.ndarray) -> np.ndarray:
    """Jaccard similarity of texts `i` of `a` and `j` of `b`, `[n] float64`."""
    n_common = np.empty(len(i), np.int64)
    size_a, size_b = np.diff(a.ends)[i], np.diff(b.ends)[j]
    for some in portions(size_a + size_b, 1 << 23):
        keys = np.concatenate([_members(a, i[some]), _members(b, j[some])])
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)
        n_common[some] = np.bincount(twice.astype(np.int64), minlength=len(i[some]))
    return n_common / (size_a + size_b - n_common)


def _members(sketches, which):
    """Shingles of some texts, each prefixed by the position of its text in `which`."""
    counts = np.diff(sketches.ends)[which]
    rows = ranges(sketches.ends[which], counts)
    place = np.repeat(np.arange(len(which), dtype=np.uint64), counts)
    return (place << np.uint64(32)) | sketches.shingles[rows]


def bands(threshold: float) -> tuple[int, int]:
    """Number and length of the bands: the longest that miss pairs at `threshold` rarely enough.

    A pair of similarity s shares one of HASHES // r bands of r hashes with a probability of
    1 - (1 - s^r)^(HASHES // r).
    """
    fitting = [
        r for r in range(1, HASHES // 4) if (1 - threshold**r) ** (HASHES // r) < MISS
    ]  # fmt: skip
    length = max(fitting, default=1)
    return HASHES // length, length


class Index:
    """Index of the rows of `sketches` that were added."""

    def __init__(self, sketches: Sketches, threshold: float):
        """`threshold`: smallest Jaccard similarity of near-duplicates."""
        self.sketches, self.threshold = sketches, threshold
        n_bands = sketches.keys.shape[1]
        self._keys = [np.empty(0, np.uint64)] * n_bands  # sorted
        self._rows = [np.empty(0, np.int64)] * n_bands  # in the order of the keys

    def add(self, rows: np.ndarray) -> None:
        """Add these rows of the sketches to the index."""
        for band in range(len(self._keys)):
            keys = np.concatenate([self._keys[band], self.sketches.keys[rows, band]])
            order = np.argsort(keys, kind="stable")
            self._keys[band] = keys[order]
            self._rows[band] = np.concatenate([self._rows[band], rows])[order]

    def match(
        self, queries: Sketches, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Near-duplicates of these rows of `queries` in the index.

        Returns:
            rows of `queries`, rows of the index's sketches and similarities of all pairs found,
            sorted by both rows.
        """
        found = []
        for band in range(len(self._keys)):
            first, counts = self._candidates(queries.keys[rows, band], band)
            for some in portions(counts, MAX_CANDIDATES):
                q = np.repeat(rows[some], counts[some])
                t = self._rows[band][ranges(first[some], counts[some])]
                agree = (queries.marks[q] == self.sketches.marks[t]).sum(axis=1, dtype=np.uint8)
                similar = agree >= (self.threshold - MARGIN) * HASHES
                found.append((q[similar] << 32) | t[similar])
        pairs = distinct(np.concatenate([np.empty(0, np.int64), *found]))
        q, t = pairs >> 32, pairs & 0xFFFFFFFF
        similarity = jaccard(queries, q, self.sketches, t)
        near = similarity >= self.threshold
        return q[near], t[near], similarity[near]

    def _candidates(self, keys, band):
        """Start of each key's candidates in sorted order, and their number."""
        held = self._keys[band]
        below = np.uint64(N_NEXT * NEXT_BITS)
        bucket = keys >> below << below
        first = np.searchsorted(held, bucket)
        last = np.searchsorted(held, bucket | np.uint64((1 << int(below)) - 1), side="right")
        here = np.searchsorted(held, keys)
        window_first = np.clip(here - MAX_BUCKET // 2, first, np.maximum(first, last - MAX_BUCKET))
        counts = np.minimum(last - first, MAX_BUCKET)
        return window_first, counts


def near_duplicates(texts: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    """Pair each near-duplicate text with the kept text that it is most similar to.

    In the order of `texts`, a text is kept unless it is a near-duplicate of a kept one. There is
    at most one pair per text, even if thousands are similar.

    Args:
        texts: distinct texts, by descending preference.
        threshold: Jaccard similarity, 0 to 1.

    Returns:
        `(i, j, similarity)`: `j` is a near-duplicate of the kept text `i`, the most similar one,
        or the first of equals. Sorted by j.
    """
    sketches = sketch(texts, threshold)
    index = Index(sketches, threshold)
    pairs = []
    start, size = 0, FIRST_BLOCK
    while start < len(texts):
        rows = np.arange(start, min(start + size, len(texts)))
        leader, similarity = _best(*index.match(sketches, rows), len(texts))
        fresh = rows[leader[rows] < 0]
        _choose_leaders(sketches, fresh, threshold, leader, similarity)
        index.add(fresh[leader[fresh] < 0])
        again = rows[leader[rows] >= 0]
        pairs += zip(
            leader[again].tolist(), again.tolist(), similarity[again].tolist(), strict=True
        )
        start, size = start + size, min(2 * size, MAX_BLOCK)
    return pairs


def _choose_leaders(sketches, rows, threshold, leader, best):
    """Decide which of these texts are kept, and assign the others to them, in `leader`."""
    among = Index(sketches, threshold)
    among.add(rows)
    later, earlier, similarity = among.match(sketches, rows)
    ordered = earlier < later
    for j, i, value in zip(later[ordered], earlier[ordered], similarity[ordered], strict=True):
        # pairs are sorted by j, then i, so every i is decided before a later j refers to it
        if leader[i] < 0 and (leader[j] < 0 or value > best[j]):
            leader[j], best[j] = i, value


def _best(queries, held, similarity, n):
    """Most similar match of each of `n` texts (-1: none), and its similarity."""
    leader, best = np.full(n, -1), np.zeros(n)
    order = np.lexsort((held, -similarity, queries))
    queries, first = np.unique(queries[order], return_index=True)
    leader[queries], best[queries] = held[order][first], similarity[order][first]
    return leader, best


def near_matches(
    queries: Sequence[str], texts: Sequence[str], threshold: float
) -> dict[int, tuple[int, float]]:
    """Map each query with a near-duplicate in `texts` to the most similar one, with similarity."""
    held, asked = sketch(texts, threshold), sketch(queries, threshold)
    index = Index(held, threshold)
    index.add(np.arange(len(held)))
    found = {}
    for start in range(0, len(asked), MAX_BLOCK):
        rows = np.arange(start, min(start + MAX_BLOCK, len(asked)))
        leader, similarity = _best(*index.match(asked, rows), len(asked))
        found |= {int(q): (int(leader[q]), float(similarity[q])) for q in rows[leader[rows] >= 0]}
    return found
