"""Recordings in another language than expected are reported, unclear ones are not."""

import pandas as pd
import soundfile
from test_transcribe import DEMO, RECORDING
from voicekiln.asr import engines, spoken_language
from voicekiln.corpus.transcribe import Block, plan
from voicekiln.store.items import Store

RATES = {f"item{k}": 24_000 for k in range(5)}


def block(item, language, *seconds):
    spans, at = [], 0
    for length in seconds:
        spans.append((at, at + round(length * 24_000)))
        at = spans[-1][1]
    return Block(f"key-{item}", item, language, tuple(spans))


def test_the_sample_takes_turns_and_the_longest_first():
    blocks = [
        block("item0", "am", 3, 9, 5, 4, 1),
        block("item1", "am", 1, 8),
        block("item2", None, 9),
    ]
    chosen = spoken_language.sample(blocks, RATES, 4)
    lengths = [(one.item, (one.spans[0][1] - one.spans[0][0]) / 24_000) for one in chosen]
    assert lengths == [("item0", 9), ("item1", 8), ("item0", 5), ("item0", 4)]
    assert spoken_language.sample(blocks, RATES, 0) == []


def warnings(expected, *likely):
    chosen = [block(f"item{k}", expected, 5) for k in range(len(likely))]
    return spoken_language.mismatch_warnings(
        chosen, likely, {f"item{k}": f"{k}.wav" for k in range(5)}
    )


def test_a_confident_mismatch_is_reported_with_recordings_and_probability():
    (told,) = warnings(
        "am", {"am": 0.9, "ar": 0.1}, {"de": 0.97, "am": 0.01}, {"en": 0.5, "am": 0.2}
    )
    assert told.startswith(
        "1 of 3 checked recordings are probably not in Amharic (am): 1.wav (German, 0.97)"
    )


def test_several_stretches_of_a_recording_count_together():
    chosen = [block("item0", "en", 5)] * 2
    assert (
        spoken_language.mismatch_warnings(chosen, [{"cy": 0.95}, {"en": 0.9}], {"item0": "a.wav"})
        == []
    )


def test_related_unsupported_and_unclear_languages_are_not_reported():
    assert warnings("sr", {"hr": 0.99}) == []
    assert warnings("yue", {"zh": 0.99}) == []  # which older models take for Chinese
    assert warnings("en", {"de": 0.7, "en": 0.05}) == []
    assert warnings("tig", {"am": 0.99}) == []
    assert warnings("en", {}) == []  # by a model that knows English alone


def test_languages_that_whisper_does_not_support():
    (told,) = spoken_language.unsupported_warnings(["ti", "en", None, "ti"], True, "large-v3.pt")
    assert told.startswith("Whisper does not support the language ti")
    (told,) = spoken_language.unsupported_warnings(["am", "en"], False, "small.en.pt")
    assert told.startswith("small.en.pt: an English-only model, but the corpus is in am")
    assert spoken_language.unsupported_warnings(["am", "en"], True, "m") == []


def test_whisper_gets_its_own_codes(tmp_path):
    rows = pd.DataFrame({"language": ["nb", "nn", "jv", "de", "ti"], "item": list("abcde")})
    rows = rows.assign(start=0, end=24_000, rate_hz=24_000)
    store = Store(tmp_path, "transcribe")
    blocks = plan(rows, None, Store(tmp_path, "normalize"), store).blocks
    assert [one.language for one in blocks] == ["no", "nn", "jw", "de", "ti"]
    blocks = plan(rows, "nb", Store(tmp_path, "normalize"), store).blocks
    assert {one.language for one in blocks} == {"no"}


def test_detected_languages_are_stored(tmp_path):
    audio, texts = Store(tmp_path, "normalize"), Store(tmp_path, "transcribe")
    samples, rate_hz = soundfile.read(DEMO / "recordings" / RECORDING)
    part = audio.workfile("item0", "flac")
    soundfile.write(part, samples, rate_hz, format="FLAC")
    audio.put("item0", {}, flac=part)
    chosen = [block("item0", "en", 3)]
    assert spoken_language.detect(chosen, audio, texts, None) is None
    one = engines.load(DEMO / "whisper.pt", 1, "cpu", word_times=False)
    # the demo's model knows English alone
    assert spoken_language.detect(chosen, audio, texts, one) == [{}]
    assert spoken_language.detect(chosen, audio, texts, None) == [{}]
