"""Which clips are another voice's, from unit vectors whose similarities are chosen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.corpus import voices
from voicekiln.corpus.voices import tell_apart

D = 256


def clip(similarity, seed=0, voice=0):
    """A unit vector so similar to the main voice; beside it like others of `voice`."""
    rng = np.random.default_rng((seed, voice))
    own = np.zeros(D)
    own[0] = similarity
    rest = np.zeros(D)
    if voice:
        rest[voice] = np.sqrt(1 - similarity**2)
    else:
        noise = rng.normal(0, 1, D - 50)
        rest[50:] = noise / np.linalg.norm(noise) * np.sqrt(1 - similarity**2)
    return own + rest


OWN = [clip(0.95, seed) for seed in range(20)]


def found(others, recordings=None, seconds=5.0, own=OWN):
    vectors = [*own, *others]
    names = [f"r{i % 4}" for i in range(len(own))] + list(recordings or ["r0"] * len(others))
    return tell_apart(vectors, ["a"] * len(vectors), names, [seconds] * len(vectors))


@pytest.mark.parametrize(
    "similarity, recording, listed, sure",
    [
        (0.9, "r0", False, False),
        (0.8, "r0", False, False),
        (0.65, "r0", True, True),  # most of its recording is the main voice's
        (0.65, "alone", True, False),  # perhaps another microphone
        (0.5, "alone", True, True),
    ],
)
def test_the_rest_of_its_recording_tells_how_sure_a_clip_is(similarity, recording, listed, sure):
    result = found([clip(similarity, voice=3)], [recording])
    assert (result.distance[-1] > voices.UNLIKE) == listed
    assert result.sure[-1] == sure and not result.sure[:-1].any()


def test_a_short_clip_is_never_sure():
    result = found([clip(0.4, voice=3)], seconds=1.2)
    assert result.distance[-1] > voices.VERY_UNLIKE and not result.sure.any()


def test_a_second_voice_is_told_and_not_dropped_where_it_has_many_clips():
    few = found([clip(0.5, i, voice=3) for i in range(4)])
    assert few.several == {"a": (20, 4)} and few.sure[-4:].all()
    many = found([clip(0.5, i, voice=3) for i in range(15)])
    assert many.several == {"a": (20, 15)} and not many.sure.any()


def test_clips_that_are_like_no_other_are_no_second_voice():
    assert found([clip(0.5, voice=k) for k in (3, 4, 5)]).several == {}


def test_few_clips_and_clips_without_features_say_nothing():
    result = tell_apart([*OWN[:4], None], ["a"] * 5, ["r"] * 5, [5.0] * 5)
    assert np.isnan(result.distance).all() and not result.sure.any() and result.several == {}


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(23)), st.integers(0, 3))
def test_the_order_of_the_clips_does_not_matter(order, n_other):
    vectors = [*OWN, *(clip(0.55, i, voice=3) for i in range(3))][: 20 + n_other]
    order = [i for i in order if i < len(vectors)]
    names = [f"r{i % 4}" for i in range(len(vectors))]
    straight = tell_apart(vectors, ["a"] * len(vectors), names, [5.0] * len(vectors))
    mixed = tell_apart(
        [vectors[i] for i in order],
        ["a"] * len(order),
        [names[i] for i in order],
        [5.0] * len(order),
    )
    np.testing.assert_allclose(mixed.distance, straight.distance[order], atol=1e-4)
    assert mixed.sure.tolist() == straight.sure[order].tolist()
