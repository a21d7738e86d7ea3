import json
import os
import unicodedata
from pathlib import Path

import pytest
from voicekiln.corpus.sources import sidecars
from voicekiln.corpus.sources.inventory import examine
from voicekiln.corpus.sources.listing import digest, lines
from voicekiln.corpus.sources.recordings import all_problems, list_recordings, require_texts
from voicekiln.errors import UserError

CORPUS = {
    "language": "am",
    "speaker": None,
    "transcripts": None,
    "textgrid_tier": None,
    "path_pattern": None,
}


def listed(audio, **more):
    return list_recordings({**CORPUS, "audio": str(audio), **more}, "corpus_name")


FILE = {"content_sha256": "0" * 64}


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_is_searched_through_and_speakers_are_folders(tmp_path):
    touch(tmp_path, "anna/a.wav", "anna/deep/b.FLAC", "c.m4a", "wavs/d.ogg", "notes.txt", ".e.wav")
    rows = listed(tmp_path)
    assert [(row["path"], row["speaker"]) for row in rows] == [
        ("anna/a.wav", "anna"),
        ("anna/deep/b.FLAC", "anna"),
        ("c.m4a", "corpus_name"),
        ("wavs/d.ogg", "corpus_name"),
    ]
    assert {row["language"] for row in rows} == {"am"}
    assert {row["speaker"] for row in listed(tmp_path, speaker="eve")} == {"eve"}


def test_links_in_a_ring_end(tmp_path):
    touch(tmp_path, "a/a.wav")
    (tmp_path / "a" / "ring").symlink_to(tmp_path)
    (tmp_path / "a" / "lost.wav").symlink_to(tmp_path / "nowhere.wav")
    assert [row["path"] for row in listed(tmp_path)] == ["a/a.wav", "a/lost.wav"]


@pytest.mark.parametrize("name", ["a b.wav", "q'uo\"te.wav", "new\nline.wav", "-rf.wav", "{x}.wav"])
def test_odd_names_are_names(tmp_path, name):
    touch(tmp_path, name)
    assert [row["path"] for row in listed(tmp_path)] == [name]


def test_a_name_that_is_no_utf8_is_listed_and_can_be_digested(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.wav", "wb") as file:
        file.write(b"x")
    rows = listed(tmp_path)
    assert len(rows) == 1 and digest(lines(rows))


def test_missing_or_empty_sources_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.*does not exist"):
        listed(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no recording found"):
        listed(tmp_path)


def test_ljspeech_metadata(tmp_path):
    touch(tmp_path, "wavs/a.wav", "wavs/b.wav", "wavs/c.wav")
    (tmp_path / "metadata.csv").write_text('a|In 1455.|in "fourteen" fifty-five.\nb|Two.\n')
    rows = listed(tmp_path / "wavs", transcripts=str(tmp_path / "metadata.csv"))
    texts = [row["reference_texts"] and row["reference_texts"][0]["text"] for row in rows]
    assert texts == ['in "fourteen" fifty-five.', "Two.", None]
    rows = listed(
        tmp_path / "wavs", transcripts=str(tmp_path / "metadata.csv"), columns={"text": 2}
    )
    assert rows[0]["reference_texts"][0]["text"] == "In 1455."


def test_sidecars(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "a.txt").write_text("\ufeffሰላም\n", encoding="utf-8")
    a, b = listed(tmp_path, transcripts="sidecar")
    assert sidecars.read(Path(a["sidecar"][0]), None) == [
        {"start_s": None, "end_s": None, "text": "ሰላም"}
    ]
    assert a["sidecar"][1:] == [13, (tmp_path / "a.txt").stat().st_mtime_ns] and not b["sidecar"]
    (tmp_path / "b.LAB").write_bytes(b"caf\x81\xe9")
    a, b = listed(tmp_path, transcripts="sidecar")
    with pytest.raises(UserError, match="b.LAB, line 1: the byte 0x81 is not valid UTF-8"):
        sidecars.read(Path(b["sidecar"][0]), None)


def test_sidecars_are_used_for_recordings_that_a_list_gives_only_times_or_a_channel(tmp_path):
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(f"Text {name}.")
    lines = ["file,start,end,channel,text", "a.wav,1,2,,", "a.wav,3,4,,", "b.wav,,,1,"]
    (tmp_path / "list.csv").write_text("\n".join([*lines, "c.wav,,,,From the list."]) + "\n")
    notes = []
    corpus = {**CORPUS, "audio": str(tmp_path / "list.csv"), "transcripts": "sidecar"}
    a, b, c = list_recordings(corpus, "voice", notes.append)
    assert [bool(row["sidecar"]) for row in (a, b, c)] == [True, True, False]
    (note,) = [note for note in notes if "times without texts" in note]
    assert note.startswith("1 recordings have sidecars") and "'a.wav'. Remove" in note
    found = [
        json.loads(examine(row, look=lambda path: FILE)["reference_texts"]) for row in (a, b, c)
    ]
    whole = {"start_s": None, "end_s": None}
    assert found == [
        [whole | {"text": "Text a."}],
        [whole | {"text": "Text b.", "channel": 1}],
        [whole | {"text": "From the list."}],
    ]


def test_sidecars_beside_texts_of_a_list_are_not_used_with_a_note(tmp_path):
    touch(tmp_path, "a.wav", "a.srt", "b.wav", "b.txt")
    (tmp_path / "list.csv").write_text("file,text\na.wav,Yes.\nb.wav,\n")
    notes = []
    corpus = {**CORPUS, "audio": str(tmp_path / "list.csv"), "transcripts": "sidecar"}
    a, b = list_recordings(corpus, "corpus_name", notes.append)
    assert (a["reference_texts"][0]["text"], a["sidecar"]) == ("Yes.", None)
    assert b["sidecar"][0].endswith("b.txt")
    (note,) = [note for note in notes if " sidecars " in note]
    assert note.startswith("1 sidecars are not used because a list gives the texts of their ")
    assert "a.srt" in note


def test_a_touched_sidecar_changes_its_shard(tmp_path):
    touch(tmp_path, "a.wav", "a.SRT", "a.txt")
    (row,) = before = listed(tmp_path, transcripts="sidecar")
    assert row["sidecar"][0].endswith("a.SRT"), "texts with times come first"
    os.utime(tmp_path / "a.SRT", ns=(1, 1))
    after = listed(tmp_path, transcripts="sidecar")
    assert lines(after) != lines(before)


def test_a_manifest_gives_speakers_languages_texts_and_times(tmp_path):
    touch(tmp_path, "x/a.wav", "x/b.wav")
    lines = [
        {"audio_filepath": "x/a.wav", "text": "one", "offset": 0, "duration": 1.5, "speaker": "s"},
        {"audio_filepath": "x/a.wav", "text": "two", "offset": 2, "duration": 1},
        {"path": "x/b.wav", "language": "en"},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)) + "\n")
    a, b = listed(manifest)
    assert (a["speaker"], a["language"], b["language"]) == ("s", "am", "en")
    assert [(k["start_s"], k["end_s"], k["text"]) for k in a["reference_texts"]] == [
        (0.0, 1.5, "one"),
        (2.0, 3.0, "two"),
    ]
    assert b["reference_texts"] is None


def test_a_bad_manifest_names_file_and_line(tmp_path):
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"text": "no audio"}\n')
    with pytest.raises(UserError, match=r"m\.jsonl, line 1: names no audio"):
        listed(manifest)
    manifest.write_text("not json\n")
    with pytest.raises(UserError, match=r"m\.jsonl, line 1: this is not JSON"):
        listed(manifest)


def test_the_problems_of_all_corpora_are_reported_together():
    def list_corpus(name):
        if name != "good":
            raise UserError(f"{name}/ is empty" if name == "a" else f"corpora.{name}: no text")

    with pytest.raises(UserError, match="^corpus a: a/ is empty\ncorpora.b: no text$"):
        all_problems(list_corpus, ["a", "good", "b"])


@pytest.mark.parametrize(
    "line, words",
    [
        ('{"path": "a.wav", "text": ', "line 2: this is not JSON"),
        ("[1]", "line 2: expected an object"),
        ('{"path": 5}', "line 2: names no audio file"),
        ('{"path": "a\\u0000.wav"}', "line 2: names no audio file"),
        ('{"path": "a.wav", "text": "x", "offset": [1]}', "line 2: expected times"),
        ('{"path": "a.wav", "text": "x", "offset": NaN}', "line 2: expected times"),
        (
            '{"path": "a.wav", "text": "x", "offset": 3, "duration": -4}',
            "line 2: expected times",
        ),
    ],
)
def test_a_malformed_manifest_is_reported_with_its_line(tmp_path, line, words):
    touch(tmp_path, "a.wav")
    path = tmp_path / "list.jsonl"
    path.write_text('{"path": "a.wav"}\n' + line + "\n")
    with pytest.raises(UserError, match=words):
        listed(path)


def test_odd_speakers_and_sidecars_stop_nothing(tmp_path):
    folder = os.fsencode(tmp_path) + b"/anna\xff"
    os.mkdir(folder)
    for name in (b"a.wav", b"b.wav"):
        with open(folder + b"/" + name, "wb") as file:
            file.write(b"x")
    os.mkdir(folder + b"/a.txt")
    rows = listed(tmp_path, transcripts="sidecar")
    assert [row["speaker"] for row in rows] == ["anna\\xff"] * 2
    assert [bool(row["sidecar"]) for row in rows] == [True, False]
    assert digest(lines(rows))
    assert "not UTF-8" in examine(rows[0])["reason"]
    (tmp_path / "m.jsonl").write_text('{"path": "a.wav", "speaker": 1089}')
    assert listed(tmp_path / "m.jsonl")[0]["speaker"] == "1089"


def test_a_line_ends_at_the_line_ends_of_the_file(tmp_path):
    """U+0085 and U+2028 are characters of a text, not ends of a line."""
    touch(tmp_path, "a.wav")
    path = tmp_path / "metadata.csv"
    path.write_text("a|one\u0085two\u2028three\n", encoding="utf-8")
    (row,) = listed(tmp_path, transcripts=str(path))
    assert row["reference_texts"][0]["text"] == "one\u0085two\u2028three"


def texts(rows):
    return [[utterance["text"] for utterance in row["reference_texts"] or []] for row in rows]


def test_an_ljspeech_folder_brings_its_texts(tmp_path):
    touch(tmp_path, "wavs/a.wav", "wavs/b.wav")
    (tmp_path / "metadata.csv").write_text("a|1455|fourteen\nb|two|two\nb|too|too\n")
    rows = listed(tmp_path)
    assert texts(rows) == [["fourteen"], ["two", "too"]], "of two texts none is forgotten"
    assert {row["speaker"] for row in rows} == {"corpus_name"}
    assert texts(listed(tmp_path, transcripts="ignore")) == [[], []]


@pytest.mark.parametrize(
    "name, content",
    [
        ("m.csv", "audio_file|text|speaker_name\nx/a.wav|one, two|eve\n"),  # Coqui, F5-TTS
        ("m.csv", 'file_name,transcription,speaker_id\nx/a.wav,"one, two",eve\n'),
        ("m.tsv", "client_id\tpath\tsentence\tlocale\neve\tx/a.wav\tone, two\ten-GB\n"),
        ("m.jsonl", '{"audio": "x/a.wav", "text": "one, two", "speaker": "eve", "lang": "en"}'),
    ],
)
def test_lists_of_others(tmp_path, name, content):
    touch(tmp_path, "x/a.wav")
    (tmp_path / name).write_text("\ufeff" + content, encoding="utf-8")
    (row,) = listed(tmp_path / name)
    assert (row["path"], row["speaker"], texts([row])) == ("x/a.wav", "eve", [["one, two"]])
    assert row["language"] == ("am" if name == "m.csv" else "en")
    assert row["bytes"] == 1
    # the same list beside a folder
    assert (
        listed(tmp_path / "x", transcripts=str(tmp_path / name))[0]["reference_texts"]
        == row["reference_texts"]
    )


def test_common_voice_keeps_its_clips_apart_and_quotes_as_they_are(tmp_path):
    touch(tmp_path, "clips/a.mp3")
    lines = 'client_id\tpath\tsentence\nc1\ta.mp3\t"Come," she said\n'
    (tmp_path / "validated.tsv").write_text(lines)
    (row,) = listed(tmp_path / "validated.tsv")
    assert (row["path"], texts([row])) == ("clips/a.mp3", [['"Come," she said']])


KALDI = {
    "wav.scp": "r1 a.wav\nr2 sox b.wav -t wav - |\nr3 c d.wav\n",
    "segments": "u1 r1 0.0 1.5\nu2 r1 2 -1\n",
    "text": "u1 one\nu2 two words\nr3 three\n",
    "utt2spk": "u1 anna\nu2 bert\nr3 carl\n",
}


def test_a_kaldi_directory(tmp_path):
    touch(tmp_path, "a.wav", "b.wav", "c d.wav")
    for name, content in KALDI.items():
        (tmp_path / name).write_text(content)
    a, c, command = listed(tmp_path)
    assert a["reference_texts"] == [
        {"start_s": 0.0, "end_s": 1.5, "text": "one", "speaker": "anna"},
        {"start_s": 2.0, "end_s": None, "text": "two words", "speaker": "bert"},
    ]
    assert (c["path"], c["speaker"], texts([c])) == ("c d.wav", "carl", [["three"]])
    assert "wav.scp, line 2" in command["fault"] and "commands are not run" in command["fault"]
    assert examine(command)["status"] == "bad"
    (tmp_path / "segments").write_text("u1 r1 3 2\n")
    with pytest.raises(UserError, match="segments, line 1: expected `utterance"):
        listed(tmp_path)


def test_a_file_of_several_sources_is_one_recording(tmp_path):
    touch(tmp_path, "x/a.wav", "x/b.wav")
    (tmp_path / "m.jsonl").write_text('{"path": "x/b.wav", "text": "b", "speaker": "eve"}')
    sources = [str(tmp_path), str(tmp_path / "x"), str(tmp_path / "m.jsonl"), f"{tmp_path}/"]
    a, b = list_recordings({**CORPUS, "audio": sources}, "voice")
    assert (a["path"], a["speaker"], a["reference_texts"]) == ("x/a.wav", "x", None)
    assert (b["path"], b["speaker"], texts([b])) == ("x/b.wav", "eve", [["b"]])


def test_names_in_a_list_that_fit_several_files_or_none(tmp_path):
    touch(tmp_path, "x/1.wav", "y/1.wav", "y/2.wav")
    path = tmp_path / "texts.csv"
    path.write_text("1|one\n2|two\n3|three\n")
    notes = []
    corpus = {**CORPUS, "audio": str(tmp_path), "transcripts": str(path)}
    first, second, third = list_recordings(corpus, "voice", notes.append)
    assert all("line 1: '1' matches 2 recordings" in row["fault"] for row in (first, second))
    assert texts([third]) == [["two"]]
    assert any("1 of 3 names match no recording: '3'" in note for note in notes)
    path.write_text("2|two\n")
    list_recordings(corpus, "voice", notes.append)
    assert any("2 of 3 recordings are not in it: 'x/1.wav', 'y/1.wav'" in n for n in notes)
    path.write_text("x/1.wav|one\ny/1|other\n")
    assert texts(listed(tmp_path, transcripts=str(path))) == [["one"], ["other"], []]
    path.write_text("7|one\n")
    with pytest.raises(UserError, match="none of its 1 names.*'7'.*'x/1.wav'"):
        listed(tmp_path, transcripts=str(path))


def test_who_speaks_is_in_the_path(tmp_path):
    touch(tmp_path, "am/s01_001.wav", "am/s02_001.wav", "readme.wav")
    pattern = r"^(?P<language>[a-z]{2})/(?P<speaker>s\d+)_"
    a, b, other = listed(tmp_path, path_pattern=pattern, language="en")
    assert [(row["speaker"], row["language"]) for row in (a, b)] == [("s01", "am"), ("s02", "am")]
    assert "does not match path_pattern" in other["fault"]


def test_somebody_has_to_know_the_text(tmp_path):
    touch(tmp_path, "a.wav", "b.wav", "b.txt", "notes.pdf")
    with pytest.raises(UserError, match="no recording comes with a text"):
        require_texts(listed(tmp_path), "voice")
    require_texts(listed(tmp_path, transcripts="sidecar"), "voice")
    notes = []
    list_recordings({**CORPUS, "audio": str(tmp_path)}, "voice", notes.append)
    assert notes[0] == f"{tmp_path}: files of other kinds are ignored: 1 .pdf"


def test_a_separator_within_a_text_does_not_cut_it(tmp_path):
    touch(tmp_path, "a.wav")
    for content in ("file_name,text\na.wav,Hello, my friend\n", "audio|text\na.wav|Hi | you\n"):
        (tmp_path / "m.csv").write_text(content)
        with pytest.raises(UserError, match=r"m\.csv, line 2: 3 fields under a header of 2"):
            listed(tmp_path / "m.csv")


def test_half_a_character_is_reported_with_its_line(tmp_path):
    touch(tmp_path, "a.wav")
    (tmp_path / "m.jsonl").write_text('{"path": "a.wav", "text": "ha \\ud83d"}')
    with pytest.raises(UserError, match="line 1: half of a character"):
        listed(tmp_path / "m.jsonl")


def test_turns_without_a_text_are_kept_with_who_speaks(tmp_path):
    touch(tmp_path, "r 1.wav")
    for name, content in {
        "wav.scp": "r1\tr 1.wav\n",
        "segments": "u1\tr1 0 5\nu2 r1\t5 12\n",
        "utt2spk": "u1\tanna\nu2 ben\n",
    }.items():
        (tmp_path / name).write_text(content)
    (row,) = rows = listed(tmp_path)
    assert [(k["text"], k["end_s"], k["speaker"]) for k in row["reference_texts"]] == [
        (None, 5.0, "anna"),
        (None, 12.0, "ben"),
    ]
    with pytest.raises(UserError, match="no recording comes with a text"):
        require_texts(rows, "voice")


def test_a_text_behind_a_link_is_followed(tmp_path):
    touch(tmp_path, "in/a.wav", "real.txt")
    (tmp_path / "in/a.txt").symlink_to("../real.txt")
    (before,) = listed(tmp_path / "in", transcripts="sidecar")
    (tmp_path / "real.txt").write_text("something longer")
    (after,) = listed(tmp_path / "in", transcripts="sidecar")
    assert lines([before]) != lines([after])


def sidecars_of(tmp_path, *names, language="en"):
    touch(tmp_path, *names)
    notes = []
    corpus = {**CORPUS, "audio": str(tmp_path), "transcripts": "sidecar", "language": language}
    corpus["speaker"] = "Anna"
    rows = list_recordings(corpus, "voice", notes.append)
    return [row["sidecar"] and Path(row["sidecar"][0]).name for row in rows], rows, notes


@pytest.mark.parametrize(
    "names, language, used",
    [
        (["a.wav", "a.en.vtt"], "en", "a.en.vtt"),
        (["a.wav", "a.en-US.vtt", "a.de.vtt"], "en", "a.en-US.vtt"),
        (["a.wav", "a.en-orig.vtt", "a.en.vtt"], "en", "a.en.vtt"),
        (["a.wav", "a.eng.srt", "a.ger.srt"], "en", "a.eng.srt"),
        (["a.wav", "a.amh.srt", "a.eng.srt"], "am", "a.amh.srt"),
        (["a.wav", "a.pt_BR.forced.srt"], "pt", "a.pt_BR.forced.srt"),
        (["a.wav", "a.wav.txt"], "en", "a.wav.txt"),
        (["a.v2.wav", "a.v2.en.vtt"], "en", "a.v2.en.vtt"),
        (["x [dQw4w].wav", "x [dQw4w].en.vtt"], "en", "x [dQw4w].en.vtt"),
        (["e\u0301.wav", "\u00e9.txt"], "en", "\u00e9.txt"),
        (["a.wav", "a.EAF"], "en", "a.EAF"),
        (["a.wav", "a.ctm"], "en", "a.ctm"),
    ],
)
def test_names_of_sidecars(tmp_path, names, language, used):
    found, _, notes = sidecars_of(tmp_path, *names, language=language)
    assert found == [used]
    assert len(notes) == (len(names) > 2)


def test_a_sidecar_belongs_to_the_recording_of_its_whole_name(tmp_path):
    names = ["a.wav", "a.mp3", "a.en.wav", "a.en.txt", "a.wav.txt", "a.mp3.txt"]
    found, rows, notes = sidecars_of(tmp_path, *names)
    assert dict(zip([row["path"] for row in rows], found, strict=True)) == {
        "a.en.wav": "a.en.txt",
        "a.mp3": "a.mp3.txt",
        "a.wav": "a.wav.txt",
    }
    assert not notes


def test_a_sidecar_in_another_language_is_used_with_a_warning_or_none_of_several(tmp_path):
    found, _, notes = sidecars_of(tmp_path / "1", "a.wav", "a.de.vtt")
    assert found == ["a.de.vtt"] and len(notes) == 1 and "a.de.vtt" in notes[0]
    found, rows, notes = sidecars_of(tmp_path / "2", "a.wav", "a.de.vtt", "a.fr.vtt")
    assert found == [None] and "none in en: a.de.vtt, a.fr.vtt" in rows[0]["fault"]
    assert any("a.de.vtt, a.fr.vtt" in text for text in notes)


def test_sidecars_that_are_not_used_are_reported(tmp_path):
    found, _, notes = sidecars_of(tmp_path, "a.wav", "a.txt", "a.srt", "a.en.vtt", "b.en.srt")
    assert found == ["a.srt"] and len(notes) == 2
    assert "1 recordings have several sidecars" in notes[0]
    assert all(name in notes[0] for name in ("a.srt", "a.txt", "a.en.vtt"))
    assert "1 files" in notes[1] and "b.en.srt" in notes[1]


def test_a_locale_in_a_path_is_a_language(tmp_path):
    touch(tmp_path, "sv-SE/a.wav", "notes1/b.wav")
    a, b = sorted(listed(tmp_path, path_pattern="^(?P<language>[^/]+)/"), key=lambda r: r["path"])[
        ::-1
    ]
    assert a["language"] == "sv" and not a["fault"]
    assert "expected a language code" in b["fault"]


def test_a_list_further_down_is_that_of_its_folder(tmp_path):
    touch(tmp_path, "LJ/wavs/1.wav", "other/1.wav")
    (tmp_path / "LJ" / "metadata.csv").write_text("1|one\n")
    lj, other = listed(tmp_path)
    assert texts([lj, other]) == [["one"], []]


def test_another_table_of_that_name_stops_nothing(tmp_path):
    touch(tmp_path, "a.wav")
    (tmp_path / "metadata.csv").write_text("date,place\n2020,here\n")
    notes = []
    (row,) = list_recordings({**CORPUS, "audio": str(tmp_path)}, "voice", notes.append)
    assert row["reference_texts"] is None and "names no audio file" in notes[0]
    with pytest.raises(UserError, match="names no audio file"):
        listed(tmp_path, transcripts=str(tmp_path / "metadata.csv"))


def test_a_bar_within_a_text_of_ljspeech_does_not_cut_it(tmp_path):
    touch(tmp_path, "a.wav")
    (tmp_path / "metadata.csv").write_text("b|One.\nc|Two.\na|text with | bar | in it\n")
    with pytest.raises(UserError, match="line 3: found 4 fields where 2 are expected"):
        listed(tmp_path)


def test_missing_files_of_kaldi_is_reported(tmp_path):
    touch(tmp_path, "a.wav")
    for name, content in {"wav.scp": "r1 a.wav", "segments": "u1 r9 0 1", "text": "u7 x"}.items():
        (tmp_path / name).write_text(content)
    notes = []
    list_recordings({**CORPUS, "audio": str(tmp_path)}, "voice", notes.append)
    assert ["segments: 1 names" in notes[0], "text: 1 names" in notes[1]] == [True, True]


def test_channels_of_a_list(tmp_path):
    touch(tmp_path, "call.wav")
    lines = [
        {"path": "call.wav", "channel": 0, "speaker": "anna", "text": "Hello."},
        {"path": "call.wav", "channel": "B", "speaker": "ben"},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (row,) = listed(tmp_path / "m.jsonl")
    whole = {"start_s": None, "end_s": None}
    assert row["reference_texts"] == [
        {**whole, "text": "Hello.", "speaker": "anna", "channel": 0},
        {**whole, "text": None, "speaker": "ben", "channel": 1},
    ]


@pytest.mark.parametrize("second, third", [("A", "B"), ("1", "2")])
def test_channels_of_a_kaldi_directory(tmp_path, second, third):
    touch(tmp_path, "call.wav")
    for name, content in {
        "wav.scp": "call-1 call.wav\ncall-2 call.wav\n",
        "reco2file_and_channel": f"call-1 call {second}\ncall-2 call {third}\n",
        "segments": "u1 call-1 0 2\nu2 call-2 1 3\n",
        "text": "u1 one\nu2 two\n",
    }.items():
        (tmp_path / name).write_text(content)
    (row,) = listed(tmp_path)
    assert [(k["text"], k["channel"]) for k in row["reference_texts"]] == [("one", 0), ("two", 1)]
    (tmp_path / "reco2file_and_channel").write_text("call-1 call A\ncall-2 call A\n")
    assert {k["channel"] for k in listed(tmp_path)[0]["reference_texts"]} == {0}


# names and paths


def folder_and_list(tmp_path, names, content, name="metadata.csv"):
    touch(tmp_path, *[f"wavs/{name}" for name in names])
    (tmp_path / name).write_text(content, encoding="utf-8")
    notes = []
    corpus = {**CORPUS, "audio": str(tmp_path / "wavs"), "transcripts": str(tmp_path / name)}
    return list_recordings(corpus, "voice", notes.append), notes


@pytest.mark.parametrize("on_disk, in_list", [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_are_compared_in_one_unicode_form(tmp_path, on_disk, in_list):
    name = "ça_été_ሰላም_가"
    file = unicodedata.normalize(on_disk, name)
    content = unicodedata.normalize(in_list, name) + "|One.\n"
    (row,), _ = folder_and_list(tmp_path, [f"{file}.wav"], content)
    assert (row["path"], texts([row])) == (f"{file}.wav", [["One."]])
    (tmp_path / "m.csv").write_text("path,text\nwavs/" + content.replace("|", ".wav,"))
    (row,) = listed(tmp_path / "m.csv")
    assert (row["path"], row["bytes"]) == (f"wavs/{file}.wav", 1)


def test_two_files_whose_names_look_alike_stay_two(tmp_path):
    one, other = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    rows, _ = folder_and_list(
        tmp_path, [f"{one}.wav", f"{other}.wav"], f"{one}|One.\n{other}|Two.\n"
    )
    assert {row["path"]: texts([row])[0] for row in rows} == {
        f"{one}.wav": ["One."],
        f"{other}.wav": ["Two."],
    }
    rows, _ = folder_and_list(tmp_path, [], f"{other}|Two.\n")
    assert {row["path"]: texts([row])[0] for row in rows} == {
        f"{one}.wav": [],
        f"{other}.wav": ["Two."],
    }


def test_names_that_differ_a_little_are_matched_and_reported(tmp_path):
    rows, notes = folder_and_list(
        tmp_path,
        ["A.WAV", "b.flac", "c.wav", "d.wav", "D.wav"],
        "a.wav|One.\nb.wav|Two.\nDUMMY1/c.wav|Three.\nd.wav|Four.\n",
    )
    assert {row["path"]: texts([row])[0] for row in rows} == {
        "A.WAV": ["One."],
        "b.flac": ["Two."],
        "c.wav": ["Three."],
        "d.wav": ["Four."],
        "D.wav": [],
    }
    for words in ("case is ignored, such as 'a.wav'", "a different suffix", "last part"):
        assert any(words in note for note in notes), words


def test_a_loose_match_of_two_names_is_none(tmp_path):
    (row, other), notes = folder_and_list(
        tmp_path, ["1.wav", "2.wav"], "anna/1.wav|One.\nben/1.wav|Other.\n2|Two.\n"
    )
    assert texts([row, other]) == [[], ["Two."]]
    assert any("2 of 3 names match no recording" in note for note in notes)


@pytest.mark.parametrize(
    "name, path",
    [
        ("wavs\\a.wav", "wavs/a.wav"),
        (".\\wavs\\a.wav", "wavs/a.wav"),
        ("./wavs//a.wav", "wavs/a.wav"),
        ("WAVS/A.WAV", "wavs/a.wav"),
        ("a.wav", "wavs/a.wav"),
        ("a", "wavs/a.wav"),
        ("wavs/a.mp3", "wavs/a.wav"),
    ],
)
def test_a_list_of_audio_finds_its_files(tmp_path, name, path):
    touch(tmp_path, "wavs/a.wav")
    (tmp_path / "m.csv").write_text(f"audio_file|text\n{name}|One.\n")
    notes = []
    (row,) = list_recordings({**CORPUS, "audio": str(tmp_path / "m.csv")}, "voice", notes.append)
    assert (row["path"], row["bytes"], row["fault"]) == (path, 1, None)
    loose = any("differ from their files in case or suffix" in note for note in notes)
    assert loose == (name in ("WAVS/A.WAV", "wavs/a.mp3"))


def test_what_a_list_does_not_find_has_a_reason(tmp_path):
    touch(tmp_path, "wavs/a.wav", "wavs/a.flac")
    (tmp_path / "m.csv").write_text(
        "path,text\nC:\\rec\\a.wav,One.\nwavs/a.mp3,Two.\nb.wav,Three.\n"
    )
    drive, missing, several = listed(tmp_path / "m.csv")
    assert "a path on a Windows drive" in drive["fault"]
    assert "'a.mp3' matches 2 files" in several["fault"]
    assert missing["fault"] is None and "no such file" in examine(missing)["reason"]


def test_a_backslash_may_be_part_of_a_name(tmp_path):
    touch(tmp_path, "a\\b.wav")
    (tmp_path / "m.csv").write_text("path,text\na\\b.wav,One.\n")
    (row,) = listed(tmp_path / "m.csv")
    assert (row["path"], row["bytes"]) == ("a\\b.wav", 1)


def test_one_recording_can_be_the_whole_corpus(tmp_path, monkeypatch):
    touch(tmp_path, "talk.mp3")
    (row,) = listed(tmp_path / "talk.mp3")
    assert (row["root"], row["path"], row["bytes"]) == (str(tmp_path), "talk.mp3", 1)
    monkeypatch.chdir(tmp_path)
    (row,) = listed("talk.mp3")
    assert (row["root"], row["path"]) == (".", "talk.mp3")
    touch(tmp_path, "talk.pdf")
    with pytest.raises(UserError, match=r"talk\.pdf: is neither; expected a folder"):
        listed("talk.pdf")


# who speaks


@pytest.mark.parametrize(
    "paths, speakers",
    [
        (["train/0.wav", "test/0.wav"], "voice voice"),
        (["train/anna/0.wav", "valid/ben/0.wav"], "anna ben"),
        (["train-clean-100/19/198/0.flac", "dev_other/26/495/0.flac"], "19 26"),
        (["LibriSpeech/test-clean/61/70968/0.flac", "LibriSpeech/dev-clean/84/1/0.flac"], "61 84"),
        (["VCTK-Corpus-0.92/wav48_silence_trimmed/p225/1.flac", "p226/1.flac"], "p225 p226"),
        (["anna/wavs/0.wav", "ben/wavs/0.wav"], "anna ben"),
        (["data/train/wavs/0.wav", "data/dev/wavs/1.wav"], "voice voice"),
        (["trainer/0.wav", "tester/0.wav"], "trainer tester"),
        (["Training/0.wav", "wavs_train/0.wav"], "voice voice"),
        (["val2/audio_16khz/0.wav", "dev.set/0.wav"], "voice voice"),
        (["test anna/0.wav", "speaker1/0.wav", "2024/0.wav"], "test_anna speaker1 2024"),
    ],
)
def test_speakers_are_the_first_folders_that_can_be_any(tmp_path, monkeypatch, paths, speakers):
    touch(tmp_path, *paths)
    monkeypatch.chdir(tmp_path)
    rows = list_recordings({**CORPUS, "audio": "."}, "voice")
    found = {row["path"]: row["speaker"] for row in rows}
    expected = [speaker.replace("test_anna", "test anna") for speaker in speakers.split()]
    assert [found[path] for path in paths] == expected


@pytest.mark.parametrize("absolute", [True, False])
def test_speakers_of_audio_outside_its_lists_folder(tmp_path, absolute):
    paths = [f"store/disc/{who}/{i}.wav" for who in ("anna", "ben") for i in (1, 2)]
    touch(tmp_path, *paths)
    (tmp_path / "exp").mkdir()
    lines = [str(tmp_path / path) if absolute else f"../{path}" for path in paths]
    (tmp_path / "exp/m.csv").write_text("path\n" + "\n".join(lines))
    rows = listed(tmp_path / "exp/m.csv")
    assert [row["speaker"] for row in rows] == ["anna", "anna", "ben", "ben"]
    (tmp_path / "exp/m.csv").write_text("path\n" + "\n".join(lines[:2]))
    assert {row["speaker"] for row in listed(tmp_path / "exp/m.csv")} == {"corpus_name"}


def test_one_speaker_is_assumed_and_reported_once(tmp_path):
    touch(tmp_path, "train/1.wav", "train/2.wav", "anna/3.wav")
    notes = []
    list_recordings({**CORPUS, "audio": str(tmp_path / "train")}, "voice", notes.append)
    assert len(notes) == 1 and "they are assigned to one speaker, voice" in notes[0]
    notes.clear()
    list_recordings({**CORPUS, "audio": str(tmp_path)}, "voice", notes.append)
    assert ["speaker of 2 of the recordings" in note for note in notes] == [True]
    notes.clear()
    corpus = {**CORPUS, "audio": str(tmp_path), "speaker": "eve"}
    list_recordings(corpus, "voice", notes.append)
    assert notes == []


def test_a_folder_around_the_speakers_is_reported(tmp_path):
    touch(tmp_path, "studio/anna/1.wav", "studio/ben/1.wav")
    notes = []
    rows = list_recordings({**CORPUS, "audio": str(tmp_path)}, "voice", notes.append)
    assert {row["speaker"] for row in rows} == {"studio"}
    assert "assigned to one speaker" in notes[0] and "(anna, ben, ...)" in notes[0]


def test_lists_are_reported_in_a_line_each_and_many_are_counted(tmp_path):
    for i in range(9):
        touch(tmp_path, f"{i}/a.wav")
        (tmp_path / f"{i}/metadata.csv").write_text("file_name,text\na.wav,One.\n")
    notes = []
    list_recordings({**CORPUS, "audio": str(tmp_path)}, "voice", notes.append)
    assert len(notes) == 4 and "columns: file (file_name), text" in notes[0]
    assert notes[3].endswith("6 more lists were read")


def test_a_kaldi_text_with_a_mark_of_byte_order(tmp_path):
    touch(tmp_path, "a.wav")
    (tmp_path / "wav.scp").write_text("r1 a.wav\r\n")
    (tmp_path / "text").write_text("\ufeffr1 one\r\n", encoding="utf-8")
    assert texts(listed(tmp_path)) == [["one"]]


def test_the_pipelines_own_results_are_no_recordings(tmp_path, monkeypatch):
    touch(tmp_path, "anna/1.wav", "results/store/normalize/ab/x.flac", "anna/results/2.wav")
    monkeypatch.chdir(tmp_path)
    for audio in (".", str(tmp_path)):
        assert [row["path"] for row in listed(audio)] == ["anna/1.wav", "anna/results/2.wav"]
    assert len(listed("results")) == 1, "a folder that is named is searched"


def test_a_speaker_is_one_in_either_unicode_form(tmp_path):
    one, other = (unicodedata.normalize(form, "zoé") for form in ("NFC", "NFD"))
    touch(tmp_path, f"{other}/1.wav", "2.wav")
    (tmp_path / "metadata.csv").write_text(f"file_name,speaker\n2.wav,{one}\n")
    assert {row["speaker"] for row in listed(tmp_path)} == {one}


def test_utterances_of_two_lists_keep_their_speakers(tmp_path):
    touch(tmp_path, "talk.wav")
    for who, start in (("anna", 0), ("ben", 5)):
        content = f"path,start,end,text,speaker\ntalk.wav,{start},{start + 4},Hello.,{who}\n"
        (tmp_path / f"{who}.csv").write_text(content)
    sources = [str(tmp_path / "anna.csv"), str(tmp_path / "ben.csv")]
    (row,) = list_recordings({**CORPUS, "audio": sources}, "voice")
    assert [utterance["speaker"] for utterance in row["reference_texts"]] == ["anna", "ben"]
