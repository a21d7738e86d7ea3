"""Headers of foreign checkpoints, checked before any of the data is read.

A zip directory or a safetensors header of a few kilobytes can describe gigabytes. These functions
read only the header, so time and memory depend on its length, which is limited.
"""

import json
import zipfile
import zlib
from collections import Counter
from pathlib import Path

# Weights compress by about 10 %, pickled names to 10 %, zip bombs to 0.1 %. The ratio of small
# archives is not checked.
MAX_RATIO, SMALL_BYTES = 20, 64 << 20
MAX_PICKLE_BYTES = 32 << 20  # structure without tensors; a long training has 0.3 MB
MAX_DIRECTORY_BYTES = 8 << 20  # room for 80 000 entries
END_BYTES = (1 << 16) + 256  # end records of a zip archive and the longest comment
MAX_HEADER_BYTES = 4 << 20  # room for 40 000 tensors; a base has about 400
HEADER_AT = 8  # size of the length field of a safetensors header
PICKLE = "/data.pkl"

# Exceptions of zipfile for damaged archives; RuntimeError for an unknown version or a password.
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError),
    *(OverflowError, NotImplementedError),
)


def entries(path: Path) -> list[zipfile.ZipInfo]:
    """The directory of a zip archive.

    Raises:
        ValueError: it describes more data than an archive of this size can contain.
        other errors of `BROKEN`: it is damaged.
    """
    n_bytes = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, n_bytes - END_BYTES))
        if (listed := _directory_bytes(file.read())) > MAX_DIRECTORY_BYTES:
            raise ValueError(
                f"its directory has {listed} bytes, more than the limit of {MAX_DIRECTORY_BYTES}"
            )
    with zipfile.ZipFile(path) as archive:
        found = archive.infolist()
    unpacked = sum(entry.file_size for entry in found)
    if unpacked > max(MAX_RATIO * n_bytes, SMALL_BYTES):
        raise ValueError(
            f"its {n_bytes} bytes unpack to {unpacked}, which is impossible for a checkpoint"
        )
    for entry in found:
        if entry.filename.endswith(PICKLE) and entry.file_size > MAX_PICKLE_BYTES:
            raise ValueError(
                f"{entry.filename} unpacks to {entry.file_size} bytes, more than the limit of"
                f" {MAX_PICKLE_BYTES}"
            )
    return found


def _directory_bytes(tail: bytes) -> int:
    """Length of a zip archive's directory, from the records at its end."""
    places = [(b"PK\5\6", 12, 4), (b"PK\6\6", 40, 8)]
    lengths = [0]
    for mark, offset, width in places:
        at = tail.rfind(mark)
        value = int.from_bytes(tail[at + offset : at + offset + width], "little")
        if at >= 0 and value != 0xFFFFFFFF:  # refers to the other record
            lengths.append(value)
    return max(lengths)


def safetensors(path: Path) -> dict[str, dict]:
    """The header of a safetensors file, name by name, without `__metadata__`.

    Raises:
        ValueError: it is not a valid header, or describes tensors that the file does not contain.
    """
    n_bytes = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(HEADER_AT), "little")
        if length > MAX_HEADER_BYTES:
            raise ValueError(
                f"its header has {length} bytes, more than the limit of {MAX_HEADER_BYTES}"
            )
        text = file.read(length)
    if len(text) < length:
        raise ValueError(f"the file has {n_bytes} bytes, its header alone {HEADER_AT + length}")
    try:
        content = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"its header is a {type(content).__name__}, expected an object")
    content.pop("__metadata__", None)
    spans = sorted(_span(name, entry) for name, entry in content.items())
    end = 0
    for first, after, name in spans:
        if first != end:
            what = "overlaps the previous one" if first < end else f"skips {first - end} bytes"
            raise ValueError(f"tensor {name[:80]!r} {what}")
        end = after
    if HEADER_AT + length + end > n_bytes:
        raise ValueError(
            f"has {n_bytes} bytes of the {HEADER_AT + length + end} that its header describes"
        )
    return content


def _unique(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"its header has {twice[:80]!r} twice")
    return content


def _span(name: str, entry: object) -> tuple[int, int, str]:
    """First byte, end (exclusive) and name of a tensor."""
    try:
        shape, (first, after) = entry["shape"], entry["data_offsets"]
        whole = [n for n in (*shape, first, after) if type(n) is int and 0 <= n < 1 << 63]
        right = len(whole) == len(shape) + 2 and first <= after and isinstance(entry["dtype"], str)
    except (TypeError, KeyError, ValueError):
        right = False
    if not right or (0 in shape) != (first == after):
        raise ValueError(f"its header's entry {name[:80]!r} does not describe a tensor")
    return first, after, name
