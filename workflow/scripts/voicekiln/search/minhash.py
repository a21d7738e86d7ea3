"""Near-duplicate texts among millions: MinHash signatures, banded lookup, exact Jaccard at the end.

Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman, Ullman,
"Mining of Massive Datasets", chapter 3.

A text is the set of its runs of 4 characters. Two texts are candidates where a band of their
signatures is equal; bands are as long as the threshold allows, so that a pair at the threshold is
missed with a probability below `MISS`. Of candidates whose signatures agree well enough the true
similarity is computed. Where more than `MAX_BUCKET` texts share a band (a phrase that thousands of
texts begin with), a text is compared with those of them whose signatures go on most alike. All
work is on whole arrays, some thousand texts at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voicekiln.search.ragged import distinct, portions, ranges

SHINGLE = 4  # characters
HASHES = 128
MISS = 1e-3  # that a pair right at the threshold shares no band
MARGIN = 0.15  # five standard deviations of the estimate from 128 hashes at a similarity of 0.85
CHUNK = 65_536  # texts that are hashed together
FIRST_BLOCK, MAX_BLOCK = 256, 16_384  # texts that are looked up together
MAX_BUCKET = 64  # texts of one band that a text is compared with
MAX_CANDIDATES = 1 << 21  # pairs that are compared together
KEY_BITS, NEXT_BITS, N_NEXT = 40, 8, 3  # of a band's key, and of the hashes that follow the band


@dataclass(frozen=True)
class Sketches:
    """Texts as sets of shingles and as signatures.

    Attributes:
        keys: `[n, bands] uint64`: the band's key in the upper bits, below it the first bits of the
            hashes that follow, so that in sorted order the most alike are neighbours.
        marks: `[n, HASHES] uint8`, a byte of each hash: b-bit minwise hashing (Li, König 2010).
        shingles: hashes of all texts' distinct shingles, one text after the other, uint32.
        ends: where each text's shingles end, `[n + 1] int64`, 0 first.
    """

    keys: np.ndarray
    marks: np.ndarray
    shingles: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.marks)


def sketch(texts: Sequence[str], threshold: float) -> Sketches:
    """The sketches of texts (`text.clean.comparable`), in their order, for this threshold."""
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
    firsts = np.cumsum(n_windows) - n_windows
    at = np.arange(n_windows.sum()) - np.repeat(firsts - begins, n_windows)
    mixed = np.zeros(len(at), np.uint64)
    for column in range(SHINGLE):  # FNV-1a over the characters, then a finaliser
        mixed = (mixed ^ codes[at + column]) * np.uint64(0x100000001B3)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    # the text's number above, its shingle's hash below: one sort makes all sets at once
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
    """Jaccard similarity of the sets of texts `i` of `a` and `j` of `b`, `[n] float64`."""
    n_common = np.empty(len(i), np.int64)
    size_a, size_b = np.diff(a.ends)[i], np.diff(b.ends)[j]
    for some in portions(size_a + size_b, 1 << 23):
        keys = np.concatenate([_members(a, i[some]), _members(b, j[some])])
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)
        n_common[some] = np.bincount(twice.astype(np.int64), minlength=len(i[some]))
    return n_common / (size_a + size_b - n_common)


def _members(sketches, which):
    """Shingles of some texts, each under the place of its text in `which`."""
    counts = np.diff(sketches.ends)[which]
    rows = ranges(sketches.ends[which], counts)
    place = np.repeat(np.arange(len(which), dtype=np.uint64), counts)
    return (place << np.uint64(32)) | sketches.shingles[rows]


def bands(threshold: float) -> tuple[int, int]:
    """Number and length of the bands: the longest that miss a pair at `threshold` less than `MISS`.

    A pair of similarity s shares a band of r hashes, of HASHES // r, with 1 - (1 - s^r)^(HASHES/r).
    """
    fitting = [
        r for r in range(1, HASHES // 4) if (1 - threshold**r) ** (HASHES // r) < MISS
    ]  # fmt: skip
    length = max(fitting, default=1)
    return HASHES // length, length


class Index:
    """Texts to be compared with others: rows of `sketches` that were added."""

    def __init__(self, sketches: Sketches, threshold: float):
        """`threshold`: Jaccard similarity from which texts are near-duplicates."""
        self.sketches, self.threshold = sketches, threshold
        n_bands = sketches.keys.shape[1]
        self._keys = [np.empty(0, np.uint64)] * n_bands  # sorted
        self._rows = [np.empty(0, np.int64)] * n_bands  # in their order

    def add(self, rows: np.ndarray) -> None:
        """Take these rows of the sketches into the index."""
        for band in range(len(self._keys)):
            keys = np.concatenate([self._keys[band], self.sketches.keys[rows, band]])
            order = np.argsort(keys, kind="stable")
            self._keys[band] = keys[order]
            self._rows[band] = np.concatenate([self._rows[band], rows])[order]

    def match(self, asked: Sketches, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which texts of the index are near-duplicates of these rows of `asked`.

        Returns:
            rows of `asked`, rows of the index's sketches and similarities of all pairs found,
            sorted by both rows.
        """
        found = []
        for band in range(len(self._keys)):
            first, counts = self._candidates(asked.keys[rows, band], band)
            for some in portions(counts, MAX_CANDIDATES):
                q = np.repeat(rows[some], counts[some])
                t = self._rows[band][ranges(first[some], counts[some])]
                agree = (asked.marks[q] == self.sketches.marks[t]).sum(axis=1, dtype=np.uint8)
                alike = agree >= (self.threshold - MARGIN) * HASHES
                found.append((q[alike] << 32) | t[alike])
        pairs = distinct(np.concatenate([np.empty(0, np.int64), *found]))
        q, t = pairs >> 32, pairs & 0xFFFFFFFF
        share = jaccard(asked, q, self.sketches, t)
        near = share >= self.threshold
        return q[near], t[near], share[near]

    def _candidates(self, keys, band):
        """Where in the sorted order each key's candidates begin, and how many there are."""
        held = self._keys[band]
        below = np.uint64(N_NEXT * NEXT_BITS)
        bucket = keys >> below << below
        first = np.searchsorted(held, bucket)
        last = np.searchsorted(held, bucket | np.uint64((1 << int(below)) - 1), side="right")
        here = np.searchsorted(held, keys)
        window_first = np.clip(here - MAX_BUCKET // 2, first, np.maximum(first, last - MAX_BUCKET))
        counts = np.minimum(last - first, MAX_BUCKET)
        return window_first, counts


def near_leaders(texts: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    """For each text that nearly repeats an earlier one: which, and how nearly.

    In the order of `texts`, a text stays unless it is a near-duplicate of one that stays; so the
    number of pairs is bounded by that of texts, also where thousands are alike.

    Args:
        texts: distinct, the most wanted first.
        threshold: Jaccard similarity, 0 ... 1.

    Returns:
        `(i, j, similarity)`: `i` stays, `j` nearly repeats it; of several the most similar, then
        the first. Sorted by j.
    """
    sketches = sketch(texts, threshold)
    index = Index(sketches, threshold)
    pairs = []
    start, size = 0, FIRST_BLOCK
    while start < len(texts):
        rows = np.arange(start, min(start + size, len(texts)))
        leader, share = _best(*index.match(sketches, rows), len(texts))
        fresh = rows[leader[rows] < 0]
        _settle(sketches, fresh, threshold, leader, share)
        index.add(fresh[leader[fresh] < 0])
        again = rows[leader[rows] >= 0]
        pairs += zip(leader[again].tolist(), again.tolist(), share[again].tolist(), strict=True)
        start, size = start + size, min(2 * size, MAX_BLOCK)
    return pairs


def _settle(sketches, rows, threshold, leader, share):
    """Among texts that repeat none of before: who stays, and whom the others repeat."""
    among = Index(sketches, threshold)
    among.add(rows)
    later, earlier, similarity = among.match(sketches, rows)
    ordered = earlier < later
    for j, i, value in zip(later[ordered], earlier[ordered], similarity[ordered], strict=True):
        # pairs come by j, then i; whether an i stays is settled before any later j is looked at
        if leader[i] < 0 and (leader[j] < 0 or value > share[j]):
            leader[j], share[j] = i, value


def _best(asked, held, similarity, n):
    """The most similar match of each of `n` texts (-1: none), and its similarity."""
    leader, share = np.full(n, -1), np.zeros(n)
    order = np.lexsort((held, -similarity, asked))
    asked, first = np.unique(asked[order], return_index=True)
    leader[asked], share[asked] = held[order][first], similarity[order][first]
    return leader, share


def near_matches(
    queries: Sequence[str], texts: Sequence[str], threshold: float
) -> dict[int, tuple[int, float]]:
    """For each query that nearly repeats one of `texts`: which (the most similar), how nearly."""
    held, asked = sketch(texts, threshold), sketch(queries, threshold)
    index = Index(held, threshold)
    index.add(np.arange(len(held)))
    found = {}
    for start in range(0, len(asked), MAX_BLOCK):
        rows = np.arange(start, min(start + MAX_BLOCK, len(asked)))
        leader, share = _best(*index.match(asked, rows), len(asked))
        found |= {int(q): (int(leader[q]), float(share[q])) for q in rows[leader[rows] >= 0]}
    return found
