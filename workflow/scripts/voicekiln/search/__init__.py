"""Similarity search in large corpora: near-duplicate texts and repeated audio.

Comparing every pair is quadratic: a million clips make 5e11 pairs. Both searches are instances of
locality-sensitive hashing: items that agree in any of several short hashes become candidates,
cheap filters discard most of them, and the exact similarity is computed for the rest, so no pair is
reported by a hash alone. All work is on whole NumPy arrays, in blocks of bounded size.

Texts (minhash.py)
    1. A text is the set of its runs of 4 characters (shingles), hashed to 32 bits.
    2. 128 random hash functions map the set to a signature: the minimum of each function. Two texts
       agree in any one minimum with a probability equal to their Jaccard similarity s = |A & B| /
       |A | B|, so the fraction of equal minima estimates s.
    3. The signature is cut into bands of r minima. Two texts share at least one band with
       probability 1 - (1 - s^r)^(128 / r), an S-curve; r is the longest for which a pair at the
       threshold is missed with a probability below 0.001. At 0.85, r = 7: 18 bands.
    4. Texts that share a band are candidates. In a crowded band (a phrase that thousands of texts
       start with) a text is compared only with the 64 whose next minima are most similar.
    5. Candidates whose signatures agree well enough (one byte per minimum) are compared exactly, by
       the Jaccard similarity of their shingles. This value is returned.

Audio (fingerprints.py; audio/fingerprint.py computes the fingerprints)
    1. A clip is a sequence of 32-bit words, one per 23 ms. In copies that went through a codec, a
       gain, noise or trimming, mostly less than 0.3 of the bits differ; in unrelated speech mostly
       more than 0.4.
    2. Where few bits are flipped, some words keep three of their four bytes. Each of four indexes
       ignores one byte and hashes the other three; a quarter of the words is indexed, chosen by the
       hash, so that equal words are chosen in both clips.
    3. A clip looks up its rarest words first, up to 256 words of other clips per index. Common
       words (long vowels) are rarely looked up, and the cost per clip is bounded at any size.
    4. An equal word proposes a pair of clips and an offset between them. Words 16, 32, 48 and 64
       frames before and after are compared; most random matches fail the first of these checks.
    5. For each surviving pair the fraction of differing bits over the whole overlap is computed, on
       every fourth frame first, then on all frames at offsets of up to 3 frames around. Pairs below
       the limit are returned, with this distance and offset.

ragged.py has the array operations both share: rows of different lengths, stored end to end.

`benchmarks/duplicates.py` measures time, memory, recall and false matches at 10 000 to 1 000 000
items, and datasketch's MinHash beside ours; the figures are in docs/data-quality.md, "Deduplicate".
"""
