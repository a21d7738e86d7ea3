"""SubRip (.srt) and WebVTT (.vtt).

SubRip has no standard: its cues are a number, `HH:MM:SS,mmm --> HH:MM:SS,mmm` and lines of text;
WebVTT is a W3C recommendation, https://www.w3.org/TR/webvtt1/. Players show text after an empty
line inside a cue, so a cue extends to the next line of times.
"""

import re

from voicekiln.corpus.sources.timed.utterance import SHARED, Found, Utterance

TIME = r"(-?)(?:(\d{1,5})\s?:\s?)?(\d{1,3})\s?:\s?(\d{1,2})(?:\s?[.,:]\s?(\d{1,9}))?"
TIMES = re.compile(rf"\s*{TIME}\s*(?:--?-?\s?>|[–—]>|→)\s*{TIME}(?:\s.*)?")
OTHER_ARROW = re.compile(r"\s*-?\d[\d:.,\s]*(?:-\s?>|[–—]>|→)")
BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")  # of WebVTT, up to an empty line
VOICE = re.compile(r"<v(?:\.[\w-]*)*[ \t]+([^<>]+)>", re.IGNORECASE)


def read(text: str, vtt: bool) -> Found:
    """The cues of a file; speakers come from `<v NAME>`."""
    lines = _without_blocks(text.split("\n")) if vtt else text.split("\n")
    found = Found()
    at = [i for i, line in enumerate(lines) if _is_like_times(line)]
    shared = []
    numbered = not vtt and _are_numbered(lines, at)
    for i, after in zip(at, [*at, len(lines)][1:], strict=False):
        match = TIMES.fullmatch(lines[i])
        content = lines[i + 1 : after]
        if after < len(lines):
            content = _without_head(content, vtt, numbered and lines[i - 1].strip())
        if numbered:
            content = _without_untimed(content, lines[i - 1], i + 2, found)
        if match is None:
            found.reject(i + 1, "expected 00:00:01,000 --> 00:00:02,000", lines[i])
            continue
        content = [line for line in content if line.strip()]
        voices = {name.strip() for line in content for name in VOICE.findall(line)}
        if len(voices) > 1:
            shared.append(i + 1)
        speaker = voices.pop() if len(voices) == 1 else None
        times = seconds(match.groups()[:5]), seconds(match.groups()[5:])
        found.add(Utterance(i + 1, *times, "\n".join(content), speaker))
    if shared:
        found.notes.append((SHARED, len(shared), shared[0]))
    return found


def holds_cues(text: str) -> bool:
    """Whether a text file starts like subtitles, whatever its name."""
    return text.startswith("WEBVTT") or any(
        TIMES.fullmatch(line) for line in text.split("\n", 5)[:5]
    )


def _is_like_times(line):
    return "-->" in line or OTHER_ARROW.match(line[:80]) is not None


def _without_blocks(lines):
    """The lines of a WebVTT file, with comments, styles and header blanked."""
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


def _without_head(content, vtt, number):
    """The lines before the next cue's times, without its number or name.

    Args:
        number: of this cue, in a file that numbers them; a text may end in digits, too.
    """
    if not content or not content[-1].strip():
        return content
    after_gap, head = len(content) < 2 or not content[-2].strip(), content[-1].strip()
    next_one = number and head.isdecimal() and (after_gap or head == _next(number))
    return content[:-1] if next_one or (vtt and after_gap) else content


def _next(number):
    return str(int(number) + 1) if number.isdecimal() and len(number) < 10 else None


def _without_untimed(content, number, first_line, found):
    """The lines before a cue with a number and without times, which is rejected."""
    after = _next(number.strip())
    for k, line in enumerate(content):
        after_gap = k > 0 and not content[k - 1].strip()
        if after_gap and line.strip() == after:
            found.reject(first_line + k, f"cue {after} has no line of times")
            return content[:k]
    return content


def seconds(parts) -> float:
    """Seconds, from the groups of `TIME`."""
    minus, hours, minutes, secs, fraction = parts
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(secs)
    thousandths = int((fraction or "0").ljust(3, "0")[:3])
    return (-1 if minus else 1) * (whole + thousandths / 1000)
