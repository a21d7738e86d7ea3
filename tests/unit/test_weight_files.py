"""`voicekiln.weights.files`: nothing is executed, nothing is half written, hashes see every bit."""

import argparse
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from voicekiln.errors import UserError
from voicekiln.store.files import atomic
from voicekiln.weights import files as checkpoints

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(True)}


class Malicious:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


def error_of(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        checkpoints.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_a_pickle_that_wants_code_is_refused_by_name_and_not_run(tmp_path, legacy):
    mark, path = tmp_path / "executed", tmp_path / "evil.pt"
    content = {"model_state_dict": STATE, "extra": Malicious(mark)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert "posix.system" in error_of(path)
    assert not mark.exists()
    # The file would have done it: the test can fail.
    torch.load(path, weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_plain_pickle_is_refused_by_name_too(tmp_path, protocol):
    mark, path = tmp_path / "executed", tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps({"x": Malicious(mark)}, protocol))
    assert "posix.system" in error_of(path)
    assert not mark.exists()


def test_each_class_that_is_asked_for_is_named(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"a": STATE, "args": argparse.Namespace(x=1), "p": Path("x")}, path)
    message = error_of(path)
    assert "argparse.Namespace" in message and "pathlib.PosixPath" in message


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_a_clear_error(tmp_path, suffix, share):
    path = tmp_path / f"x{suffix}"
    checkpoints.write_atomic(path, {"a": torch.randn(1000)})
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert "truncated or damaged" in error_of(path)


def test_other_files_are_clear_errors(tmp_path):
    assert "no such checkpoint" in error_of(tmp_path / "none.pt")
    (tmp_path / "x.zip").write_bytes(b"PK")
    assert "expected a checkpoint file" in error_of(tmp_path / "x.zip")
    torch.save([1, 2], tmp_path / "list.pt")
    assert "got list" in error_of(tmp_path / "list.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_nested_content_comes_back(tmp_path, legacy):
    path = tmp_path / "x.pt"
    torch.save({"m": STATE, "update": 7}, path, _use_new_zipfile_serialization=not legacy)
    content = checkpoints.read(path)
    assert content["update"] == 7 and torch.equal(content["m"]["a"], STATE["a"])


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_bytes_depend_on_the_content_alone(tmp_path, suffix):
    view = torch.arange(12.0)[:6].reshape(2, 3)
    one, two = tmp_path / f"one{suffix}", tmp_path / f"a_longer_name{suffix}"
    checkpoints.write_atomic(one, STATE)
    checkpoints.write_atomic(two, {"b": STATE["b"], "a": view})
    assert one.read_bytes() == two.read_bytes()


def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic(path, sync=True) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_prefixes_of_wrappers_are_taken_off():
    names = ("module.a", "ema_model.b", "ema_model.module.c", "d.module.e")
    assert list(checkpoints.without_prefixes(dict.fromkeys(names, 0))) == [
        *("a", "b", "c", "d.module.e")
    ]
    inside = {"_orig_mod.a": 0, "module._orig_mod.b": 0, "c._orig_mod.d": 0, "_orig_mod": 0}
    assert list(checkpoints.without_prefixes(inside)) == ["a", "b", "c.d", "_orig_mod"]
    with pytest.raises(UserError, match="'a' is in the checkpoint twice"):
        checkpoints.without_prefixes({"a": 0, "module.a": 1})


def test_hashes_see_values_types_shapes_and_names_but_not_the_order():
    tensor = torch.arange(4.0)
    same = torch.arange(8.0).reshape(4, 2).T.contiguous().T[:, 0] / 2  # not contiguous
    assert checkpoints.tensor_sha256(same) == checkpoints.tensor_sha256(tensor)
    others = [tensor.double(), tensor.reshape(2, 2), tensor + 1e-7, -tensor, tensor.bfloat16()]
    hashes = {checkpoints.tensor_sha256(t) for t in (tensor, torch.tensor(0.0), *others)}
    assert len(hashes) == 7
    a, b = {"x": tensor, "y": tensor}, {"y": tensor, "x": tensor}
    assert checkpoints.state_sha256(a) == checkpoints.state_sha256(b)
    assert checkpoints.state_sha256(a) != checkpoints.state_sha256({"x": tensor, "z": tensor})


def test_a_safetensors_file_of_others_is_read(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert torch.equal(checkpoints.read(tmp_path / "x.safetensors")["a"], STATE["a"])


def test_a_checkpoint_that_was_deflated_reads_the_same(tmp_path):
    tensors = {"w": torch.arange(1000.0), "b": torch.ones(7, 3)}
    torch.save(tensors, tmp_path / "stored.pt")
    with (
        zipfile.ZipFile(tmp_path / "stored.pt") as old,
        zipfile.ZipFile(tmp_path / "deflated.pt", "w") as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry), zipfile.ZIP_DEFLATED)
    read = checkpoints.read(tmp_path / "deflated.pt")
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_are_as_readable_as_others(tmp_path, suffix):
    (tmp_path / "plain").touch()
    checkpoints.write_atomic(tmp_path / f"x{suffix}", STATE)
    assert (tmp_path / f"x{suffix}").stat().st_mode == (tmp_path / "plain").stat().st_mode
