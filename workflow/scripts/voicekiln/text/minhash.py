"""Near-duplicate texts: MinHash signatures, banded lookup, and the exact Jaccard of what it finds.

Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman, Ullman,
"Mining of Massive Datasets", chapter 3.
"""

import numpy as np

SHINGLE = 4  # characters
BANDS, ROWS = 32, 4  # a pair of Jaccard 0.8 is met with 1 - (1 - 0.8**4)**32 > 0.9999
PRIME = np.uint64((1 << 61) - 1)


def shingles(text: str) -> np.ndarray:
    """Hashes of the distinct runs of `SHINGLE` characters, `[n] uint64`, sorted."""
    codes = np.frombuffer(f" {text} ".encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    if len(codes) < SHINGLE:
        codes = np.pad(codes, (0, SHINGLE - len(codes)))
    windows = np.lib.stride_tricks.sliding_window_view(codes, SHINGLE)
    mixed = np.zeros(len(windows), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in range(SHINGLE):  # FNV-1a over the characters, then a finaliser
            mixed = (mixed ^ windows[:, column]) * np.uint64(0x100000001B3)
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(33)
    return np.unique(mixed)


def signatures(sets: list[np.ndarray], seed: int = 1) -> np.ndarray:
    """MinHash signatures `[n, BANDS * ROWS] uint64` of sets of shingles."""
    rng = np.random.default_rng(seed)
    odd = rng.integers(1, 1 << 63, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
    shift = rng.integers(0, 1 << 63, BANDS * ROWS, dtype=np.uint64)
    signature = np.empty((len(sets), BANDS * ROWS), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for i, hashes in enumerate(sets):
            # multiply-add modulo 2^64; the high bits are the well-mixed ones
            signature[i] = ((hashes[:, None] * odd + shift) >> np.uint64(16)).min(axis=0)
    return signature


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Jaccard similarity of two sets of shingles (sorted, distinct)."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)


def near_pairs(texts: list[str], threshold: float) -> list[tuple[int, int, float]]:
    """Pairs of texts whose character shingles have at least that Jaccard similarity.

    Args:
        texts: distinct comparable texts (`text.clean.comparable`).
        threshold: 0 ... 1; pairs below about 0.6 are found less surely.

    Returns:
        `(i, j, similarity)` with i < j, sorted.
    """
    if not texts:
        return []
    sets = [shingles(text) for text in texts]
    signature = signatures(sets)
    similar: dict[tuple[int, int], float] = {}
    for band in range(BANDS):
        rows = np.ascontiguousarray(signature[:, band * ROWS : (band + 1) * ROWS])
        keys = rows.view([("", rows.dtype)] * ROWS).ravel()
        order = np.argsort(keys, kind="stable")
        bounds = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
        for bucket in np.split(order, bounds):
            members = sorted(bucket.tolist())
            for x, i in enumerate(members):
                for j in members[x + 1 :]:
                    if (i, j) not in similar:
                        similar[i, j] = jaccard(sets[i], sets[j])
    return sorted((i, j, share) for (i, j), share in similar.items() if share >= threshold)
