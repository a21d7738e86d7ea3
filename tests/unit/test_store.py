import multiprocessing
import os
import signal
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.errors import UserError
from voicekiln.store.items import Store, identity
from voicekiln.store.records import INDEX, PACK, Records


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, "normalize", {"version": 1, "settings": {"rate_hz": 24000}})


def put(store, key, data=b"flac"):
    part = store.workfile(key, "flac")
    part.write_bytes(data)
    store.put(key, {"n": 1}, flac=part)


def again(store):
    """The store as another process sees it."""
    return Store(store.folder.parent, store.step, store.basis)


def packs(folder):
    return sorted(folder.rglob(f"*{PACK}"))


@pytest.mark.parametrize("closed", [True, False])
def test_an_item_is_found_again(store, closed):
    key = store.key(content="abc")
    assert store.get(key) is None
    put(store, key)
    if closed:
        store.close()
    assert len(list(store.folder.rglob(f"*{INDEX}"))) == closed
    for reader in (store, again(store)):
        assert reader.get(key) == {"n": 1}
        assert reader.used == {key}
    assert store.path(key, ".flac").read_bytes() == b"flac"
    assert not [path for path in store.folder.rglob(".*")], "a temporary file was left"


def test_settings_version_and_input_make_the_key(tmp_path, store):
    key = store.key(content="abc")
    assert key != store.key(content="abd")
    assert key != Store(tmp_path, "normalize", {**store.basis, "version": 2}).key(content="abc")
    assert key != Store(tmp_path, "segment", store.basis).key(content="abc")
    reordered = {"settings": {"rate_hz": 24000}, "version": 1}
    assert key == Store(tmp_path, "normalize", reordered).key(content="abc")


def test_records_are_few_files(tmp_path):
    """A hundred items of two writers are two packs and two indices."""
    for writer in range(2):
        with Store(tmp_path, "segment") as store:
            for i in range(50):
                store.put(store.key(n=i + 50 * writer), {"i": i})
    assert len(list(tmp_path.rglob("*.*"))) == 4
    store = Store(tmp_path, "segment")
    assert all(store.get(store.key(n=i)) == {"i": i % 50} for i in range(100))


def test_a_truncated_payload_does_not_count(store):
    key = store.key(content="abc")
    put(store, key)
    store.path(key, ".flac").write_bytes(b"fl")
    assert store.get(key) is None


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("at", [0, 5, 12, 45, -3])
def test_a_changed_record_does_not_count_and_is_made_again(store, at, closed):
    key, other = store.key(content="abc"), store.key(content="xyz")
    put(store, key)
    put(store, other)
    if closed:
        store.close()
    (pack,) = packs(store.folder)
    content = bytearray(pack.read_bytes())
    first = content.index(b"\n") + 1
    content[at if at >= 0 else first + at] ^= 1
    pack.write_bytes(content)
    reader = again(store)
    assert reader.get(key) is None
    assert reader.get(other) == {"n": 1}
    put(reader, key)
    assert again(store).get(key) == {"n": 1}


@pytest.mark.parametrize("index", [b"", b"short", b"\0" * 36, None])
def test_an_index_that_does_not_fit_is_not_believed(store, index):
    keys = [store.key(content=name) for name in "abc"]
    for key in keys:
        put(store, key)
    store.close()
    path = packs(store.folder)[0].with_suffix(INDEX)
    path.unlink() if index is None else path.write_bytes(index)
    assert all(again(store).get(key) == {"n": 1} for key in keys)


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=8), data=st.data())
def test_what_a_torn_pack_still_holds_is_found(tmp_path_factory, texts, data):
    folder = tmp_path_factory.mktemp("records")
    records = Records(folder)
    keys = [f"{i:032x}" for i in range(len(texts))]
    for key, text in zip(keys, texts, strict=True):
        records.put(key, text.replace("\n", "\\n"))
    (pack,) = packs(folder)
    content = pack.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    pack.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    found = [Records(folder).get(key) for key in keys]
    assert found[:whole] == [text.replace("\n", "\\n") for text in texts[:whole]]
    assert found[whole:] == [None] * (len(texts) - whole)


def _write(folder, begin, end, started):
    records = Records(folder)
    started.set()
    for i in range(begin, end):
        records.put(f"{i:032x}", f'{{"i":{i}}}')
    records.close()


def test_writers_at_the_same_time_do_no_harm(tmp_path):
    """Two processes write overlapping ranges at once; all is there, once or twice."""
    context = multiprocessing.get_context("fork")
    ranges = [(0, 600), (300, 900)]
    writers = [
        context.Process(target=_write, args=(tmp_path, *span, context.Event())) for span in ranges
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    records = Records(tmp_path)
    assert [records.get(f"{i:032x}") for i in range(900)] == [f'{{"i":{i}}}' for i in range(900)]
    assert len(records.keys()) == 900


def test_a_killed_writer_leaves_whole_records_only(tmp_path):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    writer = context.Process(target=_write, args=(tmp_path, 0, 10**7, started))
    writer.start()
    started.wait()
    while not packs(tmp_path) or packs(tmp_path)[0].stat().st_size < 100_000:
        time.sleep(0.001)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    keys = Records(tmp_path).keys()
    assert len(keys) > 1000
    assert keys == [f"{i:032x}" for i in range(len(keys))]


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
    assert store.get(key) is None
    assert store.get(other) == {"n": 1}


def test_an_unreadable_payload_is_taken_out(store):
    key = store.key(content="abc")
    put(store, key)
    with pytest.raises(UserError, match="cannot be read"):
        store.report(key, "cannot be read")
    assert not store.path(key, ".flac").exists()
    assert store.get(key) is None


def test_a_deleted_store_is_another_store(tmp_path, store):
    before = identity(tmp_path, "normalize")
    (tmp_path / "normalize" / "IDENTITY").unlink()
    assert identity(tmp_path, "normalize")["identity"] != before["identity"]
