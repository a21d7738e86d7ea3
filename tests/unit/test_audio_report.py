"""The account of a voice's audio (S4-99, X-10)."""

import pandas as pd
from corpus_rows import recording, segment, table
from voicekiln.corpus.audio_report import as_markdown, audio_report
from voicekiln.store import tables


def report():
    rows = [
        segment("a", 0, 5.999, split="train", snr_db=20.0, bandwidth_hz=10725.4),
        segment("b", 10, 6.0, split="train", snr_db=30.0),
        segment("c", 20, 30.0, split="val", snr_db=40.0),
        segment("d", 60, 30.001, split="train", speaker="ben", language="de"),
        segment("e", 0, 2.0, "r1", split="train", speaker=None),
    ]
    about = {"codec": "PCM_16", "loudness_lufs": -30.0, "gain_db": 7.0}
    recordings = [recording("r0", source_rate_hz=44100, **about)]
    recordings += [recording("r1", source_rate_hz=8000, **about | {"loudness_lufs": -20.0})]
    recordings += [recording("unused", source_rate_hz=96000, **about)]
    return audio_report(table(*rows), tables.frame(recordings, tables.RECORDINGS))


def test_clips_are_told_apart_by_length():
    found = report()["classes"]
    assert [(one["name"], one["segments"]) for one in found] == [
        ("under 6 s", 2), ("6 to 30 s", 2), ("over 30 s", 1),
    ]  # fmt: skip
    assert round(sum(one["seconds"] for one in found), 3) == report()["seconds"] == 74.0


def test_every_speaker_has_a_share_of_training():
    found = report()
    assert [one["speaker"] for one in found["speakers"]] == ["ben", "anna", ""]
    ben, anna, unnamed = found["speakers"]
    assert (anna["train_s"], anna["val_s"], anna["segments"]) == (11.999, 30.0, 3)
    assert ben["val_segments"] == 0 and ben["languages"] == ["de"]
    assert round(sum(one["train_share"] for one in found["speakers"]), 3) == 1.0
    assert [one["segments"] for one in unnamed["classes"]] == [1, 0, 0]
    assert anna["measures"]["snr_db"]["median"] == 30.0 and "snr_db" not in ben["measures"]


def test_predicted_scores_are_there_if_they_were_measured():
    rows = [segment("a", mos_overall=2.25), segment("b", 10, mos_overall=3.5), segment("c", 20)]
    found = audio_report(table(*rows), tables.frame([recording()], tables.RECORDINGS))
    assert found["measures"]["mos_overall"]["median"] == 2.875
    assert "mos_overall" not in report()["measures"]
    assert "| predicted MOS overall, 1 to 5 | 2.25 |" in as_markdown(found, "v")
    assert "MOS" not in as_markdown(report(), "v")


def test_recordings_without_a_kept_segment_do_not_count():
    found = report()
    assert found["recordings"] == 2
    assert found["source_rates_hz"] == {"44100": 1, "8000": 1}
    assert found["loudness_lufs"]["median"] == -18.0
    assert found["source_loudness_lufs"]["lowest"] == -30.0


def test_it_is_written_for_people_too():
    page = as_markdown(report(), "my_voice")
    assert page.startswith("# The audio behind my_voice\n")
    assert "1.2 min in 5 segments of 2 recordings" in page
    assert "| under 6 s | 2 | 8.0 s |" in page
    assert "| ben | de | 1 | 30.0 s | 30.0 s | 68.2% | none | 0 | 0 | 1 |" in page
    assert "| (no name) |" in page
    assert "| bandwidth, Hz | 10725 |" in page


def test_no_audio_at_all():
    none = pd.DataFrame(columns=list(tables.RECORDINGS))
    found = audio_report(table(), none)
    assert found["seconds"] == 0 and found["speakers"] == [] and found["loudness_lufs"] is None
    assert as_markdown(found, "empty")
