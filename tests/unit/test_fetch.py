import hashlib

import pytest
from voicekiln.asr.fetch import fetch
from voicekiln.errors import UserError

CONTENT = b"model" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "there" / "tiny.pt"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_downloaded_completely(source, tmp_path):
    said = []
    fetch(source.as_uri(), SHA256, tmp_path / "tiny.pt", lambda *args: said.append(args))
    assert (tmp_path / "tiny.pt").read_bytes() == CONTENT
    assert said == [(len(CONTENT), len(CONTENT))]


@pytest.mark.parametrize("sha256, said", [("0" * 64, "SHA-256 is"), (SHA256, "download failed")])
def test_a_failed_download_leaves_no_file(source, tmp_path, sha256, said):
    if sha256 == SHA256:
        source.unlink()
    with pytest.raises(UserError, match=said):
        fetch(source.as_uri(), sha256, tmp_path / "tiny.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_bad_download_does_not_replace_the_target(source, tmp_path):
    (tmp_path / "tiny.pt").write_bytes(b"old")
    with pytest.raises(UserError):
        fetch(source.as_uri(), "0" * 64, tmp_path / "tiny.pt")
    assert (tmp_path / "tiny.pt").read_bytes() == b"old"
