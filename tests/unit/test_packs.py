"""`voicekiln.features.packs`: what goes in comes out; damage is seen."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file
from voicekiln.errors import UserError
from voicekiln.families import Arrays
from voicekiln.features.packs import PackReader, PackWriter, pack_name, write_pack
from voicekiln.features.store import PackStore, basis


def features(*keys: str) -> dict[str, Arrays]:
    """Different random arrays for each key; the same for the same key."""
    made = {}
    for key in keys:
        generator = torch.Generator().manual_seed(sum(map(ord, key)))
        codes = torch.randint(8192, (len(key) + 3,), generator=generator).to(torch.int16)
        made[key] = {"mel": torch.randn(len(codes), 99, generator=generator), "codes": codes}
    return made


def written(folder, made):
    """Writes a pack; steps are codes."""
    return write_pack(folder, made, {key: len(arrays["codes"]) for key, arrays in made.items()})


def equal(read: Arrays, made: Arrays) -> bool:
    return set(read) == set(made) and all(
        torch.equal(read[name], made[name]) and read[name].dtype == made[name].dtype
        for name in made
    )


def test_features_come_back_bit_for_bit(tmp_path):
    made = features("a", "bb", "ccc")
    rows = written(tmp_path, made)
    assert [(row.key, row.n_steps) for row in rows] == [("a", 4), ("bb", 5), ("ccc", 6)]
    packs = PackReader()
    for row in rows:
        read = packs.get(str(tmp_path / row.pack), row.key)
        assert equal(read, made[row.key])


def test_a_pack_is_named_by_its_keys_and_written_once(tmp_path):
    made = features("a", "bb")
    [row, _] = written(tmp_path, made)
    assert row.pack == pack_name(["bb", "a"]) != pack_name(["a"])
    before = (tmp_path / row.pack).stat()
    written(tmp_path, dict(reversed(made.items())))
    after = (tmp_path / row.pack).stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_more_clips_make_more_packs(tmp_path):
    written(tmp_path, features("a"))
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    written(tmp_path, features("bb"))
    assert len(list(tmp_path.iterdir())) == 2
    assert all((tmp_path / name).read_bytes() == data for name, data in first.items())


def test_the_writer_fills_packs_and_takes_a_key_once(tmp_path):
    writer = PackWriter(tmp_path, max_bytes=2 * 4 * 398)  # 4 steps of 99 float32 and an int16 each
    made = features("a", "b", "c")
    for key, arrays in made.items():
        writer.add(key, arrays, 4)
        writer.add(key, arrays, 4)
    rows = writer.close()
    assert [row.key for row in rows] == ["a", "b", "c"]
    assert [rows[0].pack == rows[1].pack, rows[1].pack == rows[2].pack] == [True, False]
    packs = PackReader()
    assert all(equal(packs.get(tmp_path / r.pack, r.key), made[r.key]) for r in rows)


def test_a_reader_goes_to_another_process(tmp_path):
    [row] = written(tmp_path, features("a"))
    packs = PackReader()
    first = packs.get(tmp_path / row.pack, "a")
    assert equal(pickle.loads(pickle.dumps(packs)).get(tmp_path / row.pack, "a"), first)


def test_a_truncated_missing_or_foreign_pack_is_an_error(tmp_path):
    [row] = written(tmp_path, features("a"))
    path = tmp_path / row.pack
    with pytest.raises(UserError, match="features z cannot be read"):
        PackReader().get(path, "z")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match="run snakemake again"):
        PackReader().get(path, "a")
    path.unlink()
    with pytest.raises(UserError, match=row.pack):
        PackReader().get(path, "a")


def test_a_damaged_pack_is_written_anew(tmp_path):
    made = features("a")
    [row] = written(tmp_path, made)
    path = tmp_path / row.pack
    whole = path.read_bytes()
    path.write_bytes(whole[:-4] + b"\0\0\1\0")
    assert written(tmp_path, made) == [row]
    assert path.read_bytes() == whole


def test_packs_of_an_earlier_version_are_computed_again(tmp_path):
    """There an entry was `<key>`, and a record had `n_frames`."""
    basis = {"family": "a"}
    store = PackStore(tmp_path, basis)
    key = store.key(audio="x")
    pack = store.folder / pack_name([key])
    save_file({key: torch.zeros(7, 100)}, pack)
    row = {"key": key, "pack": pack.name, "n_frames": 7, "pack_bytes": pack.stat().st_size}
    pack.with_suffix(".json").write_text(json.dumps([row]))
    store = PackStore(tmp_path, basis)
    assert key not in store
    store.add(key, {"mel": torch.ones(7, 100)}, 7)
    store.close()
    found = PackStore(tmp_path, basis).find(key)
    assert found["n_steps"] == 7 and found["pack_bytes"] == pack.stat().st_size
    assert equal(PackReader().get(found["pack"], key), {"mel": torch.ones(7, 100)})


def test_keys_depend_on_the_base_only_if_features_do():
    plain = basis("f5", 1, {}, {})
    assert plain == {"family": "f5", "version": 1, "settings": {}}, "the keys of earlier versions"
    assert basis("f5", 1, {}, {"codebook": "ab"}) == plain | {"base": {"codebook": "ab"}}


@pytest.mark.parametrize("content", ["", "[]", "{}", "[1]", '[{"key": "a", "pa'])
def test_a_damaged_record_is_ignored_and_made_again(tmp_path, content, caplog):
    caplog.set_level("INFO")
    arrays = {"mel": torch.ones(7, 100)}
    store = PackStore(tmp_path, {"family": "a"})
    store.add("k", arrays, 7)
    store.close()
    [record] = store.folder.glob("*.json")
    whole = record.read_bytes()
    record.write_text(content)
    store = PackStore(tmp_path, {"family": "a"})
    assert "k" not in store and record.name in caplog.text
    store.add("k", arrays, 7)
    store.close()
    assert record.read_bytes() == whole


def test_rows_that_have_a_record_are_not_read_at_each_clip(tmp_path):
    class Rows(list):
        def __iter__(self):
            raise AssertionError("all rows are read again")

    store = PackStore(tmp_path, {"family": "a"})
    store.add("a", {"mel": torch.ones(7, 100)}, 7)
    store.close()
    store._writer.rows = Rows(store._writer.rows)
    store.add("b", {"mel": torch.ones(7, 100)}, 7)
    store.close()
    assert "a" in store and "b" in store
