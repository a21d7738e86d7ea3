"""Each channel of a file as a recording of its own."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from voicekiln.audio.normalize import NormalizeSettings, normalize
from voicekiln.corpus import corrections, merge, split
from voicekiln.corpus.sources import channels, inventory
from voicekiln.corpus.sources.recordings import list_recordings
from voicekiln.store import tables

SETTINGS = NormalizeSettings(24_000, -23.0, -1.0, 30.0)
CORPUS = {
    "language": "en", "speaker": None, "path_pattern": None, "transcripts": None,
    "textgrid_tier": None,
}  # fmt: skip


def tones(*hz, seconds=6.0, rate_hz=16_000):
    """`[n, channels]`: a tone of its own in each channel."""
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.stack([0.2 * np.sin(2 * np.pi * f * times_s) for f in hz], 1)


def recordings(audio, mode="mix", **corpus):
    """The rows of the inventory of a folder or a list, by path."""
    notes = []
    rows = list_recordings(CORPUS | {"audio": str(audio)} | corpus, "corpus", notes.append)
    found = [one for row in rows for one in channels.split(inventory.examine(row), row, mode)]
    return {row["path"]: row for row in found}


def texts(row):
    return [(e["start_s"], e["text"]) for e in json.loads(row["reference_texts"] or "[]")]


def interview(folder):
    """Two people on the two channels of one file, as Kaldi writes it."""
    soundfile.write(folder / "call.flac", tones(300, 1000), 16_000)
    for name, content in {
        "wav.scp": "call-A call.flac\ncall-B call.flac\n",
        "reco2file_and_channel": "call-A call A\ncall-B call B\n",
        "segments": "".join(
            f"{who}-{k} call-{side} {start} {start + 1.5}\n"
            for who, side, first in (("anna", "A", 0.2), ("ben", "B", 1.2))
            for k, start in enumerate([first, first + 2, first + 4])
        ).replace("6.7", "6.0"),
        "text": "".join(f"{who}-{k} {who} says {k}\n" for who in ("anna", "ben") for k in range(3)),
        "utt2spk": "".join(f"{who}-{k} {who}\n" for who in ("anna", "ben") for k in range(3)),
    }.items():
        (folder / name).write_text(content)


def test_a_speaker_on_each_channel(tmp_path):
    """A list that names channels needs no setting; each text is on its own channel."""
    interview(tmp_path)
    found = recordings(tmp_path)
    assert list(found) == ["call.flac#0", "call.flac#1"]
    for (path, row), who, hz in zip(found.items(), ("anna", "ben"), (300, 1000), strict=True):
        assert (row["status"], row["speaker"], row["channels"]) == ("ok", who, 2)
        assert row["recording_id"] == f"{row['content_sha256'][:16]}-ch{row['channel']}"
        assert [text for _, text in texts(row)] == [f"{who} says {k}" for k in range(3)]
        assert "channel" not in json.loads(row["reference_texts"])[0]
        file = tmp_path / channels.file_path(path, row["channel"])
        normalize(file, tmp_path / "a.flac", SETTINGS, channel=row["channel"])
        samples, rate_hz = soundfile.read(tmp_path / "a.flac")
        spectrum = np.abs(np.fft.rfft(samples[:rate_hz]))
        assert np.argmax(spectrum) == hz
        others = np.r_[spectrum[: hz - 20], spectrum[hz + 20 :]]
        assert others.max() < spectrum[hz] / 1000


@pytest.mark.parametrize(
    ("mode", "paths", "speakers"),
    [
        ("mix", ["a.wav"], ["corpus"]),
        ("separate", ["a.wav#0", "a.wav#1"], ["corpus_left", "corpus_right"]),
        ("left", ["a.wav#0"], ["corpus"]),
        ("right", ["a.wav#1"], ["corpus"]),
    ],
)
def test_modes(tmp_path, mode, paths, speakers):
    soundfile.write(tmp_path / "a.wav", tones(300, 1000), 16_000)
    soundfile.write(tmp_path / "mono.wav", tones(500), 16_000)
    found = recordings(tmp_path, mode)
    assert list(found) == [*paths, "mono.wav"], "a file with one channel stays what it is"
    assert [found[path]["speaker"] for path in paths] == speakers
    assert found["mono.wav"].get("channel") is None


def test_more_than_two_channels_are_numbered(tmp_path):
    soundfile.write(tmp_path / "a.wav", tones(300, 400, 500, 600, 700, 800), 16_000)
    found = recordings(tmp_path, "separate")
    assert [row["speaker"] for row in found.values()] == [f"corpus_{k}" for k in range(1, 7)]


def test_a_missing_channel_is_a_bad_row(tmp_path):
    soundfile.write(tmp_path / "a.wav", tones(300, 1000), 16_000)
    lines = [{"audio_filepath": "a.wav", "text": f"text {k}", "channel": k} for k in (0, 2)]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = recordings(tmp_path / "list.jsonl")
    assert (found["a.wav#0"]["status"], texts(found["a.wav#0"])) == ("ok", [(None, "text 0")])
    assert found["a.wav#2"]["status"] == "bad"
    assert found["a.wav#2"]["reason"] == (
        "expected channel 2 (counted from 0), but the file has 2 channels"
    )


def test_texts_without_a_channel_are_not_guessed(tmp_path):
    soundfile.write(tmp_path / "a.wav", tones(300, 1000), 16_000)
    (tmp_path / "list.jsonl").write_text('{"audio_filepath": "a.wav", "text": "who?"}\n')
    (row,) = recordings(tmp_path / "list.jsonl", "separate").values()
    assert row["status"] == "bad"
    assert "1 of its texts have no channel" in row["reason"]
    (row,) = recordings(tmp_path / "list.jsonl", "left").values()
    assert (row["status"], texts(row)) == ("ok", [(None, "who?")])


def test_one_side_leaves_the_texts_of_the_other_with_a_warning(tmp_path, caplog):
    interview(tmp_path)
    (row,) = recordings(tmp_path, "right").values()
    assert (row["path"], row["speaker"], len(texts(row))) == ("call.flac#1", "ben", 3)
    assert "call.flac: 3 texts of other channels are not used" in caplog.text


def merged(tmp_path, found):
    rows = [row | {"audio_sha256": row.get("sound")} for row in found]
    tables.write(tables.frame(rows, tables.RECORDINGS), tmp_path / "0.parquet", tables.RECORDINGS)
    return merge.merge_recordings([tmp_path / "0.parquet"])


def test_channels_are_not_duplicates_of_each_other_but_copies_of_a_file_are(tmp_path):
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, tones(300, 1000), 16_000)
    found = recordings(tmp_path, "separate")
    table = merged(tmp_path, list(found.values())).set_index("path")
    assert table["status"].to_dict() == {
        "a.wav#0": "ok", "a.wav#1": "ok", "b.wav#0": "copy", "b.wav#1": "copy"
    }  # fmt: skip
    assert table.at["b.wav#1", "reason"] == "byte-equal copy of a.wav#1"


def test_two_channels_with_the_same_sound_are_one_recording(tmp_path, caplog):
    soundfile.write(tmp_path / "a.wav", tones(300, 300), 16_000)
    found = [row | {"sound": "same"} for row in recordings(tmp_path, "separate").values()]
    table = merged(tmp_path, found)
    assert list(table["status"]) == ["ok", "copy"]
    assert table["reason"][1] == "same samples in another channel of a.wav#0"
    assert not caplog.records


def test_missing_texts_of_a_channel_with_the_same_sound_are_logged(tmp_path, caplog):
    soundfile.write(tmp_path / "a.wav", tones(300, 300), 16_000)
    found = [row | {"sound": "same"} for row in recordings(tmp_path, "separate").values()]
    for row, start_s in zip(found, (0.0, 1.0), strict=True):
        row["reference_texts"] = json.dumps(
            [{"start_s": start_s, "end_s": start_s + 1, "text": "Yes."}]
        )
    merged(tmp_path, found)
    assert (
        "a.wav#1: same samples in another channel of a.wav#0, which lacks 1 texts of this file "
        "(first: 'Yes.')" in caplog.text
    )


def test_all_channels_of_a_file_are_on_one_side_of_the_split(tmp_path):
    ids = [f"{k:016x}" + end for k in range(40) for end in ("-ch0", "-ch1")]
    settings = split.SplitSettings(
        **{f: None for f in split.SplitSettings.__dataclass_fields__}
        | {"min_recordings": 20, "block_s": 60}
    )
    table = pd.DataFrame({"recording_id": ids, "start": 0, "rate_hz": 24_000})
    names = split.groups(table, settings)
    assert list(names[::2]) == list(names[1::2]) and names.nunique() == 40


def test_a_correction_names_its_channel(tmp_path):
    content = "0123456789abcdef" * 4
    line = {"content_sha256": content, "start_s": 0, "end_s": 2, "text": "new"}
    (tmp_path / "c.jsonl").write_text(
        json.dumps(line | {"channel": 1}) + "\n" + json.dumps(line | {"text": "none"}) + "\n"
    )
    rows = [
        {"recording_id": f"{content[:16]}-ch{k}", "start": 0, "end": 48_000, "rate_hz": 24_000,
         "segment_id": f"s{k}", "text": f"old {k}", "status": "keep"}
        for k in (0, 1)
    ]  # fmt: skip
    table = tables.frame(rows, tables.SEGMENTS)
    corrected, conflicts = corrections.correct(table, corrections.read(tmp_path / "c.jsonl"))
    assert list(corrected["text"]) == ["old 0", "new"]
    assert [(one["line"], one["why"]) for one in conflicts] == [(2, "no such recording")]
