"""What the columns of a list hold, in the formats that people bring."""

import json
import re

import pytest
from voicekiln.corpus.sources import lists
from voicekiln.corpus.sources.entries import NoList
from voicekiln.corpus.sources.lists import Choice
from voicekiln.errors import UserError


def read(tmp_path, content, name="list.csv", encoding="utf-8", names=(), notes=None, **choice):
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    notes = [] if notes is None else notes
    return lists.read(path, Choice(**choice), lambda name: name in names, notes.append)


def rows(found):
    return [(entry.audio, entry.speaker, entry.text) for entry in found.entries]


def spans(found):
    return [(entry.audio, entry.start_s, entry.end_s, entry.text) for entry in found.entries]


ANNA_AND_BEN = [("a.wav", "anna", "The bell rang twice."), ("b.wav", "ben", "Nobody came.")]
IN_ANY_ORDER = [
    "a.wav|anna|The bell rang twice.\nb.wav|ben|Nobody came.\n",
    "a.wav|The bell rang twice.|anna\nb.wav|Nobody came.|ben\n",
    "anna|a.wav|The bell rang twice.\nben|b.wav|Nobody came.\n",
    "The bell rang twice.|a.wav|anna\nNobody came.|b.wav|ben\n",
    "a.wav\tanna\tThe bell rang twice.\nb.wav\tben\tNobody came.\n",
    "a.wav;anna;The bell rang twice.\nb.wav;ben;Nobody came.\n",
    "a.wav,anna,The bell rang twice.\nb.wav,ben,Nobody came.\n",
    "a.wav|anna|en|The bell rang twice.\nb.wav|ben|en|Nobody came.\n",
    "a.wav|3.52|anna|The bell rang twice.\nb.wav|2.10|ben|Nobody came.\n",
    "PATH|TEXT|SPK\na.wav|The bell rang twice.|anna\nb.wav|Nobody came.|ben\n",
    '"Speaker ID","File Name","Transcription"\nanna,a.wav,"The bell rang twice."\n'
    'ben,b.wav,"Nobody came."\n',
    "Datei;Text;Sprecherin\na.wav;The bell rang twice.;anna\nb.wav;Nobody came.;ben\n",
    "fichier;locuteur;texte\na.wav;anna;The bell rang twice.\nb.wav;ben;Nobody came.\n",
    "clip;narrator;utterance\na.wav;anna;The bell rang twice.\nb.wav;ben;Nobody came.\n",
    "wav_name,Narrator Code,transcript_clean\na.wav,anna,The bell rang twice.\n"
    "b.wav,ben,Nobody came.\n",
    "a.wav|f|anna|The bell rang twice.\nb.wav|m|ben|Nobody came.\n",
    "Aufnahme;Person;Wortlaut\na.wav;anna;The bell rang twice.\nb.wav;ben;Nobody came.\n",
    "which;narrator;sentence\na.wav;anna;The bell rang twice.\nb.wav;ben;Nobody came.\n",
]


@pytest.mark.parametrize("content", IN_ANY_ORDER)
def test_file_speaker_and_text_are_recognised_in_any_order(tmp_path, content):
    assert rows(read(tmp_path, content)) == ANNA_AND_BEN


@pytest.mark.parametrize("content", IN_ANY_ORDER[:1] + IN_ANY_ORDER[9:])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_line_ends_and_encodings_do_not_matter(tmp_path, content, encoding, end):
    found = read(tmp_path, content.replace("\n", end), encoding=encoding)
    assert rows(found) == ANNA_AND_BEN


def test_windows_1252_is_read_and_reported(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes("file_name;text\na.wav;Über die Straße.\n".encode("cp1252"))
    notes = []
    found = lists.read(path, note=notes.append)
    assert rows(found) == [("a.wav", None, "Über die Straße.")]
    assert "Windows-1252" in notes[0]


def test_how_a_list_was_understood_is_one_line(tmp_path):
    found = read(tmp_path, "path,text,spk,gender\na.wav,One.,anna,f\nb.wav,Two.,ben,m\n")
    assert found.summary == (
        f"{tmp_path}/list.csv: 2 lines separated by commas; columns: file (path), text, "
        "speaker (spk); not used: gender; 2 speakers"
    )
    found = read(tmp_path, "path,text\na.wav,One.\nb.wav,\nc.wav,Three.\n")
    assert found.summary.endswith("columns: file (path), text; 1 without a text")
    for content, encoding, form in (
        ("file;text\na.wav;One.\n", "utf-8-sig", "separated by semicolons (a byte order mark);"),
        ("file;text\na.wav;One.\n", "utf-16", "separated by semicolons (UTF-16);"),
        ("file;text\na.wav;One.\n", "utf-16-le", "separated by semicolons (UTF-16);"),
        ("a|One.\rb|Two.\r", "utf-8", "separated by | (line ends of an old Mac);"),
    ):
        assert form in read(tmp_path, content, encoding=encoding).summary
    found = read(tmp_path, "a.wav|anna|The bell rang twice.\n" * 12_000)
    assert "12 000 lines separated by |; columns: file (column 1), text (column 3), " in (
        found.summary
    )
    assert found.summary.endswith("speaker (column 2); 1 speaker")


# LJSpeech


@pytest.mark.parametrize("choice", [{}, {"columns": {"text": 3}}])
def test_ljspeech_takes_the_text_as_it_is_spoken(tmp_path, choice):
    content = "a|In 1455.|in fourteen fifty-five.\nb|It rained.|It rained.\nc|So it was.\n"
    found = read(tmp_path, content, **choice)
    assert rows(found) == [
        ("a", None, "in fourteen fifty-five."),
        ("b", None, "It rained."),
        ("c", None, "So it was."),
    ]
    found = read(tmp_path, content, columns={"text": 2})
    assert found.entries[0].text == "In 1455."


def test_single_words_of_ljspeech_are_texts(tmp_path):
    found = read(tmp_path, "a|Dog|dog\nb|Cat|cat\nc|7|seven\n")
    assert [(e.speaker, e.text) for e in found.entries] == [
        (None, "dog"),
        (None, "cat"),
        (None, "seven"),
    ]


def test_a_text_column_beyond_the_list_stops(tmp_path):
    content = "a|In 1455.|in fourteen fifty-five.\n"
    with pytest.raises(UserError, match="columns.text is 7, and the list has 3 columns"):
        read(tmp_path, content, columns={"text": 7})


@pytest.mark.parametrize(
    "content",
    [
        "a|钟响了两次|S01\nb|没有人来|S02\n",
        "a.wav|ja|anna\nb.wav|nein|ben\nc.wav|doch|anna\nd.wav|so|anna\n",
        "a|ደወሉ ጮኸ።|ሰላም\nb|ማንም አልመጣም።|አበበ\n",
        "a|Колокол прозвонил дважды|иван\nb|Никто не пришёл|анна\n",
    ],
)
def test_short_texts_in_other_scripts_are_distinguished_from_speakers(tmp_path, content):
    notes = []
    read(tmp_path, content, columns={"text": 3}, notes=notes)
    assert re.search("column 3 seems to contain .*speakers and no texts", *notes)
    found = read(tmp_path, content)
    lines = [line.split("|") for line in content.splitlines()]
    assert [[e.audio, e.text, e.speaker] for e in found.entries] == lines


@pytest.mark.parametrize("third", ["0 0 1 1", "anna anna ben ben", "a b c d", "1 2 3 4"])
def test_a_text_column_that_holds_speakers_is_a_warning(tmp_path, third):
    lines = [f"{i}.wav|The bell rang {i} times.|{who}\n" for i, who in enumerate(third.split())]
    notes = []
    read(tmp_path, "".join(lines), columns={"text": 3}, notes=notes)
    assert re.search("is 3, but column 3 seems to contain .*speakers and no texts", *notes)
    assert [entry.speaker for entry in read(tmp_path, "".join(lines)).entries] == third.split()


# two readings


@pytest.mark.parametrize(
    "content, words",
    [
        ("a.wav|The bell rang.|Die Glocke schlug an.\n", r"columns 2 and 3 .* the text.*columns: "),
        ("a.wav|b.wav|The bell rang.\n", r"columns 1 and 2 .* the file.*columns: \{file"),
        ("a.wav|anna|north|The bell rang.\n", r"columns 2 and 3 .* the speaker"),
        ("a.wav|0.5|2.5|The bell rang.\n", r"columns 2 and 3 contain numbers.*start.*duration"),
        ("a.wav|yes\nb.wav|no\n" * 8, "column 2 has only 2 values .*speaker: 2.*text: 2"),
        ("a.wav|en|One two three.\nb.wav|de|Eins zwei drei.\n", "column 2 .* languages or speaker"),
        ("path,text,transcript\na.wav,One.,Two.\n", "'text' and 'transcript' may each be the text"),
        ("path,file,text\na.wav,b.wav,Two.\n", "'path' and 'file' may each be the file"),
        ("audio,words\na.wav,One two three four.\n", "no column is named as the text; 'words'"),
        ("path,start_frame,text\na.wav,12,One.\n", "'start_frame' looks like a time"),
        ("path,end,text\na.wav,12,One.\n", "none for its start"),
        ("kind,words\nx,One two three.\n", "names no audio file"),
    ],
)
def test_where_two_readings_are_possible_the_key_is_named(tmp_path, content, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, content)


def test_configured_columns_take_precedence(tmp_path):
    one, two = "The bell rang.", "Die Glocke schlug an."
    content = f"a.wav|{one}|{two}|x\n"
    assert rows(read(tmp_path, content, columns={"text": 2, "speaker": 4})) == [("a.wav", "x", one)]
    assert rows(read(tmp_path, content, columns={"text": 3, "speaker": None})) == [
        ("a.wav", None, two)
    ]
    content = "Clip;Wortlaut;Wer\na.wav;Eins.;anna\n"
    given = {"file": "clip", "text": "Wortlaut", "speaker": "Wer"}
    assert rows(read(tmp_path, content, columns=given)) == [("a.wav", "anna", "Eins.")]
    line = {"clip": "a.wav", "said": "One.", "text": "no"}
    found = read(tmp_path, json.dumps(line), "m.jsonl", columns={"text": "said"})
    assert rows(found) == [("a.wav", None, "One.")]
    content = "path,start,text\na.wav,north,One.\n"
    assert spans(read(tmp_path, content, columns={"start": None})) == [
        ("a.wav", None, None, "One.")
    ]
    content_of_numbers = "a.wav|0.5|2.5|One.\nb.wav|3.0|2.0|Two.\n"
    for content in (content_of_numbers, "path,end,text\na.wav,x,One.\nb.wav,y,Two.\n"):
        assert [e.start_s for e in read(tmp_path, content, columns={"start": None}).entries] == [
            None,
            None,
        ]
    found = read(tmp_path, content_of_numbers, columns={"start": 2, "duration": 3})
    assert [(e.start_s, e.end_s) for e in found.entries] == [(0.5, 3.0), (3.0, 5.0)]
    content = "path,start,text\na.wav,north,One.\n"
    with pytest.raises(UserError, match="columns.text is 5, and the list has 3 columns"):
        read(tmp_path, content, columns={"text": 5})
    with pytest.raises(UserError, match="columns.text is Satz, but no column has that name"):
        read(tmp_path, content, columns={"text": "Satz"})


# times


@pytest.mark.parametrize(
    "content",
    [
        "path,start,end,text\na.wav,0.5,2.5,One.\na.wav,3,5.5,Two.\n",
        "path;begin;stop;text\na.wav;0,5;2,5;One.\na.wav;3,0;5,5;Two.\n",
        'PATH,OFFSET,DURATION,TEXT\na.wav,"0,5","2,0",One.\na.wav,3,2.5,Two.\n',
        "path,start_ms,end_ms,text\na.wav,500,2500,One.\na.wav,3000,5500,Two.\n",
        "path|Start (s)|Duration (ms)|text\na.wav|0.5|2000|One.\na.wav|3|2500|Two.\n",
        "path,from,to,text\na.wav,0.5,2.5,One.\na.wav,3,5.5,Two.\n",
        "path,onset,offset,text\na.wav,0.5,2.5,One.\na.wav,3,5.5,Two.\n",
        "Datei;von (ms);bis (ms);Text\na.wav;500;2500;One.\na.wav;3000;5500;Two.\n",
        "path\tstart_time\tend_time\tduration\ttext\na.wav\t0.5\t2.5\t2\tOne.\n"
        "a.wav\t0:03\t00:00:05.5\t2.5\tTwo.\n",
    ],
)
def test_columns_of_times_give_utterances(tmp_path, content):
    assert spans(read(tmp_path, content)) == [
        ("a.wav", 0.5, 2.5, "One."),
        ("a.wav", 3, 5.5, "Two."),
    ]


def test_times_of_a_long_list_are_recognised_by_all_of_its_lines(tmp_path):
    lines = [f"{i // 100}.wav|{i % 100}.0|{i % 100 + 1.5}|It rained.\n" for i in range(20_000)]
    found = read(tmp_path, "".join(lines))
    assert spans(found)[101] == ("1.wav", 1.0, 2.5, "It rained.")


def test_offset_and_duration_are_distinguished_from_start_and_end(tmp_path):
    for content in (
        "a.wav|0.5|2.9|One.\na.wav|3.0|5.5|Two.\n",
        "a.wav;3,0;5,5;Two.\na.wav;0,5;2,9;One.\n",
    ):
        found = sorted(spans(read(tmp_path, content)))
        assert found == [("a.wav", 0.5, 2.9, "One."), ("a.wav", 3, 5.5, "Two.")]
    content = "a.wav|0.0|2.5|One.\na.wav|3.0|2.5|Two.\n"
    assert spans(read(tmp_path, content)) == [("a.wav", 0, 2.5, "One."), ("a.wav", 3, 5.5, "Two.")]


def test_a_duration_alone_is_that_of_the_recording(tmp_path):
    line = {"audio_filepath": "a.wav", "duration": 3.2, "text": "One."}
    assert spans(read(tmp_path, json.dumps(line), "m.json")) == [("a.wav", None, None, "One.")]


@pytest.mark.parametrize("start", ["north", "-1", "9" * 400, "NaN", "inf", "7", "1.2.3"])
def test_malformed_times_are_reported_with_their_line(tmp_path, start):
    with pytest.raises(UserError, match=r"list\.csv, line 2: expected times in seconds"):
        read(tmp_path, f"path,start,end,text\na.wav,{start},2.5,One.\n")


# tables


def test_an_unclosed_quotation_mark_is_reported_with_its_line(tmp_path):
    good = 'path,text\na.wav,"He said ""no"".\nAnd left."\n'
    assert read(tmp_path, good).entries[0].text == 'He said "no".\nAnd left.'
    for line in ('b.wav,"Hello.', 'b.wav,"Come," she said', 'b.wav,"Hello\nc.wav,Bye"'):
        with pytest.raises(UserError, match=r"list\.csv, line 4: .*quotation mark"):
            read(tmp_path, good + line + "\nd.wav,Good.\n")


def test_a_separator_that_all_texts_hold_is_none(tmp_path):
    content = "a.wav,He came; she left.\nb.wav,It rained; so be it.\n"
    assert rows(read(tmp_path, content))[0] == ("a.wav", None, "He came; she left.")
    found = read(tmp_path, content.replace(".wav", ""), names=("a", "b"))
    assert rows(found)[0] == ("a", None, "He came; she left.")


def test_excel_may_name_the_separator(tmp_path):
    content = "sep=;\nfile;text\na.wav;Heute, sagte sie.\n"
    found = read(tmp_path, content)
    assert rows(found) == [("a.wav", None, "Heute, sagte sie.")]
    assert found.entries[0].where.endswith("line 3")


@pytest.mark.parametrize("separator", ["|", "\t"])
def test_only_a_programs_quotation_marks_are_taken_off(tmp_path, separator):
    texts = {
        '"He said ""no"", and left."': 'He said "no", and left.',
        '"Come," she said.': '"Come," she said.',
        '"Come!"': '"Come!"',
        '""Come,"" she said.': '""Come,"" she said.',
    }
    lines = [f"{i}.wav{separator}{text}\n" for i, text in enumerate(texts)]
    found = read(tmp_path, "".join(lines))
    assert [entry.text for entry in found.entries] == list(texts.values())


def test_text_that_contains_the_separator_is_reported_with_its_line(tmp_path):
    for content in ("path,text\na.wav,Hello.\nb.wav,Hello, you.\n", "a.wav,Hello.\n" * 2 + "b,c,d"):
        with pytest.raises(UserError, match=r"line 3: .*3 fields"):
            read(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        "a.wav,Hello there my friend.\nb.wav,Another sentence, with a comma\n",
        "a.wav,Yes, it is.\nb.wav,No, it is not.\nc.wav,Well, maybe later.\n",
        "a.wav;Ja.\nb.wav;Nein; das glaube ich nicht.\n",
        "a.wav,One\nb.wav,two,three\n",
    ],
)
def test_no_text_is_cut_at_a_comma_of_its_own(tmp_path, content):
    with pytest.raises(UserError, match="line [12]: .*in quotation marks|need quotation marks"):
        read(tmp_path, content)


def test_a_space_after_every_separator_is_none_of_a_text(tmp_path):
    content = "a.wav, anna, The bell rang.\nb.wav, ben, Nobody came.\n"
    assert rows(read(tmp_path, content)) == [
        ("a.wav", "anna", "The bell rang."),
        ("b.wav", "ben", "Nobody came."),
    ]


def test_a_comma_within_a_text_of_several_lines_is_no_separator(tmp_path):
    content = 'a.wav,anna,en,"The bell,\nred,round, rang."\nb.wav,ben,en,"Nobody came."\n'
    found = read(tmp_path, content)
    assert [text.split() for _, _, text in rows(found)] == [
        ["The", "bell,", "red,round,", "rang."],
        ["Nobody", "came."],
    ]


def test_names_of_audio_files_alone_are_a_list(tmp_path):
    found = read(tmp_path, "a.wav\nclips/b.MP3\n")
    assert rows(found) == [("a.wav", None, None), ("clips/b.MP3", None, None)]
    assert found.summary.endswith("list.csv: 2 lines; columns: file (column 1)")
    assert rows(read(tmp_path, "a.wav\n")) == [("a.wav", None, None)]


def test_the_header_is_blamed_for_a_text_that_is_not_found(tmp_path):
    content = "audio,words\na.wav,The bell rang twice.\nb.wav,Nobody came to the door.\n"
    with pytest.raises(UserError, match=r"line 1: .*'words'.*columns: \{text: words\}"):
        read(tmp_path, content)
    assert rows(read(tmp_path, content, columns={"text": "words"}))[0][2] == "The bell rang twice."
    assert rows(read(tmp_path, content, columns={"text": None}))[0][2] is None


def test_other_tables_are_not_lists(tmp_path):
    regions = "start_s\tend_s\tlabel\n0.0\t2.5\tspeech\n2.5\t3.0\tmusic\n"
    for content in ("date,place\n2020,here\n", "only words\n", "x\n", regions):
        with pytest.raises(NoList):
            read(tmp_path, content)
    assert read(tmp_path, "\n \n").entries == []


def test_bare_names_of_recordings_identify_the_file_column(tmp_path):
    content = "anna,one,The bell rang.\nben,two,Nobody came.\n"
    found = read(tmp_path, content, names=("one", "two"))
    assert rows(found) == [("one", "anna", "The bell rang."), ("two", "ben", "Nobody came.")]


# JSON


@pytest.mark.parametrize(
    "content",
    [
        '[{"path": "a.wav", "text": "One."}]',
        '{"path": "a.wav", "text": "One.", "extra": {"deep": [1, 2]}}\n\n',
        '{"audio": {"path": "a.wav", "bytes": null}, "sentence": "One."}',
        '{"utt_id": "a.wav", "normalized_text": "One."}',
    ],
)
def test_json(tmp_path, content):
    assert rows(read(tmp_path, content, "m.json")) == [("a.wav", None, "One.")]


@pytest.mark.parametrize(
    "content, words",
    [
        ("[" * 100_000, "nested too deeply|not JSON"),
        ('{"path": "a.wav"}\n{"a": ' + "[" * 100_000, "line 2: this JSON is nested too deeply"),
        ('{"path": "a.wav", "offset": ' + "9" * 400 + "}", "line 1: expected times"),
        ('{"path": "a.wav", "offset": ' + "9" * 5000 + "}", "line 1: this is not JSON"),
        ('{"path": "a.wav", "offset": NaN}', "line 1: expected times"),
        ('{"path": "a\\ud83d.wav"}', "line 1: half of a character"),
        ('{"path": "a.wav", "text": {"a": 1}}', "line 1: expected the text as a string"),
        ('{"path": "a.wav", "channel": 1e3}', "line 1: expected a channel"),
        ('{"path": "a.wav", "language": "\\ud83d"}', "line 1: expected a language code"),
        ("\n".join(f'{{"{i}": 1}}' for i in range(2000)), "more than 1000 different keys"),
        ('{"text": "One."}', "line 1: names no audio file"),
        ('{"path": "a.wav", "said": "One two three four."}', "'said' may be it"),
    ],
)
def test_odd_json_is_reported_with_its_line(tmp_path, content, words):
    with pytest.raises(UserError, match=words):
        read(tmp_path, content, "m.jsonl")
