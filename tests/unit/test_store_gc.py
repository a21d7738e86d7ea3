import os

import pandas as pd
import pytest
from voicekiln.corpus.gc import in_use, survey, sweep
from voicekiln.corpus.sources.listing import Listing, write
from voicekiln.errors import UserError
from voicekiln.store import tables
from voicekiln.store.items import Store


def put(store, name, payload=True):
    key = store.key(name=name)
    files = {}
    if payload:
        files["flac"] = store.workfile(key, "flac")
        files["flac"].write_bytes(b"sound" * 10)
    store.put(key, {"name": name}, **files)
    return key


def write_table(results, *stores, shard="000"):
    path = results / f"corpora/voice/shards/{shard}/normalize.parquet"
    tables.write(tables.frame([], tables.RECORDINGS), path, tables.RECORDINGS, *stores)
    return path


KEEP_DAYS = 7


def age(*paths):
    old = paths[0].stat().st_mtime - (KEEP_DAYS + 1) * 86400
    for path in paths:
        os.utime(path, (old, old))


@pytest.fixture
def used(tmp_path):
    """A store with three items, two of which a table refers to."""
    with Store(tmp_path / "store", "normalize", {"gain": 1}) as store:
        put(store, "left over")
    store = Store(tmp_path / "store", "normalize", {"gain": 2})
    put(store, "a"), put(store, "b")
    write_table(tmp_path, store)
    return store


def clean(results, step="normalize", keep_days=0):
    folder = results / "store" / step
    found = survey(folder, in_use(results).get(step, set()), keep_days)
    sweep(folder, found)
    return found


def test_what_no_table_refers_to_is_found_and_removed(tmp_path, used):
    folder = tmp_path / "store/normalize"
    found = survey(folder, in_use(tmp_path)["normalize"], 0)
    dead = Store(tmp_path / "store", "normalize", {"gain": 1})
    assert (found.live, found.dead) == (2, {dead.key(name="left over")})
    assert list(found.files.values()) == [50]
    sweep(folder, found)
    assert dead.get(dead.key(name="left over")) is None
    again = Store(tmp_path / "store", "normalize", {"gain": 2})
    assert [again.get(again.key(name=name)) for name in "ab"] == [{"name": "a"}, {"name": "b"}]
    assert len(list(folder.rglob("*.flac"))) == 2
    assert not survey(folder, in_use(tmp_path)["normalize"], 0).dead


def test_a_pack_keeps_what_is_in_use_of_it(tmp_path):
    store = Store(tmp_path / "store", "segment")
    keys = [put(store, name, payload=False) for name in "abc"]
    store.used.discard(keys[1])
    write_table(tmp_path, store)
    assert clean(tmp_path, "segment").dead == {keys[1]}
    again = Store(tmp_path / "store", "segment")
    assert [again.get(key) is not None for key in keys] == [True, False, True]
    assert len(list((tmp_path / "store/segment/records").iterdir())) == 2


def test_packs_of_features_are_counted_and_kept(tmp_path):
    folder = tmp_path / "store/features"
    for name in ("of a run", "of none"):
        path = folder / "basis" / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"frames")
    table = tmp_path / "runs/voice_f5/features/voice/000.parquet"
    table.parent.mkdir(parents=True)
    pd.DataFrame({"segment_id": ["a", "b"], "pack": ["of a run.safetensors"] * 2}).to_parquet(table)
    found = clean(tmp_path, "features")
    assert found.live == 1 and [path.stem for path in found.files] == ["of none"]
    assert [path.stem for path in folder.rglob("*.safetensors")] == ["of a run"]


def test_the_work_of_a_killed_job_is_kept_for_a_while(tmp_path, used):
    killed = Store(tmp_path / "store", "normalize", {"gain": 3})
    key = put(killed, "hours of work")  # never closed
    failed = Store(tmp_path / "store", "normalize", {"gain": 4})
    other = put(failed, "of a job that wrote no table")
    failed.close()
    assert not clean(tmp_path, keep_days=KEEP_DAYS).dead
    assert Store(tmp_path / "store", "normalize", {"gain": 3}).get(key)
    age(*(tmp_path / "store/normalize").rglob("*.*"))
    assert {key, other} <= clean(tmp_path, keep_days=KEEP_DAYS).dead


def test_a_shard_that_the_corpus_no_longer_has_keeps_nothing_in_use(tmp_path, used):
    old = Store(tmp_path / "store", "normalize", {"gain": 5})
    put(old, "of shard 8")
    write_table(tmp_path, old, shard="008")
    assert old.used <= in_use(tmp_path)["normalize"], "the corpus was not listed"
    write(Listing(["0"] * 9, [], [b""] * 9), tmp_path / "corpora/voice")
    assert old.used <= in_use(tmp_path)["normalize"]
    write(Listing(["0"] * 8, [], [b""] * 8), tmp_path / "corpora/voice")
    assert not old.used & in_use(tmp_path)["normalize"]


def test_left_temporary_files_go_when_they_are_old(tmp_path, used):
    part = used.workfile(used.key(name="x"), "flac")
    part.write_bytes(b"half")
    assert part not in clean(tmp_path, keep_days=KEEP_DAYS).files
    age(part)
    assert part in clean(tmp_path, keep_days=KEEP_DAYS).files
    assert not part.exists()


def test_identity_and_the_list_of_bad_items_stay(tmp_path, used):
    for name in ("IDENTITY", "BAD"):
        path = tmp_path / "store/normalize" / name
        path.write_text("x")
        age(path)
    clean(tmp_path)
    assert (tmp_path / "store/normalize/IDENTITY").exists()
    assert (tmp_path / "store/normalize/BAD").exists()


def test_with_a_table_that_cannot_be_read_nothing_is_known_to_be_free(tmp_path, used):
    write_table(tmp_path, shard="001").write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match="nothing was deleted"):
        in_use(tmp_path)
