"""Speakers of a timed text: labels before the lines, which are removed from the text."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from voicekiln.corpus.sources.timed.utterance import SHARED, Utterance
from voicekiln.text import unspoken

REPEATED = 0.05  # of the utterances, from which labels in small letters are names
LABELLED = 0.5  # of the utterances, from which labels that occur once are names
NAMED = "%d of %d texts name their speaker; the others are assigned to the recording's own speaker"
MARKS = re.compile(r"^\s*(?:>{2,3}|[-–—―])\s*")  # of a turn
PARTICLES = frozenset("of the von van de der den da di la le del el al bin ibn".split())


def spoken(
    utterances: Sequence[Utterance], keep: Collection[str], removed: unspoken.Removed
) -> tuple[list[Utterance], list[tuple]]:
    """The utterances with their speakers and spoken text; and warnings.

    Utterances without spoken text are left out.
    """
    names = _names([s.text.split("\n") for s in utterances])
    left, notes, shared = [], [], []
    for utterance in utterances:
        lines = utterance.text.split("\n")
        speakers = {speaker for line in lines if (speaker := _speaker(line, names))}
        if len(speakers) > 1:
            shared.append(utterance.line)
        by_line = {*keep, "events", "lyrics"}  # these may span several lines
        spoken_lines = [unspoken.strip(line, by_line, removed, names) for line in lines]
        text = " ".join(unspoken.strip("\n".join(spoken_lines), keep, removed, names).split())
        if any(c.isalnum() for c in text):
            own = speakers.pop() if len(speakers) == 1 else None
            left.append(replace(utterance, text=text, speaker=utterance.speaker or own))
    if shared:
        notes.append((SHARED, len(shared), shared[0]))
    unnamed = sum(utterance.speaker is None for utterance in left)
    if 0 < unnamed < len(left):
        notes.append((NAMED, len(left) - unnamed, len(left)))
    return left, notes


def unlabelled(text: str, keep: Collection[str], removed: unspoken.Removed) -> str:
    """A text without times, on one line, without the labels before its lines."""
    lines = [line for line in text.split("\n") if line.strip()]
    names = _names([[line] for line in lines])
    others = {*unspoken.KINDS} - ({"labels"} - {*keep})
    return " ".join(unspoken.strip(line, others, removed, names) for line in lines)


def _speaker(line, names):
    """The speaker that a line's label names."""
    if not unspoken.ANY.search(line):
        return None
    for bare in (unspoken.without_markup(line), unspoken.strip(line, ["labels"])):
        if speaker := unspoken.label(bare, names=names)[1]:
            return speaker
    return None


def _names(lines: Sequence[Sequence[str]]) -> set[str]:
    """Labels in small letters that are names: repeated ones, or all if most lines have one."""
    counts: Counter[str] = Counter()
    labelled = 0
    for own in lines:
        found = {name for line in own if (name := _label(line))}
        counts.update(found)
        labelled += bool(found)
    if labelled > 1 and labelled >= LABELLED * len(lines):
        return set(counts)
    names = {name for name, n in counts.items() if n > 1}
    n_named = sum(counts[name] for name in names)
    return names if n_named >= REPEATED * len(lines) else set()


def _label(line):
    """A possible name before a colon, in capitals or not."""
    if not unspoken.ANY.search(line):
        return None
    bare = MARKS.sub("", unspoken.strip(line, ["labels"]))
    match = unspoken.LABEL.match(bare)
    if match is None:
        match = unspoken.BRACKETED.match(MARKS.sub("", unspoken.without_markup(line)))
        match = match if match and match[2] else None
    if match is None:
        return None
    name = match[1].strip()
    words = name.split()
    capital = all(not word[0].islower() or word.lower() in PARTICLES for word in words)
    return name if capital and not words[0][0].islower() and unspoken.is_name(name) else None
