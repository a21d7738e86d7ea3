"""Who says what in a timed text: labels before the lines, taken out of the text."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from voicekiln.corpus.timed.stretch import Stretch
from voicekiln.text import unspoken

SHARE = 0.05  # of the stretches, from which labels in small letters are names
FEW = 0.5  # of the stretches, from which a label that comes once is one
MARKS = re.compile(r"^\s*(?:>{2,3}|[-–—―])\s*")  # of a turn
PARTICLES = frozenset("of the von van de der den da di la le del el al bin ibn".split())


def spoken(
    stretches: Sequence[Stretch], keep: Collection[str], removed: unspoken.Removed
) -> tuple[list[Stretch], list[str]]:
    """The stretches with their speakers and with what is said alone; and what the user should know.

    Those of which nothing is said are left out.
    """
    names = _names([s.text.split("\n") for s in stretches])
    left, notes, shared = [], [], []
    for stretch in stretches:
        lines = stretch.text.split("\n")
        speakers = {speaker for line in lines if (speaker := _speaker(line, names))}
        if len(speakers) > 1:
            shared.append(stretch.line)
        by_line = {*keep, "events", "lyrics"}  # these may go over several lines
        said = [unspoken.strip(line, by_line, removed, names) for line in lines]
        text = " ".join(unspoken.strip("\n".join(said), keep, removed, names).split())
        if any(c.isalnum() for c in text):
            own = speakers.pop() if len(speakers) == 1 else None
            left.append(replace(stretch, text=text, speaker=stretch.speaker or own))
    if shared:
        notes.append(
            f"{len(shared)} cues hold words of several speakers, the first in line {shared[0]}; "
            "they are taken as the recording's own speaker unless you split them"
        )
    unnamed = sum(stretch.speaker is None for stretch in left)
    if 0 < unnamed < len(left):
        notes.append(
            f"{len(left) - unnamed} of {len(left)} texts name their speaker; the others are taken "
            "as the recording's own speaker"
        )
    return left, notes


def _speaker(line, names):
    """Who a line's label names."""
    bare = unspoken.strip(line, ["labels"])
    return unspoken.label(bare, names=names)[1]


def _names(lines: Sequence[Sequence[str]]) -> set[str]:
    """Labels in small letters that are names: they are repeated, or most lines have one."""
    counts: Counter[str] = Counter()
    labelled = 0
    for said in lines:
        found = {name for line in said if (name := _label(line))}
        counts.update(found)
        labelled += bool(found)
    if labelled > 1 and labelled >= FEW * len(lines):
        return set(counts)
    names = {name for name, n in counts.items() if n > 1}
    n_named = sum(counts[name] for name in names)
    return names if n_named >= SHARE * len(lines) else set()


def _label(line):
    """What stands before a colon and may be a name, in capitals or not."""
    bare = MARKS.sub("", unspoken.strip(line, ["labels"]))
    match = unspoken.LABEL.match(bare)
    if match is None:
        return None
    name = match[1].strip()
    words = name.split()
    capital = all(not word[0].islower() or word.lower() in PARTICLES for word in words)
    return name if capital and not words[0][0].islower() and unspoken.is_name(name) else None
