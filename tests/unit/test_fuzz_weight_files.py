"""Foreign checkpoints, vocabularies and corrections: each returns or raises `UserError`.

`pytest --hypothesis-show-statistics tests/unit/test_fuzz_checkpoints.py` prints how many inputs
were tried and how each of them ended.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.control import currently_in_test_context
from safetensors.torch import save
from voicekiln.corpus import corrections
from voicekiln.errors import UserError
from voicekiln.tokenizers import characters, sentencepiece
from voicekiln.weights import files as checkpoints
from voicekiln.weights import kinds

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
TENSORS = {"transformer.a": torch.arange(6.0), "b": torch.ones(2, 3)}

pytestmark = pytest.mark.filterwarnings("ignore")


def tried(examples):
    return settings(max_examples=examples, deadline=None, derandomize=True)


def outcome(read, *args) -> str:
    """How reading ended; a message is one line of bearable length."""
    try:
        read(*args)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000, str(error)[:3000]
        ended = str(error)
    else:
        ended = ""
    if currently_in_test_context():
        event("UserError" if ended else "read")
    return ended


def look_at(path: Path) -> str:
    """What a run does with a base: a look when the configuration is read, then the whole file."""
    if kinds.problem(path) is None:
        kinds.names(path)
    return outcome(checkpoints.read, path)


def spoiled(data: bytes):
    """Strategy: the data with a few bytes replaced, taken out, put in, or its end cut off."""
    places = st.integers(0, len(data))
    edit = st.tuples(places, st.integers(0, 12), st.binary(max_size=12))

    def apply(edits, length):
        out = data
        for at, removed, added in edits:
            out = out[:at] + added + out[at + removed :]
        return out[:length]

    return st.builds(apply, st.lists(edit, max_size=4), st.one_of(st.just(1 << 20), places))


def torch_file(path: Path, legacy: bool) -> bytes:
    torch.save({"m": TENSORS, "update": 3}, path, _use_new_zipfile_serialization=not legacy)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_spoiled_checkpoints(tmp_path_factory, kind):
    folder = tmp_path_factory.mktemp("spoiled")
    path = folder / ("x.safetensors" if kind == "safetensors" else "x.pt")
    whole = save(TENSORS) if kind == "safetensors" else torch_file(path, kind == "legacy")

    @tried(300)
    @given(spoiled(whole))
    def check(data):
        path.write_bytes(data)
        look_at(path)

    check()


numbers = st.one_of(
    st.integers(-2, 40), st.sampled_from([2**31, 2**63, 2**64, 10**400, 1e300, 0.5, True])
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.one_of(st.sampled_from(["F32", "BF16", "X", 3]), st.none()),
        "shape": st.one_of(st.lists(numbers, max_size=3), numbers),
        "data_offsets": st.one_of(st.lists(numbers, max_size=3), st.none()),
    },
)
names = st.sampled_from(["a", "b", "transformer.c", "__metadata__", "", "\ud800"])


def with_header(header: bytes, length: int | None = None, data: bytes = bytes(24)) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


@tried(300)
@given(
    st.lists(st.tuples(names, st.one_of(entries, numbers, st.none())), max_size=4),
    st.one_of(st.none(), st.integers(0, 2**64 - 1)),
)
def test_safetensors_headers(tmp_path_factory, pairs, length):
    path = tmp_path_factory.getbasetemp() / "made.safetensors"
    header = "{" + ", ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in pairs) + "}"
    path.write_bytes(with_header(header.encode(), length))
    look_at(path)


@pytest.mark.parametrize(
    "data, message",
    [
        (with_header(b"[" * 100_000), "nested too deeply"),
        (with_header(b'{"a":' * 100_000), "nested too deeply"),
        (with_header(b"{}", 2**40), "header has 1099511627776 bytes"),
        (
            with_header(
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
            ),
            "'a' twice",
        ),
        (
            with_header(
                b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
                b'"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}'
            ),
            "overlaps",
        ),
        (with_header(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'), "describes"),
        (with_header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'), "skips 4 bytes"),
        (with_header(b'"a"' + b" " * 30), "expected an object"),
        (with_header(b'{"a":{"shape":[' + b"9," * 10 + b"1" * 5000 + b"]}}"), "safetensors format"),
    ],
)
def test_headers_that_lie(tmp_path, data, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    assert message in look_at(path)


@tried(100)
@given(
    st.dictionaries(
        st.sampled_from(["x/data.pkl", "x/data/0", "x/version", "constants.pkl", "../x"]),
        st.tuples(st.binary(max_size=60), st.sampled_from([0, 8]), st.booleans()),
        max_size=4,
    )
)
def test_zip_archives(tmp_path_factory, files):
    path = tmp_path_factory.getbasetemp() / "made.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, (content, packed, pickle) in files.items():
            data = b"\x80\x02" + content + b"." if pickle else content
            archive.writestr(name, data, compress_type=packed)
    look_at(path)


BOMBS = {  # name -> (file in the archive, what is said of it)
    "storage": ("x/data/0", "unpack to"),
    "structure": ("x/data.pkl", "unpack"),
}
SMALL_MEMORY = """
import resource, sys
from pathlib import Path
from voicekiln.weights import kinds
resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
path = Path(sys.argv[1])
print(kinds.problem(path), kinds.names(path))
"""


@pytest.mark.parametrize("kind", BOMBS)
def test_zip_bombs_are_refused_before_they_unpack(tmp_path, kind):
    inside, message = BOMBS[kind]
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        with archive.open(inside, "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(bytes(1 << 20))
    assert path.stat().st_size < 3 << 20
    # a process that has no room for what is in it can tell
    found = subprocess.run(
        [sys.executable, "-c", SMALL_MEMORY, path],
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
    )
    assert "rejected" in found.stdout and message in found.stdout, found.stderr
    assert "refused" in look_at(path)


def test_a_directory_longer_than_any_checkpoints_is_not_listed(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\5\6")
    data[at + 12 : at + 16] = (1 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    assert "directory has 1073741824 bytes" in look_at(path)


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"m": {"w": torch.zeros(1).expand(1 << 40)}}, path)
    assert "tensor 'w' is larger than its data" in look_at(path)


@tried(200)
@given(st.one_of(st.binary(max_size=80), spoiled("a\nb\n \nß\n".encode())))
def test_vocabularies(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "vocab.txt"
    path.write_bytes(data)
    outcome(characters.read_vocab, path)


def test_a_vocabulary_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "vocab.txt"
    with open(path, "wb") as file:
        file.truncate(4 << 30)  # takes no disk
    assert "at most" in outcome(characters.read_vocab, path)
    path.write_bytes(b" \n" + b"x" * 100_000 + b"\n" + b"x" * 100_000 + b"\n")
    assert "already on line 2" in outcome(characters.read_vocab, path)


@pytest.fixture(scope="module")
def model() -> bytes:
    base = sentencepiece.model_pb2.ModelProto()
    for i, piece in enumerate(["<unk>", "<s>", "</s>", "▁a", "b", "c"]):
        base.pieces.add(piece=piece, score=-float(i), type=2 if i == 0 else 3 if i < 3 else 1)
    base.trainer_spec.model_type = sentencepiece.BPE
    return base.SerializeToString()


def test_sentencepiece_models(model):
    sentencepiece.parse(model)

    @tried(300)
    @given(st.one_of(st.binary(max_size=60), spoiled(model)))
    def check(data):
        outcome(sentencepiece.parse, data)

    check()
    assert "at most" in outcome(sentencepiece.parse, bytes(sentencepiece.MAX_BYTES + 1))


LINE = {"content_sha256": "0" * 16, "start_s": 1, "end_s": 2, "text": "a"}
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=4), st.just("\ud800")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner)
    ),
    max_leaves=4,
)


@tried(300)
@given(
    st.dictionaries(st.sampled_from([*LINE, "status", "new_start_s", "new_end_s"]), json_values),
    st.booleans(),
)
def test_corrections(tmp_path_factory, values, whole):
    path = tmp_path_factory.getbasetemp() / "corrections.jsonl"
    path.write_text(json.dumps((LINE if whole else {}) | values) + "\n")
    outcome(lambda: [c.text.encode() for c in corrections.read(path) if c.text])


@tried(200)
@given(st.one_of(st.binary(max_size=60), spoiled(json.dumps(LINE).encode())))
def test_spoiled_corrections(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "spoiled.jsonl"
    path.write_bytes(data)
    outcome(corrections.read, path)


@pytest.mark.parametrize(
    "line, message",
    [
        (json.dumps(LINE | {"end_s": 10**400}), "a time is 1000"),
        (json.dumps(LINE | {"start_s": -(10**400)}), "a time is -1000"),
        ('{"content_sha256": "0000000000000000", "start_s": ' + "1" * 5000 + "}", "Exceeds"),
        (json.dumps(LINE | {"text": "a\ud800"}), "lone surrogate"),
        ("[" * 100_000, "RecursionError"),
        (json.dumps(LINE | {"text": 3, "status": "x" * 10_000}), "text is 3"),
    ],
)
def test_lines_of_corrections_that_broke_the_reader(tmp_path, line, message):
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + line + "\n")
    said = outcome(corrections.read, path)
    assert "line 2" in said and message in said


def test_a_folder_in_place_of_the_corrections_is_named(tmp_path):
    assert "expected a file of corrections, found a folder" in outcome(corrections.read, tmp_path)
