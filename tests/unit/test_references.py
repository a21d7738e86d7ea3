"""Which clip a voice speaks after (S2-9): quality and length together."""

import pytest
from corpus_rows import segment, table
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.errors import UserError
from voicekiln.families import f5
from voicekiln.voice.references import PARTS, Range, grade, poor, references

GOOD_S = Range(*f5.REFERENCE_S)
CLEAN = {"confidence": 1.0, "snr_db": 40.0, "bandwidth_hz": 11000.0, "chars_per_s": 14.0}


def clip(text, length_s=6.0, start_s=0.0, **more):
    row = {"split": "train", "language": "en", **CLEAN} | more
    return segment(text, start_s, length_s, **row)


def chosen(*rows, pinned=None):
    """Text of each speaker's reference, the main one first."""
    return [one.row["text"] for one in references(table(*rows), GOOD_S, pinned)]


def test_quality_counts_beside_length():
    noisy = {"confidence": 0.21, "snr_db": 10.0}
    for nearer_s in (0.0, 0.01, 0.5, 2.0):
        rows = [clip("noisy", 7.5, **noisy), clip("clean", 7.5 + nearer_s, 20)]
        assert chosen(*rows) == ["clean"]


@pytest.mark.parametrize(
    "fault",
    [
        {"confidence": 0.5},
        {"cer": 0.2},
        {"snr_db": 15.0},
        {"clipped_share": 0.02},
        {"silence_share": 0.5},
        {"bandwidth_hz": 3400.0},
        {"speaker_distance": 2.5},
        {"chars_per_s": 28.0},
        {"forced_cut": "end"},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_every_fault_counts(fault):
    rows = [clip("faulty", 7.5, **fault), clip("sound", 7.0, 20), clip("third", 2.0, 40)]
    assert chosen(*rows) == ["sound"]


def test_a_short_or_long_clip_is_no_good_reference_however_clean():
    rows = [
        clip("one word", 1.0, **{"snr_db": 60.0}),
        clip("a paragraph", 25.0, 10, **{"snr_db": 60.0}),
        clip("a sentence", 5.0, 50, **{"snr_db": 30.0, "confidence": 0.9}),
    ]
    assert chosen(*rows) == ["a sentence"]


def test_where_all_are_bad_the_least_bad_one_is_taken_and_reported():
    rows = [
        clip("worse", 6.0, snr_db=5.0, confidence=0.2),
        clip("bad", 6.0, 20, snr_db=8.0, confidence=0.4),
    ]
    found = references(table(*rows), GOOD_S)
    assert [one.row["text"] for one in found] == ["bad"]
    assert "speaker anna scores only" in poor(found)[0] and "SNR 8 dB" in poor(found)[0]
    assert poor(references(table(clip("good")), GOOD_S)) == []


def test_nothing_measured_leaves_the_length():
    bare = dict.fromkeys(CLEAN)
    assert chosen(clip("short", 2.0, **bare), clip("right", 7.0, 20, **bare)) == ["right"]


def test_each_speaker_and_language_has_one_and_validation_gives_none():
    rows = [
        clip("anna de", 6.0, 0, language="de"),
        clip("anna en", 6.0, 10),
        clip("anna en too", 5.9, 20, snr_db=39.0),
        clip("ben", 6.0, 30, speaker="ben"),
        clip("carla", 6.0, 40, speaker="carla", split="val"),
        clip("nobody", 6.0, 50, speaker=None),
    ]
    found = references(table(*rows), GOOD_S)
    assert [(one.speaker, one.language) for one in found] == [
        ("anna", "en"), ("anna", "de"), ("", "en"), ("ben", "en"),
    ]  # fmt: skip
    record = found[0].record()
    assert record["why"] == "best of 2 training clips: length 6.0 s, confidence 1.00, SNR 40 dB"
    assert record["train_s"] == pytest.approx(11.9)


def test_a_pinned_clip_is_taken_for_its_speaker_and_is_the_main_one():
    rows = [clip("best", 6.0), clip("mine", 2.0, 10), clip("ben's", 6.0, 20, speaker="ben")]
    rows.append(clip("ben's other", 4.0, 30, speaker="ben", split="val"))
    ids = [row["segment_id"] for row in rows]
    assert chosen(*rows, pinned=ids[1]) == ["mine", "ben's"]
    assert chosen(*rows, pinned=[ids[3], ids[1]]) == ["ben's other", "mine"]
    with pytest.raises(UserError, match="no kept segment has the id nowhere"):
        chosen(*rows, pinned="nowhere")
    with pytest.raises(UserError, match="speaker carla in language en, who has no training clip"):
        held_out = clip("hers", start_s=90, speaker="carla", split="val")
        chosen(*rows, held_out, pinned=table(held_out)["segment_id"].iloc[0])
    with pytest.raises(UserError, match="both of speaker anna"):
        chosen(*rows, pinned=ids[:2])


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_pinned_clip_is_compared_with_the_speakers_others(split):
    rows = [clip(str(i), 6.0, 10 * i, chars_per_s=14.0 + i / 10) for i in range(5)]
    rows.append(clip("hasty", 6.0, 90, chars_per_s=40.0, split=split))
    [found] = references(table(*rows), GOOD_S, rows[-1]["segment_id"])
    assert found.row["text"] == "hasty" and found.score < 0.2
    assert "pace" in poor([found])[0]


MEASURES = {
    name: st.floats(*sorted((part.bad, part.good))).map(lambda x: round(x, 3))
    for name, part in PARTS.items()
    if name not in ("length_s", "pace", "forced_cut")
}


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(MEASURES), st.fixed_dictionaries(MEASURES), st.permutations([0, 1]))
def test_a_clip_that_is_better_in_all_never_loses(one, other, order):
    better = {n: max(one[n], other[n], key=lambda v: v * _sign(n)) for n in MEASURES}
    worse = {n: min(one[n], other[n], key=lambda v: v * _sign(n)) for n in MEASURES}
    rows = [clip("worse", 7.5, **worse), clip("better", 7.5, 20, **better)]
    found = grade(table(*[rows[i] for i in order]), GOOD_S).set_index("text")["score"]
    assert found["better"] >= found["worse"]
    assert chosen(*[rows[i] for i in order]) == ["better"] or found["better"] == found["worse"]


def _sign(name):
    return 1 if PARTS[name].good > PARTS[name].bad else -1
