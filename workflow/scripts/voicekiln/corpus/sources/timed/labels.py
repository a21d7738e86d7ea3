"""Labels: lines of start, end and text (Audacity, HTS and HTK, CTM, logs of recognisers).

Formats: Audacity's manual ("Importing and Exporting Labels": seconds, tabs); the HTK Book 6.2.1
(100 ns); NIST's CTM (file, channel, start, length, word, confidence; seconds).
"""

import re
from pathlib import Path

from voicekiln.corpus.sources.timed.cues import TIME, seconds
from voicekiln.corpus.sources.timed.utterance import Found, Utterance
from voicekiln.errors import UserError

NUMBER = r"[-+]?(?:\d{1,18}(?:[.,]\d{0,12})?|[.,]\d{1,12})(?:[eE][-+]?\d{1,3})?"
CLOCK = r"\d{1,3}:\d{1,2}(?::\d{1,2})?(?:[.,]\d{1,9})?"
TABBED = re.compile(rf"\s*({NUMBER}|{CLOCK})[ ]*[\t;|][ ]*({NUMBER}|{CLOCK})[ ]*[\t;|](.*)")
POINT = r"[-+]?\d{1,18}(?:\.\d{1,12})?|\d{1,3}:\d\d(?::\d\d)?(?:\.\d{1,9})?"
SPACED = re.compile(rf"\s*({POINT})(?:\s*,\s*|\s+)({POINT})(?:\s*,\s*|\s+)(\S.*)")
WHOLE = re.compile(r"\s*(-?\d{1,18})\s+(-?\d{1,18})\s+(\S.*)")
ARROW = re.compile(rf"\s*\[?\s*{TIME}\s*-->\s*{TIME}\s*\]?\s*(\S.*)")
STAMP = re.compile(rf"\s*([\[(]?)\s*({CLOCK})\s*[\])]?\s*[-–:]?\s+(\S.*)")
COLOURED = re.compile(rf"\s*({NUMBER})\s+(-?\d{{1,9}})\s+(\S.*)")
SKIPPED = re.compile(r"\s*$|\\\t|;;|#\s*$")  # empty, Audacity's frequencies, comments
HEADER = re.compile(
    r"\s*(?:start|begin|from|tmin|onset)\w*\W+(?:end|stop|to|tmax|offset)\w*\W", re.I
)
SCORE = re.compile(r"(\S.*?)\s+-?\d+\.\d+")
TICK_S = 1e-7  # of HTK
LEAST_TICKS = 10_000  # 1 ms; smaller whole numbers are not HTK's times
MOST = 0.8  # of the lines, from which a text file is a list of labels
IN_ORDER = 0.95  # of the lines with a clock time, from which the times are those of the lines
PACE = (1.0, 50.0)  # characters per second, between which at least half of such lines are
FIRST_S = 60.0  # of two lines without brackets, the first starts before
CTM = re.compile(rf"\s*(\S+)\s+(\S+)\s+({NUMBER})\s+({NUMBER})\s+(\S+)(?:\s+.*)?")
CHANNELS = {"a": 0, "b": 1, "1": 0, "2": 1}


def holds_labels(text: str, lab: bool) -> bool:
    """Whether a text file is a list of labels."""
    return _pattern(text, lab) is not None


def read(text: str, lab: bool) -> Found:
    """The labels of a text file that `holds_labels`; with `lab`, whole numbers are HTK's times."""
    pattern, found = _pattern(text, lab), Found()
    lines = list(_lines(text))
    headed = bool(lines and HEADER.match(lines[0][1]))
    matches = [(line, row, pattern.fullmatch(row)) for line, row in lines]
    fields = [match.groups() for _, _, match in matches if match]
    unit = _unit(fields, lab, headed) if pattern in (TABBED, SPACED, WHOLE) else 1.0
    before_s = 0.0
    scored = len(fields) > 1 and all(SCORE.fullmatch(row[-1].strip()) for row in fields[:50])
    for line, row, match in matches:
        if match is None:
            if not (headed and line == lines[0][0]):
                found.reject(line, "expected start, end and text", row)
        elif pattern is ARROW:
            times = seconds(match.groups()[:5]), seconds(match.groups()[5:10])
            found.add(Utterance(line, *times, match[11]))
        elif pattern is COLOURED:
            found.add(Utterance(line, before_s, _time(match[1], 1.0), match[3]))
            before_s = _time(match[1], 1.0)
        elif pattern is STAMP:
            found.add(Utterance(line, _time(match[2], 1.0), None, match[3]))
        else:
            start_s, end_s = _time(match[1], unit), _time(match[2], unit)
            found.add(Utterance(line, start_s, end_s, _label(match[3], scored)))
    if pattern is STAMP:
        _up_to_the_next(found)
    return found


def ctm(path: Path, text: str) -> Found:
    """The words of a CTM file, in the order of time.

    Raises:
        UserError: it contains words of several recordings, none with the name of this one.
    """
    found, words = Found(), []
    for line, row in _lines(text):
        match = CTM.fullmatch(row)
        if match is None:
            found.reject(line, "expected file, channel, start, length, word", row)
        else:
            words.append((line, *match.groups()))
    files = list(dict.fromkeys(word[1] for word in words))
    if len(files) > 1:
        if path.stem not in files:
            raise UserError(
                f"{path}: contains words of {len(files)} recordings ({', '.join(files[:3])} ...), "
                f"none of {path.stem}"
            )
        words = [word for word in words if word[1] == path.stem]
    several = len({word[2].lower() for word in words}) > 1
    for line, _, channel, start, length, word in words:
        start_s = _time(start, 1.0)
        channel = CHANNELS.get(channel.lower()) if several else None
        found.add(Utterance(line, start_s, start_s + _time(length, 1.0), word, channel=channel))
    return found


def _lines(text):
    """The lines with their numbers, without comments and a head that ends in a line of #."""
    rows = text.split("\n")
    begin = next((i for i, row in enumerate(rows[:50]) if row.strip() == "#"), -1) + 1
    for line, row in enumerate(rows[begin:], begin + 1):
        if not SKIPPED.match(row):
            yield line, row


def _pattern(text, lab):
    """The pattern that most lines match, or None."""
    rows = [row for _, row in _lines(text)]
    if rows and HEADER.match(rows[0]):
        rows = rows[1:]
    headed = any(line.strip() == "#" for line in text.split("\n"))
    for pattern in (
        *([COLOURED] if lab and headed else ()),
        *(ARROW, TABBED, SPACED),
        *([WHOLE] if lab else ()),
        STAMP,
    ):
        n = 0
        for i, row in enumerate(rows):
            n += pattern.fullmatch(row) is not None
            if i > 200 and n < MOST * i / 2:
                break
        if n < max(MOST * len(rows), 2 if pattern is STAMP else 1):
            continue
        if pattern is WHOLE and not _are_ticks(rows):
            continue
        if pattern is SPACED and not _are_times(rows):
            continue
        if pattern is STAMP and not _are_stamps(rows):
            continue
        return pattern
    return None


def _are_times(rows):
    """Whether numbers are times, not spoken (1 2 buckle my shoe)."""
    found = [match.groups()[:2] for row in rows if (match := SPACED.fullmatch(row))]
    exact = sum("." in time for pair in found for time in pair)
    in_order = sum(_time(start, 1.0) < _time(end, 1.0) for start, end in found)
    return exact >= len(found) and in_order >= MOST * len(found)


def has_other_clock_times(text: str) -> bool:
    """Whether the lines of a text that is no list of labels start with clock times."""
    rows = [row for _, row in _lines(text)]
    return len(rows) > 1 and sum(map(bool, map(STAMP.fullmatch, rows))) >= MOST * len(rows)


def _are_stamps(rows):
    """Whether clock times are those of the lines, and not spoken (10:30 We left. 14:00 Lunch.)."""
    found = [match.groups() for row in rows if (match := STAMP.fullmatch(row))]
    brackets, times, texts = zip(*found, strict=True)
    times = [_time(time, 1.0) for time in times]
    gaps_s = [after - before for before, after in zip(times, times[1:], strict=False)]
    slowest, fastest = PACE
    plausible = sum(
        slowest * gap_s <= len(text) <= fastest * gap_s
        for gap_s, text in zip(gaps_s, texts, strict=False)
    )
    return (
        len({bool(bracket) for bracket in brackets}) == 1
        and sum(gap_s >= 0 for gap_s in gaps_s) >= IN_ORDER * len(gaps_s)
        and plausible >= len(gaps_s) / 2
        and (len(found) > 2 or bool(brackets[0]) or times[0] < FIRST_S)
    )


def _are_ticks(rows):
    ends = [int(match[2]) for row in rows if (match := WHOLE.fullmatch(row))]
    return max(ends) >= LEAST_TICKS


def _unit(fields, lab, headed):
    """Seconds per unit: HTK's if all times in a .lab are whole; 1 ms in Whisper's table."""
    whole = all(re.fullmatch(r"-?\d+", time) for row in fields for time in row[:2])
    if not whole:
        return 1.0
    if headed:
        return 0.001
    return TICK_S if lab and max(int(row[1]) for row in fields) >= LEAST_TICKS else 1.0


def _label(text, scored):
    """The label, without HTK's score if every line has one."""
    text = text.strip()
    match = SCORE.fullmatch(text) if scored else None
    return match[1] if match else text


def _time(text, unit):
    if ":" in text:
        seconds = 0.0
        for part in text.replace(",", ".").split(":"):
            seconds = seconds * 60 + float(part)
        return seconds
    return float(text.replace(",", ".")) * unit


def _up_to_the_next(found):
    ordered = sorted(found.utterances, key=lambda s: s.start_s)
    found.utterances[:] = [
        Utterance(a.line, a.start_s, b.start_s if b.start_s > a.start_s else None, a.text)
        for a, b in zip(ordered, ordered[1:], strict=False)
    ] + ordered[-1:]
