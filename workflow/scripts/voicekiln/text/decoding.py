"""Read text files of unknown encoding, with line endings as `\\n`."""

import re
from pathlib import Path

from voicekiln.errors import UserError

MAX_BYTES = 1 << 30
BOMS = (  # UTF-32 first: its little-endian mark starts with that of UTF-16
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
UTF8_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
# traces of another code page decoded as Windows-1252: three or more accented letters in a row
# (Cyrillic, Greek, Arabic), or a sign inside a word (Polish, Czech)
NOT_WESTERN = re.compile(
    r"\b[\xc0-\xd6\xd8-\xf6\xf8-\xff]{3,}|[^\W\d_][\xa1-\xa9\xab-\xb1\xb3-\xb6\xb8\xb9\xbc-\xbf]+[^\W\d_]"
)


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> tuple[str, str | None]:
    """Text of a file with "\\n" line endings, and a warning if its encoding was guessed.

    See `read_bytes` and `decode`.
    """
    return decode(read_bytes(path, max_bytes), path)


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Content of a text file.

    Raises:
        UserError: the file cannot be read, or is too large.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes > max_bytes:
            raise UserError(
                f"{path}: {n_bytes} bytes, expected a text file of at most {max_bytes} bytes"
            )
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot read the file: {error.strerror or error}") from error


def decode(content: bytes, path: Path) -> tuple[str, str | None]:
    """Decode the content of a text file, and return a warning if its encoding was guessed.

    Accepts UTF-8 and UTF-16 (with or without a byte order mark), UTF-32 with one, and Windows-1252,
    the only guess.

    Args:
        path: for messages.

    Raises:
        UserError: the content is not text, or has another encoding.
    """
    encoding = next((name for mark, name in BOMS if content.startswith(mark)), None)
    encoding = encoding or _utf16_without_mark(content) or "utf-8"
    note = None
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8" or _is_damaged_utf8(content):
            raise _undecodable(path, content, error) from error
        text = _western(path, content, error)
        note = _guess_warning(path, text)
    text = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\x1a")
    found = CONTROL.search(text)
    if found:
        raise UserError(
            f"{path}, line {_line_number(text[: found.start()])}: control character "
            f"{found[0]!r}: this is not a text file"
        )
    return text, note


def _utf16_without_mark(content):
    """Detect UTF-16 without a mark: in mostly Latin text every other byte is zero."""
    head = content[:2000]
    if len(head) < 4 or len(content) % 2:
        return None
    for encoding, zeros, others in (
        ("utf-16-le", head[1::2], head[0::2]),
        ("utf-16-be", head[0::2], head[1::2]),
    ):
        if zeros.count(0) > 0.6 * len(zeros) and not others.count(0):
            return encoding
    return None


def _is_damaged_utf8(content):
    """Whether most non-ASCII bytes form valid UTF-8 sequences, rare in any other encoding."""
    n_high = len(content) - len(content.translate(None, bytes(range(128, 256))))
    n_whole = sum(len(sequence) for sequence in UTF8_SEQUENCE.findall(content))
    return n_whole > n_high / 2


def _western(path, content, error):
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        raise _undecodable(path, content, error) from error
    words = len(re.findall(r"\w+", text))
    if sum(1 for _ in NOT_WESTERN.finditer(text)) > 0.02 * words:
        raise _undecodable(path, content, error)
    return text


def _guess_warning(path, text):
    example = re.search(r"\S*[^\x00-\x7f]\S*", text)
    return (
        f"{path}: not UTF-8, decoded as Windows-1252 (example: {example[0][:40]!r}, line "
        f"{_line_number(text[: example.start()])}). If letters are wrong, save the file as UTF-8."
    )


def _undecodable(path, content, error):
    before = content[: error.start].decode(error.encoding, errors="replace")
    found = content[error.start : error.start + 1].hex()
    return UserError(
        f"{path}, line {_line_number(before)}: the byte 0x{found} is not valid "
        f"{error.encoding.upper()}. Save the file as UTF-8."
    )


def _line_number(before):
    return 1 + len(re.findall(r"\r\n|\r|\n", before))
