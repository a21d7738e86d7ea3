"""Several corpora as one data set: what validates in one trains in none."""

import pandas as pd
import pytest
from corpus_rows import segment, table
from voicekiln import tables
from voicekiln.corpus.dataset import load
from voicekiln.errors import UserError

PROMPT = "the quick brown fox jumps over the lazy dog by the river"


def write(folder, name, *rows):
    path = folder / name / "segments.parquet"
    path.parent.mkdir(parents=True)
    tables.write(table(*rows), path, tables.SEGMENTS)
    tables.write_digest(path.with_name("DIGEST.json"), [path])
    return str(path.with_name("DIGEST.json"))


def row(text, split, recording, start_s=0.0, **more):
    return segment(text, start_s, recording=recording, split=split, status="keep", **more)


@pytest.mark.parametrize(
    "leak",
    [
        row(PROMPT.upper() + "!", "train", "r2", audio_sha256="2"),
        row(PROMPT.replace("lazy", "crazy"), "train", "r2", audio_sha256="2"),
        row("other words", "train", "r1", start_s=1.5, audio_sha256="2"),
        row("other words", "train", "r3", audio_sha256="1"),
    ],
    ids=["text", "nearly the text", "overlapping audio", "audio"],
)
def test_a_leak_between_corpora_is_left_out(leak, tmp_path):
    digests = [
        write(tmp_path, "a", row(PROMPT, "val", "r1", audio_sha256="1")),
        write(
            tmp_path,
            "b",
            leak,
            row("nothing of the kind at all", "train", "r1", start_s=30.0, audio_sha256="9"),
        ),
    ]
    for order in (digests, digests[::-1]):
        found = load(order)
        assert sorted(found["audio_sha256"]) == ["1", "9"], "whatever the order"


def test_one_corpus_is_taken_as_its_split_left_it(tmp_path):
    rows = [row(PROMPT, "val", "r1", audio_sha256="1"), row(PROMPT, "train", "r2")]
    assert len(load([write(tmp_path, "a", *rows)])) == 2


def test_a_segment_of_two_corpora_comes_once(tmp_path):
    digests = [write(tmp_path, name, row("text", "train", "r1")) for name in "ab"]
    found = load(digests)
    assert found["corpus"].tolist() == ["a"]


def test_a_missing_second_text_is_told(tmp_path):
    digest = write(tmp_path, "a", row("text", "train", "r1", romanized=pd.NA))
    with pytest.raises(UserError, match="1 segments have no romanized text"):
        load([digest], "romanized")
