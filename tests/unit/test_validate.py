"""Rules for single segments and within a speaker, and what a step may lose."""

import numpy as np
import pandas as pd
import pytest
from corpus_rows import recording, segment, table, validate, validate_settings
from voicekiln.corpus import limits as losses
from voicekiln.corpus.decisions import STEPS
from voicekiln.corpus.validate import ANOTHER_SPEAKER, MIN_SEGMENTS
from voicekiln.errors import UserError
from voicekiln.store import tables

LIMITS = dict.fromkeys(STEPS, 0.5) | {"total": 1.0}


def run(segments, features=None, **changed):
    held = pd.Series([None] * len(segments), segments.index, dtype=object)
    for index, feature in (features or {}).items():
        held[index] = feature
    return validate(segments, held, validate_settings(**changed))


@pytest.mark.parametrize(
    "row, reason, value, limit",
    [
        (segment("a good text"), None, None, None),
        (segment("?!"), "no text", 0, 1),
        (
            segment("a good text", text_source="reference", avg_logprob=-1.4, cer=0.2),
            None,
            None,
            None,
        ),
        (segment("a good text", confidence=0.1), "low confidence", 0.1, 0.2),
        (
            segment("a good text", text_source="reference", cer=0.7),
            "text differs from the hypothesis",
            0.7,
            0.5,
        ),
        (segment(None), "no text", 0, 1),
        (segment("hey", length_s=0.25), "too short", 0.25, 0.5),
        (segment("long " * 40, length_s=40), "too long", 40, 30),
        (segment("hi", avg_logprob=-1.5, no_speech_prob=0.9), "no speech detected", 0.9, 0.6),
        (segment("hello there", avg_logprob=-1.5), "recogniser unsure", -1.5, -1.0),
        (segment("hi", length_s=4), "too few characters a second", 0.5, 2),
        (segment("x" * 60), "too many characters a second", 30, 25),
        (segment("a good text", silence_share=0.6), "too much silence", 0.6, 0.5),
        (segment("a good text", clipped_share=0.02), "clipped", 0.02, 0.01),
        (segment("a good text", snr_db=9.0), "noisy", 9, 10),
        (segment("a good text", snr_db=None), None, None, None),
        (segment("ሰላም ለዓለም ሁሉ"), "text not latin", 0, 0.5),
        (segment("a good text", avg_logprob=None, no_speech_prob=None), None, None, None),
    ],
)
def test_each_rule_gives_reason_value_and_limit(row, reason, value, limit):
    result = run(table(row))[0].iloc[0]
    if reason is None:
        assert result["status"] == "keep" and pd.isna(result["reason"])
    else:
        assert (result["status"], result["step"], result["reason"]) == ("drop", "validate", reason)
        assert (result["value"], result["limit"]) == (pytest.approx(value), limit)


def test_long_texts_are_dropped_on_request():
    rows = table(segment("hello there", 0.0), segment("hello, you!", 3.0))
    assert (run(rows)[0]["status"] == "keep").all()
    kept = run(rows, max_chars=9)[0]
    assert list(kept["status"]) == ["drop", "keep"]
    assert (kept["reason"][0], kept["value"][0], kept["limit"][0]) == ("text too long", 10, 9)


def test_a_text_that_does_not_align_is_dropped_if_asked():
    scores = (-0.2, -2.5, None)
    rows = table(*(segment("a good text", 3.0 * i, acoustic_score=s) for i, s in enumerate(scores)))
    kept, _ = run(rows)
    assert (kept["status"] == "keep").all()
    kept, _ = run(rows, min_acoustic_score=-2.0)
    assert list(kept["status"]) == ["keep", "drop", "keep"]
    assert kept["reason"][1] == "text does not align with the audio" and kept["value"][1] == -2.5


def test_few_words_are_dropped_on_request_where_words_can_be_counted():
    rows = table(
        segment("yes", length_s=1, language="en"),
        segment("No - never!", 4, language="en"),
        segment("it's a 3rd one", 8, language="en"),
        segment("你好你好你好", 12, language="zh"),
    )
    assert run(rows, script=None)[0]["status"].eq("keep").all()
    result = run(rows, script=None, min_words=3)[0]
    assert result["reason"].dropna().to_dict() == dict.fromkeys((0, 1), "too few words")
    assert result["value"].dropna().to_dict() == {0: 1.0, 1: 2.0}


def test_what_was_dropped_before_keeps_its_reason():
    row = segment("", status="drop", step="deduplicate", reason="same text")
    assert run(table(row))[0]["reason"][0] == "same text"


@pytest.mark.parametrize(
    "language, text, reason",
    [
        ("am", "ሰላም ለዓለም ሁሉ", None),
        ("am", "selam lealem", "text not ethiopic"),
        ("en", "ሰላም ለዓለም ሁሉ", "text not latin"),
        ("ja", "こんにちは 世界", None),
        ("sr", "dobar dan svima", None),
        ("xx", "whatever it is", None),
    ],
)
def test_the_script_is_that_of_the_language(language, text, reason):
    result, _ = run(table(segment(text, language=language)), script="auto")
    assert (None if pd.isna(result["reason"][0]) else result["reason"][0]) == reason
    assert run(table(segment(text, language=language)), script=None)[0]["status"][0] == "keep"


def speaker(n, **odd):
    """`n` segments of one speaker with measures that vary a little, the last one odd."""
    draw = np.random.default_rng(0)
    rows = []
    for i in range(n):
        usual = {
            "chars_per_s": 10 + draw.normal(),
            "level_db": -25 + draw.normal(),
            "snr_db": 40 + draw.normal(),
            "pitch_hz": 180 + 5 * draw.normal(),
        }
        more = usual | odd if i == n - 1 else usual
        rows.append(segment("said in the usual way", 4 * i, **more))
    return table(*rows)


@pytest.mark.parametrize(
    "odd, reason",
    [
        ({}, None),
        ({"chars_per_s": 3.0}, "unusual pace for the speaker"),
        ({"chars_per_s": 24.0}, "unusual pace for the speaker"),
        ({"level_db": -45.0}, "unusual loudness for the speaker"),
        ({"snr_db": 20.0}, "unusual SNR for the speaker"),
        ({"snr_db": 70.0}, None),
        ({"pitch_hz": 100.0}, "unusual pitch for the speaker"),
        ({"pitch_hz": None, "level_db": None, "snr_db": None, "chars_per_s": None}, None),
    ],
)
def test_what_is_unusual_for_a_speaker_is_dropped(odd, reason):
    result, _ = run(speaker(MIN_SEGMENTS, **odd))
    last = result.iloc[-1]
    assert (result["status"] == "drop").sum() == (reason is not None)
    if reason:
        assert last["reason"] == reason and last["value"] > last["limit"] == 6.0
    assert run(speaker(MIN_SEGMENTS, **odd), max_deviation=0)[0]["status"].eq("keep").all()
    assert run(speaker(MIN_SEGMENTS - 1, **odd))[0]["status"].eq("keep").all()


def test_scores_drop_nothing_unless_there_is_a_limit():
    segments = table(
        segment("a poor one", mos_overall=1.6), segment("a fair one", 4, mos_overall=2.5),
        segment("not measured", 8),
    )  # fmt: skip
    assert run(segments)[0]["status"].eq("keep").all()
    result, _ = run(segments, min_mos=2.5)
    assert list(result["status"]) == ["drop", "keep", "keep"]
    assert list(result.loc[0, ["reason", "value", "limit"]]) == ["low MOS", 1.6, 2.5]


def test_another_voice_is_listed_and_dropped_on_request():
    segments = speaker(40)
    draw = np.random.default_rng(0)
    features = {i: draw.normal(0, 1, 20) for i in range(40)}
    features[7] = features[7] + 9
    result, suspects = run(segments, features)
    assert result["status"].eq("keep").all()
    assert list(suspects["segment_id"]) == [segments["segment_id"][7]]
    assert result["speaker_distance"][7] == suspects["speaker_distance"][0] > 2.8
    result, suspects = run(segments, features, drop_other_speakers=True)
    assert suspects.empty
    assert result.loc[result["status"] == "drop", "reason"].to_dict() == {7: ANOTHER_SPEAKER}


# losses


def lossy(*steps):
    """Segments of two seconds, dropped at these steps (None: kept)."""
    rows = [
        segment("text", 4 * i)
        if step is None
        else segment("text", 4 * i, status="drop", step=step, reason="why", value=1.0, limit=2.0)
        for i, step in enumerate(steps)
    ]
    return table(*rows)


def test_a_step_may_lose_its_share_of_what_it_was_given():
    segments = lossy("segment", "segment", "validate", None, None)
    steps = ("segment", "validate")
    assert losses.too_much_dropped(segments, steps, LIMITS, "voice") == []
    (problem,) = losses.too_much_dropped(segments, steps, LIMITS | {"validate": 0.3}, "voice")
    assert "validate drops 33%" in problem and "max_loss.validate = 0.3" in problem
    assert "set corpora.voice.max_loss.validate: 0.34" in problem, "what would do"
    assert "why: 1 segments" in problem
    assert "r0.wav, 8.00-10.00 s, 1 (limit 2): text" in problem
    passed = LIMITS | {"validate": 0.34}
    assert losses.too_much_dropped(segments, steps, passed, "voice") == []


def test_all_steps_over_their_limits_are_told_together():
    segments = lossy("segment", "segment", "validate", None)
    limits = LIMITS | {"segment": 0.4, "validate": 0.4}
    problems = losses.too_much_dropped(segments, ("segment", "validate"), limits, "voice")
    with pytest.raises(UserError, match=r"(?s)segment drops.*validate drops.*review_so_far"):
        losses.stop(problems)
    losses.stop([])


def test_all_steps_together_have_a_limit_too():
    segments = lossy("segment", "align", "correct", "deduplicate", None)
    limits = LIMITS | {"total": 0.8}
    assert losses.too_much_dropped(segments, ("deduplicate",), limits, "voice") == []
    limits = LIMITS | {"total": 0.7}
    (problem,) = losses.too_much_dropped(segments, ("deduplicate",), limits, "voice")
    assert "up to deduplicate drop 80%" in problem and "max_loss.total: 0.8" in problem


def test_no_limit_is_offered_where_nothing_is_left():
    (problem,) = losses.too_much_dropped(lossy("validate"), ("validate",), LIMITS, "voice")
    assert "nothing is left" in problem and "max_loss.validate: " not in problem


def test_the_worst_segments_are_shown():
    rows = [
        segment("text", 4 * i, status="drop", step="validate", reason="noisy", value=v, limit=10.0)
        for i, v in enumerate([9.0, 3.0, 8.0, 1.0, 7.0, 6.0, 5.0])
    ]
    (problem,) = losses.too_much_dropped(table(*rows), ("validate",), LIMITS, "voice")
    shown = [line.split(", ")[2].split()[0] for line in problem.splitlines()[2:]]
    assert shown == ["1", "3", "5", "6", "7"]


def test_nothing_given_is_nothing_lost():
    for segments, steps in ((lossy("segment", "segment"), ("validate", "split")), (lossy(), ())):
        assert losses.too_much_dropped(segments, steps, LIMITS, "voice") == []


@pytest.mark.parametrize("share, limit", [(0.333, 0.34), (0.5, 0.5), (0.29, 0.29), (1.0, 1.0)])
def test_the_limit_that_is_offered_passes(share, limit):
    assert losses.passing(share) == limit >= share


@pytest.mark.parametrize("n, told", [(20, False), (21, True), (100, True)])
def test_a_reason_that_drops_a_fifth_of_the_segments_is_a_warning(n, told):
    """S4-74: many duplicates, many rejected transcripts."""
    rows = [segment("", status="drop", step="segment", reason="quiet")] * 9
    rows += [segment("", status="drop", step="align", reason="unlike")] * n
    rows += [segment("text")] * (100 - n)
    warnings = losses.many_dropped(table(*rows), "align", {"unlike": "do this"})
    assert warnings == [f"{n} of 100 segments were dropped: unlike; do this"] * told
    assert losses.many_dropped(table(*rows), "align", {"another": ""}) == []


@pytest.mark.parametrize(
    "seconds, words",
    [(100, None), (150, "at least 3 minutes"), (200, "5 minutes or more"), (400, "")],
)
def test_a_corpus_has_a_least_length(seconds, words):
    rows = [recording("a", seconds / 2, speaker="anna"), recording("b", seconds / 2, speaker="ben")]
    rows.append(recording("bad", 9999.0, status="bad"))
    recordings = tables.frame(rows, tables.RECORDINGS)
    warnings, problems = losses.too_little_audio(recordings, 120, "voice")
    if words is None:
        assert not warnings
        assert "anna 0.8 min, ben 0.8 min" in problems[0]
        assert problems[0].endswith("set corpora.voice.min_total_s: 100")
        assert losses.too_little_audio(recordings, 100, "voice")[1] == []
    else:
        assert not problems and words in "".join(warnings)


def test_too_many_bad_recordings_are_a_problem_with_the_list():
    rows = [recording("a"), recording("b", status="bad", reason="truncated"), recording("c")]
    recordings = tables.frame(rows, tables.RECORDINGS)
    assert losses.too_many_bad(recordings, 0.5, "voice") == []
    (problem,) = losses.too_many_bad(recordings, 0.3, "voice")
    assert "1 of 3" in problem and "b.wav: truncated" in problem
    assert "set corpora.voice.max_bad_recordings: 0.34" in problem
    (problem,) = losses.too_many_bad(recordings[recordings["status"] == "bad"], 1.0, "voice")
    assert "1 of 1" in problem and "max_bad_recordings: " not in problem


SIZES = {"min_train": 20, "min_val": 3}


@pytest.mark.parametrize(
    "train, val, n_warnings, remedy",
    [
        (19, 3, 2, "split: {min_train: 19}"),
        (20, 2, 2, "split: {min_val: 2}"),
        (12, 1, 2, "split: {min_train: 12, min_val: 1}"),
        (12, 0, 2, "loosen the rules"),
        (20, 3, 2, None),
        (60, 7, 2, None),
        (100, 10, 0, None),
    ],
)
def test_small_data_sets_are_told_and_too_small_ones_refused(train, val, n_warnings, remedy):
    assert len(losses.small_sets(train, val)) == n_warnings
    problems = losses.too_few_segments(train, val, SIZES, "voice")
    assert len(problems) == (remedy is not None)
    assert not problems or remedy in problems[0]
    none = {"min_train": 0, "min_val": 0}
    assert losses.too_few_segments(0, 5, none, "voice") and not losses.too_few_segments(
        1, 1, none, "voice"
    )


@pytest.mark.parametrize("n, remedy", [(13, "{min_train: 12, min_val: 1}"), (1, ""), (23, None)])
def test_too_few_segments_are_known_before_they_are_transcribed(n, remedy):
    problems = losses.too_few_to_split(n, SIZES, "voice")
    assert len(problems) == (remedy is not None)
    assert not problems or remedy in problems[0]
