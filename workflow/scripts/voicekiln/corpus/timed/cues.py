"""SubRip (.srt) and WebVTT (.vtt).

SubRip has no standard: its cues are a number, `HH:MM:SS,mmm --> HH:MM:SS,mmm` and lines of text;
WebVTT is a W3C recommendation, https://www.w3.org/TR/webvtt1/. Players show what comes after an
empty line inside a cue, so a cue goes up to the next line of times.
"""

import re

from voicekiln.corpus.timed.stretch import SHARED, Found, Stretch

TIME = r"(-?)(?:(\d{1,5})\s?:\s?)?(\d{1,3})\s?:\s?(\d{1,2})(?:\s?[.,:]\s?(\d{1,9}))?"
TIMES = re.compile(rf"\s*{TIME}\s*(?:--?-?\s?>|[–—]>|→)\s*{TIME}(?:\s.*)?")
OTHER_ARROW = re.compile(r"\s*-?\d[\d:.,\s]*(?:-\s?>|[–—]>|→)")
BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")  # of WebVTT, up to an empty line
VOICE = re.compile(r"<v(?:\.[\w.-]+)*[ \t]+([^<>]+)>", re.IGNORECASE)


def read(text: str, vtt: bool) -> Found:
    """The cues of a file; a speaker is that of `<v NAME>`."""
    lines = _without_blocks(text.split("\n")) if vtt else text.split("\n")
    found = Found()
    at = [i for i, line in enumerate(lines) if _is_meant_as_times(line)]
    shared = []
    numbered = not vtt and _are_numbered(lines, at)
    for i, after in zip(at, [*at, len(lines)][1:], strict=False):
        match = TIMES.fullmatch(lines[i])
        said = lines[i + 1 : after]
        if after < len(lines):
            said = _without_head(said, vtt, numbered)
        if numbered:
            said = _without_untimed(said, lines[i - 1], i + 2, found)
        if match is None:
            found.reject(i + 1, "expected 00:00:01,000 --> 00:00:02,000", lines[i])
            continue
        said = [line for line in said if line.strip()]
        voices = {name.strip() for line in said for name in VOICE.findall(line)}
        if len(voices) > 1:
            shared.append(i + 1)
        speaker = voices.pop() if len(voices) == 1 else None
        times = seconds(match.groups()[:5]), seconds(match.groups()[5:])
        found.add(Stretch(i + 1, *times, "\n".join(said), speaker))
    if shared:
        found.notes.append((SHARED, len(shared), shared[0]))
    return found


def holds_cues(text: str) -> bool:
    """Whether a text file of any name has lines of times as subtitles have."""
    return any(TIMES.fullmatch(line) for line in text.split("\n", 5)[:5])


def _is_meant_as_times(line):
    return "-->" in line or OTHER_ARROW.match(line[:80]) is not None


def _without_blocks(lines):
    """The lines of a WebVTT file, its comments, styles and header empty."""
    kept, inside, before = [], False, ""
    for i, line in enumerate(lines):
        if not line.strip():
            inside = False
        elif (not before.strip() and BLOCK.match(line)) or (i == 0 and line.startswith("WEBVTT")):
            inside = True
        if "-->" in line:
            inside = False
        kept.append("" if inside else line)
        before = line
    return kept


def _are_numbered(lines, at):
    heads = [lines[i - 1].strip() for i in at if i > 0]
    return sum(head.isdecimal() for head in heads) > len(at) / 2


def _without_head(said, vtt, numbered):
    """The lines before the next cue's times without its number or name."""
    if said and (
        (numbered and said[-1].strip().isdecimal())
        or (vtt and said[-1].strip() and (len(said) < 2 or not said[-2].strip()))
    ):
        # a text may end in digits too; the number of a cue comes after an empty line, or a text
        return said[:-1]
    return said


def _without_untimed(said, number, first_line, found):
    """Lines up to a cue that has its number, and no times: it is broken."""
    number = number.strip()
    number = int(number) if number.isdecimal() and len(number) < 10 else None
    for k, line in enumerate(said):
        after_gap = k > 0 and not said[k - 1].strip()
        if after_gap and number is not None and line.strip() == str(number + 1):
            found.reject(first_line + k, f"cue {number + 1} has no line of times")
            return said[:k]
    return said


def seconds(parts) -> float:
    """Seconds of the groups of `TIME`."""
    minus, hours, minutes, secs, fraction = parts
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(secs)
    thousandths = int((fraction or "0").ljust(3, "0")[:3])
    return (-1 if minus else 1) * (whole + thousandths / 1000)
