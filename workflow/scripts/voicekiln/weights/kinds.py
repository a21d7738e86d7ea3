"""Checks whether a file can be a checkpoint, by name, size and first bytes, without torch.

A git-lfs pointer, a web page or an incomplete download is detected when the configuration is read,
before any step runs.
"""

import itertools
import pickletools
import re
import string
import zipfile
from pathlib import Path

from voicekiln.weights import headers

PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
SUFFIXES = (".safetensors", *PICKLE_SUFFIXES)
HEAD_BYTES = 512
SHOWN_CHARACTERS = 60
AGAIN = "copy or download it again"
CUT = f"it is truncated or damaged; {AGAIN}"
PACKED = "unpack it and name the checkpoint in it"
NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")

# First bytes -> error and remedy.
MARKS = (
    (
        b"version https://git-lfs.github.com",
        "expected a checkpoint, this is git-lfs's pointer to one; fetch it with `git lfs pull`, or"
        " download the file itself",
    ),
    (b"\x1f\x8b", f"expected a checkpoint, this is a gzip archive; {PACKED}"),
    (b"7z\xbc\xaf", f"expected a checkpoint, this is a 7z archive; {PACKED}"),
    (b"Rar!", f"expected a checkpoint, this is a rar archive; {PACKED}"),
    (b"RIFF", "expected a checkpoint, this is a sound file"),
    (b"GGUF", "expected a checkpoint, this is a GGUF model, which cannot be trained"),
)


def problem(path: Path) -> str | None:
    """The reason why a file cannot be a checkpoint; None if none is apparent."""
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        return "no such checkpoint file"
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        return f"expected a checkpoint file ({', '.join(SUFFIXES)})"
    size = path.stat().st_size
    if size == 0:
        return f"expected a checkpoint, the file is empty (0 bytes); {AGAIN}"
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        return f"cannot be read ({error.strerror}); check its permissions and its disk"
    for mark, words in MARKS:
        if head.startswith(mark):
            return words
    if head.lstrip()[:1] == b"<":
        return (
            f"expected a checkpoint, this is a web page or XML ({_shown(head)}); open its address"
            " in a browser to see why, log in if required, and download the file itself"
        )
    if _is_text(head) and not _is_pickle(head):
        return f"expected a checkpoint, this is text ({_shown(head)}); download the file itself"
    if not head.strip(b"\0"):
        return f"expected a checkpoint, the file starts with zeros ({size} bytes); {AGAIN}"
    if suffix == ".safetensors":
        return _safetensors(path, head, size)
    return _torch_save(path, head, size)


def names(path: Path) -> list[str] | None:
    """Names of tensors (and other words) in a checkpoint without `problem`, without loading it.

    None for files of torch before 1.6, which would have to be read completely, and for archives
    whose list of names is damaged.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".safetensors":
            return list(headers.safetensors(path))
        if not zipfile.is_zipfile(path):
            return None
        found = [e for e in headers.entries(path) if e.filename.endswith(headers.PICKLE)]
        if not found:
            return None
        with zipfile.ZipFile(path) as archive:
            pickled = archive.read(found[0])
    except headers.BROKEN:
        return None  # the step that reads the file raises the error
    # strings in a pickle are printable bytes between opcodes, so a search for words suffices
    return [found.decode() for found in NAME.findall(pickled)]


def _folder(path: Path) -> str:
    inside = sorted(f.name for f in path.iterdir() if f.suffix.lower() in SUFFIXES)
    there = f"it contains {', '.join(inside[:5])}" if inside else "it contains none"
    return f"expected a checkpoint file ({', '.join(SUFFIXES)}), this is a folder; {there}"


def _safetensors(path: Path, head: bytes, size: int) -> str | None:
    if head.startswith(b"PK\3\4"):
        return "is named .safetensors, but it is a file of torch.save; rename it to .pt"
    if size < headers.HEADER_AT:
        return f"expected the safetensors format, found other bytes ({size}); {CUT}"
    try:
        headers.safetensors(path)
    except ValueError as error:
        return f"expected the safetensors format, found other bytes ({error}); {CUT}"
    return None


def _torch_save(path: Path, head: bytes, size: int) -> str | None:
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return (
            "is named as a file of torch.save, but it is one of safetensors; rename it to"
            f" {path.stem}.safetensors"
        )
    if not head.startswith(b"PK\3\4"):
        return None  # a pickle of torch before 1.6, or something that torch will reject
    try:
        names = [entry.filename for entry in headers.entries(path)]
    except ValueError as error:
        return f"rejected: {error}; if the file is yours, save its tensors again with torch.save"
    except headers.BROKEN as error:
        return f"has {size} bytes and is incomplete ({error}); {CUT}"
    if any(name.endswith("/constants.pkl") for name in names):
        return "expected a checkpoint, this is a TorchScript program; give the weights it was from"
    if not any(name.endswith(headers.PICKLE) for name in names):
        return f"expected a file of torch.save, this is another zip archive; {PACKED}"
    return None


def _is_text(head: bytes) -> bool:
    characters = head.decode("utf-8", errors="ignore")
    printable = all(c.isprintable() or c in string.whitespace for c in characters)
    return (
        printable and len(characters.encode()) > len(head) - 4
    )  # the last character may be incomplete


def _is_pickle(head: bytes) -> bool:
    """Whether text starts with the opcodes of a pickle; protocol 0 consists of letters."""
    try:
        return len(list(itertools.islice(pickletools.genops(head), 3))) == 3
    except ValueError:
        return False


def _shown(head: bytes) -> str:
    text = " ".join(head.decode("utf-8", errors="replace").split())
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…")
