"""`voicekiln.features.packs`: what goes in comes out; damage is seen."""

import pickle

import pytest
import torch
from voicekiln.features.packs import PackError, PackReader, PackWriter, pack_name, write_pack


def features(*keys: str) -> dict[str, torch.Tensor]:
    """A different random mel for each key; the same for the same key."""
    made = {}
    for key in keys:
        generator = torch.Generator().manual_seed(sum(map(ord, key)))
        made[key] = torch.randn(len(key) + 3, 100, generator=generator)
    return made


def reader(folder, rows) -> PackReader:
    return PackReader(
        {row.key: folder / row.pack for row in rows}, {row.key: row.pack_bytes for row in rows}
    )


def test_features_come_back_bit_for_bit(tmp_path):
    made = features("a", "bb", "ccc")
    rows = write_pack(tmp_path, made)
    assert [(row.key, row.n_frames) for row in rows] == [("a", 4), ("bb", 5), ("ccc", 6)]
    packs = reader(tmp_path, rows)
    assert len(packs) == 3 and "a" in packs and "z" not in packs
    for key, tensor in made.items():
        assert torch.equal(packs.get(key), tensor)
        assert packs.get(key).dtype == torch.float32


def test_a_pack_is_named_by_its_keys_and_written_once(tmp_path):
    made = features("a", "bb")
    [row, _] = write_pack(tmp_path, made)
    assert row.pack == pack_name(["bb", "a"]) != pack_name(["a"])
    before = (tmp_path / row.pack).stat()
    write_pack(tmp_path, dict(reversed(made.items())))
    after = (tmp_path / row.pack).stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_more_clips_make_more_packs(tmp_path):
    write_pack(tmp_path, features("a"))
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_pack(tmp_path, features("bb"))
    assert len(list(tmp_path.iterdir())) == 2
    assert all((tmp_path / name).read_bytes() == data for name, data in first.items())


def test_the_writer_fills_packs_and_takes_a_key_once(tmp_path):
    writer = PackWriter(tmp_path, max_bytes=2 * 4 * 400)  # a feature has at least 4 frames of 400 B
    made = features("a", "b", "c")
    for key, feature in made.items():
        writer.add(key, feature)
        writer.add(key, feature)
    rows = writer.close()
    assert [row.key for row in rows] == ["a", "b", "c"]
    assert [rows[0].pack == rows[1].pack, rows[1].pack == rows[2].pack] == [True, False]
    assert all(torch.equal(reader(tmp_path, rows).get(key), made[key]) for key in made)


def test_a_reader_goes_to_another_process(tmp_path):
    packs = reader(tmp_path, write_pack(tmp_path, features("a")))
    first = packs.get("a")
    assert torch.equal(pickle.loads(pickle.dumps(packs)).get("a"), first)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_truncated_pack_is_an_error(tmp_path, recorded):
    [row] = write_pack(tmp_path, features("a"))
    path = tmp_path / row.pack
    path.write_bytes(path.read_bytes()[:-8])
    packs = reader(tmp_path, [row]) if recorded else PackReader({"a": path})
    with pytest.raises(PackError, match="damaged pack") as caught:
        packs.get("a")
    assert caught.value.path == path


def test_a_missing_pack_and_a_foreign_pack_are_errors(tmp_path):
    [row] = write_pack(tmp_path, features("a"))
    with pytest.raises(PackError, match="no feature z"):
        PackReader({"z": tmp_path / row.pack}).get("z")
    (tmp_path / row.pack).unlink()
    with pytest.raises(PackError, match="missing"):
        reader(tmp_path, [row]).get("a")
    with pytest.raises(KeyError):
        reader(tmp_path, [row]).get("b")


def test_a_damaged_pack_is_written_anew(tmp_path):
    made = features("a")
    [row] = write_pack(tmp_path, made)
    path = tmp_path / row.pack
    whole = path.read_bytes()
    path.write_bytes(whole[:-4] + b"\0\0\1\0")
    assert write_pack(tmp_path, made) == [row]
    assert path.read_bytes() == whole
