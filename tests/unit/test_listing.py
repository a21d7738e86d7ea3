"""Recordings by shard: which is where, what is kept for the jobs, what a change reruns."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln import notices
from voicekiln.corpus.sources import listing
from voicekiln.corpus.sources.recordings import (
    list_recordings,
    listing_of,
    listing_or_problems,
)
from voicekiln.corpus.sources.shards import assign, n_shards, shard_of
from voicekiln.errors import UserError

CORPUS = {
    "language": "en",
    "speaker": None,
    "transcripts": None,
    "path_pattern": None,
}


def listed(folder, shards=4, **more) -> listing.Listing:
    return listing_of({**CORPUS, "audio": str(folder), **more}, "voice", shards, needs_texts=False)


def recordings(folder, n=40):
    folder.mkdir()
    for i in range(n):
        (folder / f"{i}.wav").write_bytes(b"x")
    return folder


def test_only_the_touched_shard_changes(tmp_path):
    folder = recordings(tmp_path / "in")
    before = listed(folder).digests
    os.utime(folder / "7.wav", ns=(1, 1))
    after = listed(folder).digests
    assert [i for i in range(4) if before[i] != after[i]] == [shard_of("7.wav", 4)]


def test_jobs_read_the_rows_that_were_listed(tmp_path):
    """Names that are not UTF-8, texts, times of change: all are as before."""
    folder = recordings(tmp_path / "in")
    with open(os.fsencode(folder) + b"/caf\xe9.wav", "wb"):
        pass
    (folder / "metadata.csv").write_text("7|Eins, zwei \u2028 drei.|Eins, zwei \u2028 drei.\n")
    rows = list_recordings({**CORPUS, "audio": str(folder)}, "voice")
    now = listed(folder)
    assert listing.write(now, tmp_path)
    read = [
        row
        for name, digest in zip(now.shards, now.digests, strict=True)
        for row in listing.read(tmp_path, name, digest)
    ]
    assert sorted(read, key=lambda row: row["path"]) == sorted(rows, key=lambda row: row["path"])
    assert any(row["reference_texts"] for row in read) and len(read) == 41
    assert listing.stored(tmp_path) == now == listing.written(tmp_path)


def test_a_listing_is_written_only_where_it_changed(tmp_path):
    folder = recordings(tmp_path / "in")
    listing.write(listed(folder), tmp_path)
    files = sorted(tmp_path.rglob("listing.json*"))
    assert len(files) == 5
    for path in files:
        os.utime(path, ns=(1, 1))
    assert not listing.write(listed(folder), tmp_path)
    (folder / "7.wav").unlink()
    assert listing.write(listed(folder), tmp_path)
    changed = {path.parent.name for path in files if path.stat().st_mtime_ns != 1}
    assert changed == {f"{shard_of('7.wav', 4):03d}", tmp_path.name}


def test_rows_that_are_missing_or_changed_are_written_again(tmp_path):
    folder = recordings(tmp_path / "in")
    now = listed(folder)
    listing.write(now, tmp_path)
    path = tmp_path / "shards/001/listing.jsonl"
    whole = path.read_bytes()
    for damage in (lambda: path.write_bytes(whole[:-9]), path.unlink):
        damage()
        with pytest.raises(UserError, match=r"001/listing\.jsonl: missing or changed.*run sn"):
            listing.read(tmp_path, "001", now.digests[1])
        with pytest.raises(UserError, match=r"listing\.json: missing or damaged.*run snakemake"):
            listing.written(tmp_path)
        listing.write(listed(folder), tmp_path)
        assert path.read_bytes() == whole
    (tmp_path / "listing.json").write_text('{"shards": 3}')
    assert listing.stored(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "corpus").write_text("a file")
    with pytest.raises(UserError, match="corpus.*: cannot be written: "):
        listing.write(listed(recordings(tmp_path / "in")), tmp_path / "corpus")


def test_notes_are_shown_and_warnings_kept_for_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = recordings(tmp_path / "in")
    (folder / "metadata.csv").write_text("7|Eins.|Eins.\n7000|Zwei.|Zwei.\n")
    shown = []
    listing.report(listed(folder), "voice", shown.append)
    summaries = [text for text in shown if "warning" not in text]
    assert any("metadata.csv: 2 lines" in text for text in summaries)
    assert all(text.startswith("[list voice] ") for text in shown)
    kept = notices.of_corpus("voice")
    assert {row["step"] for row in kept} == {"list"}
    assert any("1 of 2 names match no recording" in row["texts"][0] for row in kept)
    assert len(shown) == len(summaries) + len(kept)


@given(st.lists(st.integers(-1, 10**9), max_size=300), st.integers(0, 3000))
@settings(max_examples=60, deadline=None)
def test_the_number_of_shards_grows_by_doubling_and_never_falls(sizes, more):
    rows = [{"bytes": size} for size in sizes]
    n = n_shards(rows)
    assert n in (1, 2, 4, 8, 16, 32, 64) and (n == 1 or n <= len(rows))
    assert n_shards([*rows, *[{"bytes": 0}] * more]) >= n


@pytest.mark.parametrize(
    "files, megabytes, n",
    [(0, 0, 1), (7, 3, 1), (13100, 3800, 16), (1, 5000, 1), (5, 9500, 4), (100_000, 200_000, 64)],
)
def test_the_number_of_shards_follows_number_and_size_of_files(files, megabytes, n):
    assert n_shards([{"bytes": megabytes * 1_000_000 // files}] * files if files else []) == n


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 64))
def test_every_recording_is_in_one_shard(paths, shards):
    assigned = assign([{"path": path} for path in paths], shards)
    assert len(assigned) == shards
    assert sorted(row["path"] for rows in assigned for row in rows) == sorted(paths)


def test_all_corpora_that_cannot_be_listed_are_named():
    def fail(corpus):
        raise UserError(f"no {corpus}")

    with pytest.raises(UserError, match="corpus a: no a\ncorpus b: no b"):
        listing_or_problems("a", fail, ["a", "b"])


def test_a_problem_that_is_gone_at_the_second_try_is_none():
    tries = []

    def list_corpus(corpus):
        tries.append(corpus)
        if len(tries) == 1:
            raise UserError("the file server is away")
        return f"listing of {corpus}"

    assert listing_or_problems("a", list_corpus, ["a", "b"]) == "listing of a"
