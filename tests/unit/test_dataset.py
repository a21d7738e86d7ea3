"""Several corpora as one data set: what validates in one trains in none."""

import json
from itertools import zip_longest

import numpy as np
import pandas as pd
import pytest
from corpus_rows import segment, table
from voicekiln.corpus.dataset import join, load, of_recordings
from voicekiln.errors import UserError
from voicekiln.store import tables

PROMPT = "the quick brown fox jumps over the lazy dog by the river"


def write(folder, name, *rows, similarity=0.85, distance=0.3, heard=()):
    """The record of a corpus; `heard` are fingerprints of its first rows."""
    path = folder / name / "segments.parquet"
    acoustics = folder / name / "tables" / "correct" / "acoustics.parquet"
    acoustics.parent.mkdir(parents=True)
    segments = table(*rows)
    tables.write(segments, path, tables.SEGMENTS)
    tables.write_digest(path.with_name("DIGEST.json"), [path])
    prints = zip_longest(segments["segment_id"], [bits.astype("<u4").tobytes() for bits in heard])
    found = [{"segment_id": segment_id, "fingerprint": bits} for segment_id, bits in prints]
    tables.write(tables.frame(found, tables.ACOUSTICS), acoustics, tables.ACOUSTICS)
    tables.write_digest(acoustics.with_name("DIGEST.json"), [acoustics])
    limits = {"leak_similarity": similarity, "leak_distance": distance}
    path.with_name("leaks.json").write_text(json.dumps({"limits": limits}))
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
        write(tmp_path, "a", row(PROMPT, "val", "r1", audio_sha256="1"), similarity=0.8),
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


def test_the_segments_of_some_recordings_are_read_alone(tmp_path):
    rows = [row(f"text {i}", "train", f"r{i // 2}", 4.0 * (i % 2)) for i in range(8)]
    rows.append(segment("dropped", recording="r0", start_s=30.0, status="drop", reason="noisy"))
    digest = write(tmp_path, "a", *rows)
    whole = load([digest])
    assert of_recordings(digest, lambda path: True).equals(whole)
    some = of_recordings(digest, lambda path: path in ("r0.wav", "r3.wav"))
    assert some["text"].tolist() == ["text 0", "text 1", "text 6", "text 7"]
    assert list(some) == list(whole) and some.dtypes.equals(whole.dtypes)
    assert of_recordings(digest, lambda path: False).empty


def test_a_segment_of_two_corpora_comes_once(tmp_path):
    digests = [write(tmp_path, name, row("text", "train", "r1")) for name in "ab"]
    found = load(digests)
    assert found["corpus"].tolist() == ["a"]


def test_a_missing_second_text_is_told(tmp_path):
    digest = write(tmp_path, "a", row("text", "train", "r1", romanized=pd.NA))
    with pytest.raises(UserError, match="1 segments have no romanized text"):
        load([digest], "romanized")


@pytest.mark.parametrize("mine, other, n", [(0.85, 0.85, 2), (0.85, 0.6, 1), (0.6, 0.85, 1)])
def test_the_stricter_limit_of_the_corpora_decides_n14(mine, other, n, tmp_path):
    """The texts have a Jaccard similarity of 0.7."""
    words = "the quick brown fox jumps over the old dog by the wide river"
    digests = [
        write(tmp_path, "a", row(PROMPT, "val", "r1"), similarity=mine),
        write(tmp_path, "b", row(words, "train", "r2"), similarity=other),
    ]
    segments, proof = join(digests)
    assert len(segments) == n
    assert proof["limits"]["leak_similarity"] == min(mine, other)


def test_copies_and_shared_stretches_are_found_by_fingerprint_n14(tmp_path):
    """Another file, another text: the same recording, and 1.5 s of it in a window."""
    bits = np.random.default_rng(0).integers(1, 2**32, (2, 200), dtype=np.uint32)
    window = np.concatenate([bits[0, -64:], bits[1, :100]])
    val = row(PROMPT, "val", "r1", audio_sha256="1")
    texts = ("other words", "a window of it", "something else entirely")
    train = [row(t, "train", f"r{i}", audio_sha256=t) for i, t in enumerate(texts, 2)]
    heard = [bits[0], window, bits[1, 100:]]
    digests = [
        write(tmp_path, "a", val, heard=[bits[0]]),
        write(tmp_path, "b", *train, heard=heard),
    ]
    for order in (digests, digests[::-1]):
        segments, proof = join(order)
        assert sorted(segments["text"]) == sorted([PROMPT, texts[2]])
        assert proof["rows_dropped"] == {"a": 0, "b": 2}
        names = ("audio", "texts", "near_duplicates", "copies")
        assert {name: proof[f"shared_{name}"] for name in names} == dict.fromkeys(names, 0)
    off = [
        write(tmp_path / "off", "a", val, heard=[bits[0]], distance=0),
        write(tmp_path / "off", "b", *train, heard=heard, distance=0),
    ]
    assert len(load(off)) == 4


def test_the_proof_of_one_corpus_names_it(tmp_path):
    assert join([write(tmp_path, "a", row(PROMPT, "val", "r1"))])[1] == {"corpora": ["a"]}
