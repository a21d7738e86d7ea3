"""Lists of any bytes are read, or refused with a UserError; what they say does not depend on their
form. 1600 examples of foreign bytes, 450 of properties."""

import json
import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.corpus.sources import kaldi, lists
from voicekiln.corpus.sources.lists import Choice
from voicekiln.corpus.sources.recordings import list_recordings
from voicekiln.errors import UserError

VALID = {
    "lj.csv": "a|In 1455.|in fourteen fifty-five.\nb|It rained.|It rained.\nc|So.|So.\n",
    "vits.txt": "a.wav|anna|The bell rang twice.\nb.wav|ben|Nobody came to the door.\n",
    "header.csv": 'path,start,end,text,speaker\na.wav,0.5,2.5,"One, two.",anna\nb.wav,3,5,"X",b\n',
    "german.csv": "\ufeffDatei;Beginn;Ende;Text\na.wav;0,5;2,5;Eins.\nb.wav;3,0;5,5;Zwei.\n",
    "cv.tsv": 'client_id\tpath\tsentence\tlocale\nc1\ta.mp3\t"Come," she said\tsv-SE\n',
    "nemo.jsonl": '{"audio_filepath": "a.wav", "offset": 0.5, "duration": 2, "text": "One."}\n'
    '{"audio": {"path": "b.wav"}, "channel": "B", "speaker": 7, "lang": "en"}\n',
    "array.json": '[{"path": "a.wav", "text": "One."}, {"path": "b.wav", "text": "Two."}]',
}
KALDI = {
    "wav.scp": "r1 a.wav\nr2 sox b.wav -t wav - |\n",
    "segments": "u1 r1 0.0 1.5\nu2 r1 2 -1\n",
    "text": "u1 one\nu2 two words\n",
    "utt2spk": "u1 anna\nu2 bert\n",
    "utt2lang": "u1 en\n",
    "reco2file_and_channel": "r1 a A\nr2 b B\n",
}
PIECES = [
    *(b"|", b"\t", b";", b",", b'"', b"\n", b"\r", b"\0", b"\\", b"\xff", b"\xfe\xff", b"{", b"["),
    *(b"]", b"}", b":", b"NaN", b"1e999", b"9" * 400, b"-", b"\\ud83d", b"../", b"path", b"text"),
    *("\ufeff\u2028é".encode(), b"start", b"null", b"[" * 3000, b'""', b"\xed\xa0\x80", b" " * 9),
]


@st.composite
def mutated(draw, content: str):
    """`content` with some of its bytes cut out, repeated, or replaced by others."""
    data = bytearray(content.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "cp1252"]),
                                         ), errors="ignore"))  # fmt: skip
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 12)))
        data[start:end] = draw(st.sampled_from([b"", *PIECES]) | st.binary(max_size=6))
    return bytes(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(b"x")
    return folder


def read_or_refuse(path, choice=None):
    try:
        found = lists.read(path, choice, lambda name: name in ("a", "b"))
    except UserError as error:
        assert str(path.parent) in str(error) and len(str(error)) < 2000
        return
    assert len(found.summary) < 2000
    for entry in found.entries:
        assert entry.audio and (entry.start_s is None) <= (entry.end_s is None)
        json.dumps([entry.audio, entry.text, entry.speaker], ensure_ascii=False).encode()


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(["x.csv", "x.tsv", "x.txt", "x.jsonl", "x.json"]),
    content=st.binary(max_size=200) | st.lists(st.sampled_from(PIECES)).map(b"".join),
)
def test_any_bytes_are_read_or_refused(folder, name, content):
    (folder / name).write_bytes(content)
    read_or_refuse(folder / name)


@settings(max_examples=700, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(VALID)))
def test_mutated_lists_are_read_or_refused(folder, data, name):
    (folder / name).write_bytes(data.draw(mutated(VALID[name])))
    column = st.none() | st.integers(1, 6) | st.sampled_from(["text", "path", "nothing"])
    keys = st.sampled_from(["file", "text", "speaker", "start", "end", "language", "channel"])
    choice = Choice(data.draw(st.dictionaries(keys, column)))
    read_or_refuse(folder / name, choice)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(KALDI)))
def test_mutated_kaldi_directories_are_read_or_refused(folder, data, name):
    for table, content in KALDI.items():
        (folder / table).write_text(content)
    (folder / name).write_bytes(data.draw(mutated(KALDI[name]) | st.binary(max_size=100)))
    try:
        entries = list(kaldi.entries(folder, lambda note: None))
    except UserError as error:
        assert str(folder) in str(error)
        return
    finally:
        for table in KALDI:
            (folder / table).unlink()
    assert all(entry.audio for entry in entries)


CORPUS = {"language": "en", "speaker": None, "transcripts": None}
CORPUS |= {"textgrid_tier": None, "path_pattern": None}


@settings(max_examples=200, deadline=None)
@given(name=st.text(st.characters(exclude_characters="\r\n\t|"), max_size=30), audio=st.booleans())
def test_any_name_is_looked_for_without_harm(folder, name, audio):
    lines = [json.dumps({"path": name, "text": "One."}), '{"path": "a.wav", "text": "Two."}']
    path = folder / "names.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    corpus = {**CORPUS, "audio": str(path if audio else folder)}
    corpus["transcripts"] = None if audio else str(path)
    try:
        rows = list_recordings(corpus, "voice")
    except UserError as error:
        assert "names.jsonl" in str(error)
        return
    assert any(row["path"] == "a.wav" and row["reference_texts"] for row in rows)


# what a list says does not depend on its form

WORDS = st.lists(st.sampled_from("the bell rang nobody came to door road was empty".split()),
                 min_size=5, max_size=9)  # fmt: skip
TEXTS = WORDS.map(lambda words: " ".join(words).capitalize() + ".")
LINES = st.lists(
    st.tuples(st.integers(0, 999), st.sampled_from(["anna", "ben", "zoé"]), TEXTS),
    min_size=1,
    max_size=12,
    unique_by=lambda line: line[0],
)


def said(folder, content, name="form.csv"):
    (folder / name).write_text(content, encoding="utf-8")
    found = lists.read(folder / name)
    return sorted((entry.audio, entry.speaker, entry.text) for entry in found.entries)


def table(lines, separator, order=(0, 1, 2), header=None):
    rows = [(f"{number}.wav", speaker, text) for number, speaker, text in lines]
    rows = [header, *rows] if header else rows
    return "".join(separator.join(row[i] for i in order) + "\n" for row in rows)


@settings(max_examples=150, deadline=None)
@given(lines=LINES, seed=st.randoms(use_true_random=False))
def test_the_order_of_lines_and_columns_does_not_matter(folder, lines, seed):
    expected = sorted((f"{number}.wav", speaker, text) for number, speaker, text in lines)
    shuffled, order = random.Random(1).sample(lines, len(lines)), [0, 1, 2]
    seed.shuffle(shuffled)
    seed.shuffle(order)
    for header in (None, ("path", "speaker", "text")):
        assert said(folder, table(lines, "|", (0, 1, 2), header)) == expected
        assert said(folder, table(shuffled, "|", order, header)) == expected


@settings(max_examples=150, deadline=None)
@given(lines=LINES, separator=st.sampled_from("|\t;,"), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_separators_and_line_ends_are_interchangeable(folder, lines, separator, end):
    expected = sorted((f"{number}.wav", speaker, text) for number, speaker, text in lines)
    for header in (None, ("FILE", "Spk", "Transcription")):
        content = table(lines, separator, (0, 1, 2), header).replace("\n", end)
        path = folder / "form.csv"
        path.write_bytes(content.encode())
        found = lists.read(path)
        assert sorted((e.audio, e.speaker, e.text) for e in found.entries) == expected


NAMES = st.text(st.sampled_from("aAéöșñ가각ሰላムがｶ々-_ 1"), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=6), data=st.data())
def test_names_are_found_in_either_unicode_form(tmp_path_factory, names, data):
    names = {unicodedata.normalize("NFC", name.strip()) for name in names} - {"", "."}
    if not names:
        return
    folder = tmp_path_factory.mktemp("names")
    form = st.sampled_from(["NFC", "NFD"])
    lines = []
    for i, name in enumerate(sorted(names)):
        on_disk = unicodedata.normalize(data.draw(form), name)
        (folder / f"{on_disk}.wav").write_bytes(b"x")
        lines.append(
            {"path": unicodedata.normalize(data.draw(form), name) + ".wav", "text": f"{i}"}
        )
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    corpus = {**CORPUS, "audio": str(folder), "transcripts": str(folder / "m.jsonl")}
    rows = list_recordings(corpus, "voice")
    found = {
        unicodedata.normalize("NFC", row["path"]): row["reference_texts"][0]["text"] for row in rows
    }
    assert found == {f"{name}.wav": f"{i}" for i, name in enumerate(sorted(names))}
    by_list = list_recordings({**CORPUS, "audio": str(folder / "m.jsonl")}, "voice")
    assert sorted(row["path"] for row in by_list) == sorted(row["path"] for row in rows)
