"""Texts with times: SubRip (.srt), WebVTT (.vtt) and Praat TextGrids.

Formats: SubRip has no standard, its cues are `HH:MM:SS,mmm --> HH:MM:SS,mmm` and lines of text up
to an empty one; WebVTT is a W3C recommendation, https://www.w3.org/TR/webvtt1/; TextGrid as Praat's
manual has it ("TextGrid file formats"), long and short.
"""

import bisect
import html
import re
from pathlib import Path

from voicekiln.errors import UserError

SUFFIXES = (".srt", ".vtt", ".textgrid")
TIME = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
CUE = re.compile(rf"\s*{TIME}\s+-->\s+{TIME}(?:\s.*)?")
TAGS = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
# what stands in a TextGrid: strings, numbers, the flag <exists>; names and signs are skipped
TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<![\w"])([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w"\]:])')
SILENCE = {"", "sil", "sp", "spn", "<sil>", "<p:>", "<eps>", "_", "#", "xxx", "..."}


def read(path: Path, tier: str | None = None) -> list[dict]:
    """The texts of a file: `{"start_s", "end_s", "text"}` each, in its order.

    Args:
        path: ending in .srt, .vtt or .TextGrid.
        tier: the TextGrid's tier; None takes the first one of intervals.

    Raises:
        UserError: naming file and line, what was expected there.
    """
    content = path.read_bytes()
    utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text ({error}). Save it as UTF-8.") from error
    if path.suffix.lower() == ".textgrid":
        return _textgrid(path, text, tier)
    return _cues(path, text.replace("\r\n", "\n").split("\n"))


def _cues(path, lines):
    found = []
    i = 0
    while i < len(lines):
        match = CUE.fullmatch(lines[i])
        if match is None:
            if "-->" in lines[i]:
                raise UserError(
                    f"{path}, line {i + 1}: expected `00:00:01,000 --> 00:00:02,000`, "
                    f"found {lines[i].strip()!r}"
                )
            i += 1
            continue
        start_s, end_s = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        if end_s <= start_s:
            raise UserError(f"{path}, line {i + 1}: the cue ends before it begins")
        said = []
        i += 1
        while i < len(lines) and lines[i].strip() and "-->" not in lines[i]:
            said.append(lines[i])
            i += 1
        if i < len(lines) and "-->" in lines[i] and said and said[-1].strip().isdigit():
            said.pop()  # the number of the next cue, without an empty line before it
        text = " ".join(html.unescape(TAGS.sub("", " ".join(said))).split())
        if text:
            found.append({"start_s": start_s, "end_s": end_s, "text": text})
    return found


def _seconds(parts):
    hours, minutes, seconds, fraction = parts
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + int(fraction.ljust(3, "0")) / 1000


def _textgrid(path, text, tier):
    """A TextGrid is a list of values; what the long format writes beside them says nothing new."""
    head = text[:300]
    if "ooTextFile" not in head or "TextGrid" not in head:
        raise UserError(f'{path}, line 1: expected `File type = "ooTextFile"` and a TextGrid')
    line_ends = [m.start() for m in re.finditer("\n", text)]
    values = [  # with their lines; a text may go over several
        (
            m[1].replace('""', '"') if m[1] is not None else float(m[2]),
            1 + bisect.bisect_left(line_ends, m.start()),
        )
        for m in TOKEN.finditer(text)
    ]
    reader = _Values(path, values, 1 + len(line_ends))
    for _ in ("ooTextFile", "TextGrid"):
        reader.text()
    reader.number(), reader.number()
    names = []
    for _ in range(round(reader.number())):
        kind, name = reader.text(), reader.text()
        reader.number(), reader.number()
        rows = []
        for _ in range(round(reader.number())):
            if kind == "IntervalTier":
                rows.append((reader.number(), reader.number(), reader.text()))
            else:
                reader.number(), reader.text()
        names.append(name)
        if kind == "IntervalTier" and tier in (None, name):
            for start, end, said in rows:
                if end <= start and said.strip():
                    raise UserError(
                        f"{path}: the interval {said!r} ends at {end} s, before it begins"
                    )
            return [
                {"start_s": start, "end_s": end, "text": " ".join(said.split())}
                for start, end, said in rows
                if said.strip().lower() not in SILENCE
            ]
    raise UserError(
        f"{path}: no tier of intervals{f' called {tier}' if tier else ''}; "
        f"there is: {', '.join(names) or 'nothing'}"
    )


class _Values:
    """Values of a TextGrid, taken one after the other."""

    def __init__(self, path, values, last_line):
        self.path, self.values, self.last_line, self.at = path, values, last_line, 0

    def _next(self, kind, what):
        value, line = self.values[self.at] if self.at < len(self.values) else (None, self.last_line)
        if not isinstance(value, kind):
            found = "the end of the file" if value is None else repr(value)
            raise UserError(f"{self.path}, line {line}: expected {what}, found {found}")
        self.at += 1
        return value

    def number(self) -> float:
        return self._next(float, "a number")

    def text(self) -> str:
        return self._next(str, "a text in quotes")
