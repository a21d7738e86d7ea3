"""Near-duplicate texts, compared with the plain definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.search import minhash

THRESHOLD = 0.85
words = st.lists(st.sampled_from("the cat sat on a mat with one red hat".split()), min_size=2)
several = st.lists(words.map(" ".join), min_size=1, max_size=14, unique=True)


def shingles(text):
    padded = f" {text} "
    return {padded[i : i + 4] for i in range(max(1, len(padded) - 3))}


def similarity(a, b):
    a, b = shingles(a), shingles(b)
    return len(a & b) / len(a | b)


@given(several)
def test_sketches_have_the_shingles_and_their_similarity(texts):
    sketches = minhash.sketch(texts, THRESHOLD)
    assert np.diff(sketches.ends).tolist() == [len(shingles(text)) for text in texts]
    pairs = list(itertools.product(range(len(texts)), repeat=2))
    i, j = np.array(pairs).T
    found = minhash.jaccard(sketches, i, sketches, j)
    assert found == pytest.approx([similarity(texts[a], texts[b]) for a, b in pairs])


def leaders(texts):
    """The definition: in order, a text is kept unless it is a near-duplicate of a kept one."""
    stays, found = [], []
    for j, text in enumerate(texts):
        near = [(similarity(texts[i], text), -i) for i in stays]
        best = max((pair for pair in near if pair[0] >= THRESHOLD), default=None)
        if best is None:
            stays.append(j)
        else:
            found.append((-best[1], j, pytest.approx(best[0])))
    return found


@settings(deadline=None)
@given(several)
def test_each_near_duplicate_is_paired_with_its_leader(texts):
    assert minhash.near_duplicates(texts, THRESHOLD) == leaders(texts)


def test_results_do_not_depend_on_blocks():
    draw = np.random.default_rng(0)
    said = [" ".join(draw.choice(list("abcdefghijklmnop"), 24)) for _ in range(300)]
    near = [text[:-1] + "z" for text in said]
    order = draw.permutation(600)
    texts = [(said + near)[i] for i in order]
    assert minhash.near_duplicates(texts, THRESHOLD) == leaders(texts)


@settings(deadline=None)
@given(several, several)
def test_queries_find_their_near_duplicates(queries, texts):
    found = minhash.near_matches(queries, texts, THRESHOLD)
    for q, query in enumerate(queries):
        best = max(similarity(query, text) for text in texts)
        assert (q in found) == (best >= THRESHOLD)
        if q in found:
            assert found[q][1] == pytest.approx(best)


def test_a_thousand_texts_with_a_common_start_are_not_duplicates_and_real_ones_are_found():
    """A bucket larger than the number of texts compared per text."""
    draw = np.random.default_rng(0)
    begin = "in the beginning of every one of these texts stands this long sentence and then"
    ends = [" ".join(draw.choice(list("bcdfghjklmnpqrstvwxz"), 30)) for _ in range(1000)]
    texts = [f"{begin} {end}" for end in ends]
    texts += [text[:-1] + "a" for text in texts]
    found = minhash.near_duplicates(texts, 0.9)
    again = {j: i for i, j, _ in found}
    assert all(i == j - 1000 for j, i in again.items())
    assert len(again) >= 990


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85, 0.95, 1.0])
def test_bands_miss_pairs_at_the_threshold_rarely(threshold):
    number, length = minhash.bands(threshold)
    assert number * length <= minhash.HASHES
    assert (1 - threshold**length) ** number < minhash.MISS


def test_no_texts_have_no_pairs():
    assert minhash.near_duplicates([], 0.8) == []
    assert minhash.near_duplicates(["", "a"], 0.8) == []
    assert minhash.near_matches(["a"], [], 0.8) == {}
    assert minhash.near_matches([], ["a"], 0.8) == {}
