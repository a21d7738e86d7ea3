"""Rules for single segments and within a speaker, and what a step may lose."""

import numpy as np
import pandas as pd
import pytest
from corpus_rows import recording, segment, table, validate_settings
from voicekiln import tables
from voicekiln.corpus.losses import STEPS, check_losses, check_sizes, check_total
from voicekiln.corpus.validate import ANOTHER_SPEAKER, MIN_SEGMENTS, validate
from voicekiln.errors import UserError

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
        (segment("a good text", text_source="known", avg_logprob=-1.4, cer=0.2), None, None, None),
        (segment("a good text", trust=0.1), "transcript not trusted", 0.1, 0.2),
        (
            segment("a good text", text_source="known", cer=0.7),
            "text differs from what is heard",
            0.7,
            0.5,
        ),
        (segment(None), "no text", 0, 1),
        (segment("hey", length_s=0.25), "too short", 0.25, 0.5),
        (segment("long " * 40, length_s=40), "too long", 40, 30),
        (segment("hi", avg_logprob=-1.5, no_speech_prob=0.9), "no speech heard", 0.9, 0.6),
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
    segments = lossy("segment", "segment", "validate", None)
    check_losses(segments, ("segment", "validate"), LIMITS, "voice")
    with pytest.raises(UserError, match=r"validate drops 50%.*max_loss.validate = 0.4") as error:
        check_losses(segments, ("segment", "validate"), LIMITS | {"validate": 0.4}, "voice")
    assert "why: 1 segments" in str(error.value)
    assert "r0.wav, 8.00-10.00 s, 1 (limit 2): text" in str(error.value)


def test_all_steps_together_have_a_limit_too():
    segments = lossy("segment", "align", "correct", "deduplicate", None)
    check_losses(segments, ("deduplicate",), LIMITS | {"total": 0.8}, "voice")
    with pytest.raises(UserError, match=r"up to deduplicate drop 80%.*max_loss.total = 0.7"):
        check_losses(segments, ("deduplicate",), LIMITS | {"total": 0.7}, "voice")


def test_the_worst_segments_are_shown():
    rows = [
        segment("text", 4 * i, status="drop", step="validate", reason="noisy", value=v, limit=10.0)
        for i, v in enumerate([9.0, 3.0, 8.0, 1.0, 7.0, 6.0, 5.0])
    ]
    with pytest.raises(UserError) as error:
        check_losses(table(*rows), ("validate",), LIMITS, "voice")
    shown = [line.split(", ")[2].split()[0] for line in str(error.value).splitlines()[2:]]
    assert shown == ["1", "3", "5", "6", "7"]


def test_nothing_given_is_nothing_lost():
    check_losses(lossy("segment", "segment"), ("validate", "split"), LIMITS, "voice")
    check_losses(lossy(), ("segment",), LIMITS, "voice")


@pytest.mark.parametrize(
    "seconds, words",
    [(100, None), (150, "3 minutes are the least"), (200, "5 are better"), (400, "")],
)
def test_a_corpus_has_a_least_length(seconds, words):
    rows = [recording("a", seconds / 2, speaker="anna"), recording("b", seconds / 2, speaker="ben")]
    rows.append(recording("bad", 9999.0, status="bad"))
    recordings = tables.frame(rows, tables.RECORDINGS)
    if words is None:
        with pytest.raises(UserError, match="anna 0.8 min, ben 0.8 min.*min_total_s = 120"):
            check_total(recordings, 120, "voice")
    else:
        assert words in "".join(check_total(recordings, 120, "voice"))


@pytest.mark.parametrize(
    "train, val, n_warnings, enough",
    [(19, 3, 2, False), (20, 2, 2, False), (20, 3, 2, True), (60, 7, 2, True), (100, 10, 0, True)],
)
def test_small_data_sets_are_said_and_too_small_ones_refused(train, val, n_warnings, enough):
    warnings, found = check_sizes(train, val, 20, 3)
    assert (len(warnings), found) == (n_warnings, enough)
    assert not check_sizes(0, 5, 0, 0)[1]
