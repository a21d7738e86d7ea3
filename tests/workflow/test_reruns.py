"""What runs again when something changes, counted in jobs and items."""

import copy
import os
import re
import shutil
from collections import Counter

import pytest
from speaker_network import network
from voicekiln import extras, notices
from voicekiln.audio.dnsmos import SCORES
from voicekiln.corpus.sources.shards import shard_of
from voicekiln.store import tables
from workflow_runner import DEMO, Workflow, piece

pytestmark = pytest.mark.slow

SHARD_STEPS = {"inventory", "normalize", "segment", "transcribe", "align", "measure"}
MERGE_STEPS = {"correct", "deduplicate", "validate_segments", "split_corpus"}
# several clips with known texts; 2 shards
CLIPS = [("anna/garden.flac", f"anna/{name}.flac") for name in "abcd"]
CLIPS += [("ben/station.flac", f"ben/{name}.wav") for name in "efg"]
SHARDS = 2
STEPS = ("normalize", "segment", "align", "measure")  # with items of their own


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Workflow:
    """A corpus of short recordings with sidecar texts, its data set built once."""
    workflow = Workflow(tmp_path_factory.mktemp("prepared") / "a voice")
    for i, (source, name) in enumerate(CLIPS):
        workflow.add(source, 1 + i % 4, name)
    workflow.config["corpora"]["voice"] = {
        "audio": "in",
        "language": "en",
        "transcripts": "sidecar",
        "shards": SHARDS,
        "split": {"val_share": 0.2, "min_recordings": 2},
    }
    workflow.run("dataset")
    assert workflow.jobs["normalize"] == SHARDS
    assert workflow.computed == dict.fromkeys(STEPS, len(CLIPS))
    return workflow


@pytest.fixture
def known(prepared, tmp_path) -> Workflow:
    """A copy of the prepared corpus, times and Snakemake's records included."""
    shutil.copytree(prepared.dir, tmp_path / "a voice")
    workflow = Workflow(tmp_path / "a voice")
    workflow.config = copy.deepcopy(prepared.config)
    return workflow


def clean_build(workflow, tmp_path) -> dict[str, bytes]:
    """The data set of a build from nothing of the same input."""
    fresh = Workflow(tmp_path / "clean")
    fresh.config = workflow.config
    shutil.copytree(workflow.dir / "in", fresh.dir / "in")
    fresh.run("dataset")
    return fresh.dataset("voice")


def test_nothing_changed(known):
    assert "Nothing to be done" in known.run("dataset")


def test_a_file_is_touched(known):
    os.utime(known.dir / "in/anna/a.flac")
    known.run("dataset")
    assert known.jobs.keys() - {"dataset"} <= SHARD_STEPS | {"check_corpus", "correct"}
    assert all(known.jobs[step] <= 1 for step in SHARD_STEPS)
    assert known.computed == {}


def test_the_recordings_are_moved(known):
    """Nothing is computed again, and behind the merged tables nothing runs."""
    before = known.dataset("voice")
    tables_before = known.path("corpora/voice/tables/correct/DIGEST.json").read_bytes()
    elsewhere = known.dir.parent / "disk 2"
    elsewhere.mkdir()
    (known.dir / "in").rename(elsewhere / "takes")
    for path in (elsewhere / "takes").rglob("*.*"):
        os.utime(path)  # as a copy that does not keep times
    known.config["corpora"]["voice"]["audio"] = str(elsewhere / "takes")
    known.run("dataset")
    assert known.jobs.keys() - {"dataset"} <= SHARD_STEPS | {"check_corpus", "correct"}
    assert known.computed == {}
    assert known.path("corpora/voice/tables/correct/DIGEST.json").read_bytes() == tables_before
    assert known.dataset("voice") == before


def test_a_recording_is_added(known, tmp_path):
    before = known.dataset("voice")
    known.add("carl/harbour.opus", 3, "carl/new.wav")
    known.run("dataset")
    assert known.computed == dict.fromkeys(STEPS, 1)
    assert {known.jobs[step] for step in SHARD_STEPS} == {1}
    assert known.dataset("voice") != before
    assert known.dataset("voice") == clean_build(known, tmp_path)


def test_only_the_main_process_lists_and_unmounted_recordings_stop_no_page(known):
    """A job's process on another host, gc and review_so_far read the stored listing."""
    known.config["corpora"]["voice"]["shards"] = "auto"
    known.run("dataset")
    (known.dir / "in").rename(known.dir / "unmounted")
    assert "does not exist" in known.run("dataset", "-n", ok=False)
    known.run("gc")
    known.run("review_so_far")
    assert known.path("corpora/voice/review_so_far/index.html").exists()
    job = ["--mode", "remote", "--nolock", "--force", "--target-jobs"]
    known.run(*job, "check_corpus:corpus=voice", "--allowed-rules", "check_corpus")
    assert known.jobs["check_corpus"] == 1
    known.path("corpora/voice/listing.json").unlink()
    output = known.run(*job, "check_corpus:corpus=voice", ok=False)
    assert "listing.json: missing or damaged; " in output and "Traceback" not in output


def test_a_dry_run_names_the_jobs_of_the_changed_shard_and_writes_nothing(known):
    known.add("carl/harbour.opus", 3, "carl/new.wav")
    before = {path: path.stat().st_mtime_ns for path in known.path(".").rglob("*.*")}
    output = known.run("dataset", "-n")
    assert {path: path.stat().st_mtime_ns for path in known.path(".").rglob("*.*")} == before
    planned = dict(re.findall(r"^(\w+) +(\d+)$", output, re.M))
    assert {planned[step] for step in SHARD_STEPS} == {"1"}
    known.run("dataset")
    assert {known.jobs[step] for step in SHARD_STEPS} == {1}


def test_a_recording_and_a_setting_change_together(known):
    known.add("carl/harbour.opus", 3, "carl/new.wav")
    known.config["corpora"]["voice"]["transcribe"] = {"batch": 3}
    known.run("dataset")
    assert (known.jobs["segment"], known.jobs["transcribe"]) == (1, SHARDS)


def test_a_damaged_listing_is_written_again(known):
    path = known.path(f"corpora/voice/shards/{shard_of('anna/a.flac', SHARDS):03d}/listing.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    # a job that reads it; a missing table alone triggers none while later tables exist
    again = ("dataset", "--forcerun", "inventory")
    assert "run snakemake again" in known.run(*again, ok=False)
    known.run(*again)
    assert path.read_bytes() == whole
    assert known.computed == {}


def test_a_recording_is_removed(known, tmp_path):
    (known.dir / "in/ben/f.wav").unlink()
    known.run("dataset")
    assert known.computed == {}
    assert known.dataset("voice") == clean_build(known, tmp_path)


def test_a_text_is_changed(known, tmp_path):
    (known.dir / "in/anna/b.txt").write_text("Quite another text for this one.")
    known.run("dataset")
    assert known.computed == {}
    assert {known.jobs[step] for step in SHARD_STEPS} == {1}
    assert b"Quite another text" in b"".join(known.dataset("voice").values())
    assert known.dataset("voice") == clean_build(known, tmp_path)


def test_a_rule_of_validation_changes(known):
    known.config["corpora"]["voice"]["validate"] = {"min_s": 0.6}
    known.run("dataset")
    assert set(known.jobs) - {"dataset"} == {"validate_segments", "split_corpus"}


def test_a_speaker_model_is_given(known):
    """Only the measures are made again, with the network's embeddings for features."""
    model = network(known.dir / "speaker.onnx")
    known.config["corpora"]["voice"]["measure"] = {"speaker_model": "speaker.onnx"}
    known.run("results/corpora/voice/tables/correct/DIGEST.json")
    assert known.computed == {"measure": len(CLIPS)}
    acoustics = tables.read(known.path("corpora/voice/tables/correct/acoustics.parquet"))
    assert {len(vector) for vector in acoustics["speaker_features"]} == {16}
    known.config["corpora"]["voice"]["measure"]["speaker_model_sha256"] = "0" * 64
    output = known.run("results/corpora/voice/tables/correct/DIGEST.json", ok=False)
    assert "speaker.onnx: its SHA-256 is" in output and model.exists()


@pytest.mark.skipif(extras.missing("mos") is not None, reason=str(extras.missing("mos")))
def test_opinion_scores_are_asked_for(known):
    """Only the measures are made again; without scores the earlier items serve, and nothing else
    of the data set changes."""
    before = known.dataset("voice")
    table = known.path("corpora/voice/segments.parquet")
    assert tables.read(table)[list(SCORES)].isna().all(axis=None)
    known.config["corpora"]["voice"]["measure"] = {"mos": True}
    known.run("dataset")
    assert known.computed == {"measure": len(CLIPS)}
    segments = tables.read(table)
    assert segments[list(SCORES)].notna().all(axis=None)
    lists = {name for name in before if name.endswith(".jsonl")}
    assert {n: before[n] for n in lists} == {n: known.dataset("voice")[n] for n in lists}
    median = float(segments.loc[segments["status"] == "keep", "mos_overall"].median())
    known.config["corpora"]["voice"]["validate"] = {"min_mos": round(median, 3)}
    known.config["corpora"]["voice"]["max_loss"] = {"validate": 1.0, "total": 1.0}
    known.run("results/corpora/voice/tables/validate/DIGEST.json")
    decided = tables.read(known.path("corpora/voice/tables/validate/decisions.parquet"))
    assert decided["reason"].eq("low MOS").any() and known.computed == {}
    del known.config["corpora"]["voice"]["measure"], known.config["corpora"]["voice"]["validate"]
    del known.config["corpora"]["voice"]["max_loss"]
    known.run("dataset")
    assert known.computed == {} and known.dataset("voice") == before


def test_another_number_of_shards_gives_the_same_data_set(known):
    before = known.dataset("voice")
    known.config["corpora"]["voice"]["shards"] = 1
    known.run("dataset")
    assert known.computed == {}
    assert known.dataset("voice") == before


def test_order_of_files_shards_and_threads_do_not_show(known, tmp_path):
    """The same bytes from a clean build of files that lie in another order (N23)."""
    other = Workflow(tmp_path / "other")
    other.config = copy.deepcopy(known.config)
    other.config["corpora"]["voice"]["shards"] = 1
    for path in sorted((known.dir / "in").rglob("*.*"), reverse=True):
        target = other.dir / path.relative_to(known.dir)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    other.run("dataset", "--cores", "1")
    assert other.dataset("voice") == known.dataset("voice")


def test_the_store_is_deleted(known):
    before = known.dataset("voice")
    shutil.rmtree(known.path("store"))
    known.run("dataset")
    assert known.computed == dict.fromkeys(STEPS, len(CLIPS))
    assert known.dataset("voice") == before


def test_an_item_is_truncated(known):
    before = known.dataset("voice")
    victim = sorted(known.path("store/normalize").rglob("*.flac"))[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    known.config["corpora"]["voice"]["segment"] = {"pad_s": 0.16}  # somebody reads it
    assert "run snakemake again" in known.run("dataset", ok=False)
    del known.config["corpora"]["voice"]["segment"]
    known.run("dataset")
    assert known.computed["normalize"] == 1
    assert victim.read_bytes() == whole
    assert known.dataset("voice") == before
    assert "Nothing to be done" in known.run("dataset")


def test_a_table_is_deleted(known):
    before = known.dataset("voice")
    known.path("corpora/voice/tables/deduplicate/decisions.parquet").unlink()
    known.config["corpora"]["voice"]["validate"] = {"min_s": 0.6}  # somebody reads it
    assert "run snakemake again" in known.run("dataset", ok=False)
    del known.config["corpora"]["voice"]["validate"]
    known.run("dataset")
    assert known.computed == {}
    assert known.dataset("voice") == before


def test_a_bad_file_does_not_stop_the_rest_and_too_many_do(known):
    (known.dir / "in/ben/empty.wav").write_bytes(b"")
    assert known.run("dataset").count("warning: ben/empty.wav: not used: ") == 1
    assert "warning: ben/empty.wav" not in known.run("dataset")
    kept = [row["texts"][0] for row in notices.of_corpus("voice", known.path("."))]
    assert any(text.startswith("ben/empty.wav: not used") for text in kept), "for the report"
    ledger = known.dataset("voice")["ledger.json"]
    assert b"ben/empty.wav" in ledger
    before = known.dataset("voice")
    known.config["corpora"]["voice"]["max_bad_recordings"] = 0.0
    output = known.run("dataset", ok=False)
    assert "max_bad_recordings" in output and "ben/empty.wav" in output
    assert "Traceback" not in output
    assert not {"transcribe", "align", "correct"} & set(known.jobs), "before a GPU is used"
    known.run("review_so_far")
    assert known.path("corpora/voice/review_so_far/index.html").exists()
    assert (
        known.path("corpora/voice/dataset/train.jsonl").read_bytes()
        == before["dataset/train.jsonl"]
    )


def test_a_byte_copy_is_computed_once(known):
    for suffix in ("flac", "txt"):
        shutil.copy(known.dir / f"in/anna/a.{suffix}", known.dir / f"in/anna/copy.{suffix}")
    known.run("dataset")
    assert known.computed == {}
    assert b"byte-equal copy" in known.dataset("voice")["ledger.json"]


def test_odd_names_are_files_like_others(workflow):
    names = ["-n.wav", "sp ace/q'uo\"te.wav", "br{ac}e.wav", "new\nline.wav", "ünïcode.wav"]
    for name in names:
        workflow.add("ben/station.flac", 1, name)
    workflow.config["corpora"]["voice"] = {
        "audio": "in",
        "language": "en",
        "transcripts": "sidecar",
        "shards": 2,
        "split": {"min_recordings": 2},
    }
    workflow.run("dataset")
    assert workflow.computed["normalize"] == len(names)


def test_a_setting_of_the_transcription_changes(workflow):
    for name in ("a.flac", "b.flac", "c.flac"):
        source = {"a": "anna/garden.flac", "b": "ben/station.flac", "c": "ben/market.ogg"}[name[0]]
        piece(source, 4, workflow.dir / "in" / name)
    corpus = workflow.config["corpora"]["voice"] = {
        "audio": "in",
        "language": "en",
        "shards": 2,
        "split": {"block_s": 6},
        "transcribe": {"model": str(DEMO / "whisper.pt"), "batch": 4},
    }
    workflow.run("dataset")
    n_segments = workflow.path("corpora/voice/segments.parquet")
    assert n_segments.exists()
    assert workflow.computed["transcribe"] == 3
    before = workflow.dataset("voice")
    corpus["transcribe"]["batch"] = 3
    workflow.run("dataset")
    assert not {"inventory", "normalize", "segment"} & set(workflow.jobs)
    assert workflow.computed == {"transcribe": 3}
    # another batch shape may move a score in its last digit, but not a word
    assert workflow.dataset("voice")["dataset/train.jsonl"] == before["dataset/train.jsonl"]


def test_recordings_are_dealt_over_shards():
    shards = Counter(shard_of(name, SHARDS) for _, name in CLIPS)
    assert len(shards) == SHARDS, "the tests above want recordings in every shard"
