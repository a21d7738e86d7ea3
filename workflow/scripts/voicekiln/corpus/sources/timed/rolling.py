"""Rolling captions: lines that stay on the screen are repeated in later cues.

YouTube's automatic captions show each line two or three times, roll-up captions on television up to
four, and some grow word by word. Each line is spoken once, when it appears.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from voicekiln.corpus.sources.timed.utterance import Utterance
from voicekiln.text import unspoken

TOUCH_S = 0.1  # cues closer than this follow each other
STAYS_S = 10.0  # a line may stay on the screen through a pause of this length
ROLLING = 0.3  # of the pairs of cues, from which a file is rolling
OVERLAPPING = 0.5  # of the pairs, from which overlaps are systematic
TIMED_WORDS = re.compile(r"<\d{1,3}:[\d:.]*>")  # only new lines have them


def resolve(cues: Sequence[Utterance]) -> list[Utterance]:
    """The cues with each line once, when it appears; cues of other files unchanged."""
    shown = [_lines(cue) for cue in cues]
    resolved = list(cues)
    if _are_rolling(cues, shown):
        resolved = _once(cues, shown)
    elif not _are_overlapping(cues):
        return resolved
    return [
        replace(cue, end_s=min(cue.end_s, after.start_s)) if after.start_s > cue.start_s else cue
        for cue, after in zip(resolved, resolved[1:], strict=False)
    ] + resolved[-1:]


def _lines(cue):
    """(plain text, as written) of each non-empty line."""
    pairs = ((_plain(line), line) for line in cue.text.split("\n"))
    return [pair for pair in pairs if pair[0]]


def _plain(line):
    return " ".join(unspoken.without_markup(line).split())


def _are_rolling(cues, shown):
    """Whether many cues repeat lines of the one before, with more lines or for an instant."""
    n_repeating = n_growing = 0
    for cue, after, lines, more in zip(cues, cues[1:], shown, shown[1:], strict=False):
        gap_s = after.start_s - cue.end_s
        carried, grown = _carried(lines, more) if gap_s <= STAYS_S else (0, False)
        if grown:
            n_growing += gap_s < TOUCH_S
        elif carried:
            another = len(more) > carried or lines != more  # more lines, or a word highlighted
            n_repeating += another or after.end_s - after.start_s < TOUCH_S
    if not n_repeating and n_growing < 3:  # "No." and then "No way." may be spoken
        return False
    return n_repeating + n_growing >= ROLLING * (len(cues) - 1)


def _carried(lines, more):
    """Number of the next cue's lines that are repeated, and whether the last of them has grown."""
    new = next((i for i, (_, raw) in enumerate(more) if TIMED_WORDS.search(raw)), len(more))
    for n in range(min(len(lines), new), 0, -1):
        if [plain for plain, _ in lines[-n:]] == [plain for plain, _ in more[:n]]:
            return n, False
    for n in range(min(len(lines), new), 0, -1):
        before = [plain for plain, _ in lines[-n:]]
        now = [plain for plain, _ in more[:n]]
        if before[:-1] == now[:-1] and now[-1].startswith(before[-1] + " "):
            return n, True
    return 0, False


def _once(cues, shown):
    resolved: list[Utterance] = []
    last, before = None, []
    for cue, lines in zip(cues, shown, strict=True):
        if not lines:
            continue
        gap_s = cue.start_s - last.end_s if last else float("inf")
        carried, grown = _carried(before, lines) if gap_s <= STAYS_S else (0, False)
        if carried == len(lines) and not grown and lines == before and gap_s > TOUCH_S:
            carried = 0  # spoken again
        if carried and resolved:
            own = resolved[-1].text.split("\n")[:-1] + [lines[carried - 1][1]]
            text = "\n".join(own) if grown else resolved[-1].text
            end_s = cue.end_s if grown or carried == len(lines) else resolved[-1].end_s
            resolved[-1] = replace(resolved[-1], text=text, end_s=end_s)
        if lines[carried:]:
            resolved.append(replace(cue, text="\n".join(raw for _, raw in lines[carried:])))
        last, before = cue, lines
    return resolved


def _are_overlapping(cues):
    """Whether most cues stay on the screen after the next one has appeared."""
    pairs = list(zip(cues, cues[1:], strict=False))
    late = sum(
        a.start_s < b.start_s < a.end_s - TOUCH_S and a.speaker == b.speaker for a, b in pairs
    )
    return len(pairs) > 1 and late > OVERLAPPING * len(pairs)
