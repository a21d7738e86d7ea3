import pytest
from voicekiln.errors import UserError
from voicekiln.store.items import Store, identity


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, "normalize", {"version": 1, "settings": {"rate_hz": 24000}})


def put(store, key, data=b"flac"):
    part = store.workfile(key, "flac")
    part.write_bytes(data)
    store.put(key, {"n": 1}, flac=part)


def test_an_item_is_found_again(store):
    key = store.key(content="abc")
    assert store.get(key) is None
    put(store, key)
    assert store.get(key) == {"n": 1}
    assert store.path(key, ".flac").read_bytes() == b"flac"
    assert not [path for path in store.folder.rglob(".*")], "a temporary file was left"


def test_settings_version_and_input_make_the_key(tmp_path, store):
    key = store.key(content="abc")
    assert key != store.key(content="abd")
    assert key != Store(tmp_path, "normalize", {**store.basis, "version": 2}).key(content="abc")
    assert key != Store(tmp_path, "segment", store.basis).key(content="abc")
    reordered = {"settings": {"rate_hz": 24000}, "version": 1}
    assert key == Store(tmp_path, "normalize", reordered).key(content="abc")


def test_a_truncated_payload_does_not_count(store):
    key = store.key(content="abc")
    put(store, key)
    store.path(key, ".flac").write_bytes(b"fl")
    assert store.get(key) is None


@pytest.mark.parametrize("record", [b"", b'{"files": {', b"[]", b"\xff"])
def test_a_damaged_record_does_not_count(store, record):
    key = store.key(content="abc")
    put(store, key)
    store.path(key).write_bytes(record)
    assert store.get(key) is None


def test_a_missing_item_is_reported_and_changes_what_the_rule_depends_on(tmp_path, store):
    key, other = store.key(content="abc"), store.key(content="xyz")
    put(store, key)
    put(store, other)
    before = identity(tmp_path, "normalize")
    assert identity(tmp_path, "normalize") == before
    store.path(key, ".flac").unlink()
    with pytest.raises(UserError, match="run snakemake again"):
        store.require(key)
    assert identity(tmp_path, "normalize") != before
    assert not store.path(key).exists()
    assert store.get(other) == {"n": 1}


def test_a_deleted_store_is_another_store(tmp_path, store):
    before = identity(tmp_path, "normalize")
    (tmp_path / "normalize" / "IDENTITY").unlink()
    assert identity(tmp_path, "normalize")["identity"] != before["identity"]
