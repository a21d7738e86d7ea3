"""Texts with times, of subtitles, annotations, labels and aligners: one reader for all formats."""

import logging
from collections.abc import Callable, Collection
from pathlib import Path

from voicekiln.corpus.sources.timed import (
    cues,
    elan,
    labels,
    rolling,
    speakers,
    textgrid,
    tiers,
    words,
)
from voicekiln.corpus.sources.timed.stretch import MOST, MOST_LINES, Found
from voicekiln.errors import UserError
from voicekiln.text import unspoken
from voicekiln.text.decoding import read_text

log = logging.getLogger("timed_texts")
SUFFIXES = (".srt", ".vtt", ".eaf", ".textgrid", ".ctm")
BY_TIERS = (".eaf", ".textgrid")
MOST_BYTES = 48 << 20
MOST_BROKEN = 0.5  # of what a file holds
SHOWN = 3
GUESSED = "Encoding of a text beside a recording: %s"


def read(
    path: Path,
    tier: str | None = None,
    keep: Collection[str] = (),
    removed: unspoken.Removed | None = None,
    note: Callable[..., None] = log.warning,
) -> list[dict]:
    """The texts of a file in the order of time: `{"start_s", "end_s", "text"}` each.

    With `speaker` and `channel` where the file says so.

    Args:
        path: ending in one of `SUFFIXES`.
        tier: of a TextGrid or an .eaf; None takes all that hold speech.
        keep: kinds of unspoken text that stay, see `unspoken.KINDS`.
        removed: takes what was removed.
        note: takes what the user should know, a sentence each: a message and its values, as the
            methods of a logger do.

    Raises:
        UserError: naming file and line, what was expected there.
    """
    text, guessed = read_text(path, MOST_BYTES)
    if guessed:
        note(GUESSED, guessed)
    return parse(path, text, path.suffix.lower(), tier, keep, removed, note)


def parse(
    path: Path,
    text: str,
    kind: str,
    tier: str | None = None,
    keep: Collection[str] = (),
    removed: unspoken.Removed | None = None,
    note: Callable[..., None] = log.warning,
) -> list[dict]:
    """`read` of a text that has been read, in the format that files ending in `kind` have."""
    if kind not in BY_TIERS and text.count("\n") > MOST_LINES:
        raise UserError(f"{path}: more than {MOST_LINES} lines")
    found = _found(path, text, kind, tier)
    if len(found.stretches) > MOST:
        raise UserError(f"{path}: more than {MOST} stretches")
    _tell(path, text, found, note)
    stretches = sorted(found.stretches, key=lambda s: (s.start_s, s.line))
    if kind in (".srt", ".vtt"):
        stretches = rolling.resolve(stretches)
    elif words.are_phones(stretches):
        raise UserError(f"{path}: contains speech sounds, not words; give the words")
    if kind not in BY_TIERS:  # there each tier was joined by itself
        stretches = words.utterances(stretches, words=kind == ".ctm")
    stretches, notes = speakers.spoken(stretches, keep, {} if removed is None else removed)
    for fact, *values in notes:
        note(f"%s: {fact}.", path, *values)
    return [_entry(stretch) for stretch in stretches]


def _found(path, text, kind, tier) -> Found:
    if kind == ".textgrid":
        return tiers.choose(path, *textgrid.read(path, text), tier)
    if kind == ".eaf":
        return tiers.choose(path, *elan.read(path, text), tier)
    if kind == ".ctm":
        return labels.ctm(path, text)
    if kind in (".txt", ".lab"):
        return labels.read(text, kind == ".lab")
    return cues.read(text, kind == ".vtt")


def _tell(path, text, found, note):
    """Report what of a file is not used; stop if that is most of it."""
    for fact, *values in found.notes:
        note(f"%s: {fact}.", path, *values)
    found.broken.sort()
    n_broken, n_read = found.n_broken, len(found.stretches)
    shown = "; ".join(f"line {line}: {why}" for line, why in found.broken[:SHOWN])
    shown += " ..." if n_broken > SHOWN else ""
    if n_broken > MOST_BROKEN * (n_broken + n_read):
        raise UserError(f"{path}, {shown} ({n_broken} of {n_broken + n_read} cannot be read)")
    if n_broken:
        note(
            "%s: %d of %d cues are left out because they cannot be read, %s. Correct them to use "
            "them.",
            path,
            n_broken,
            n_broken + n_read,
            shown,
        )
    if not (n_broken or n_read) and path.suffix.lower() in (".srt", ".vtt"):
        said = text.strip()
        if said and not said.startswith("WEBVTT"):
            raise UserError(
                f"{path}, line 1: no cue found; expected lines of 00:00:01,000 --> 00:00:02,000, "
                f"found {said[:40]!r}"
            )


def _entry(stretch):
    entry = {"start_s": stretch.start_s, "end_s": stretch.end_s, "text": stretch.text}
    who = {"speaker": stretch.speaker, "channel": stretch.channel}
    return entry | {key: value for key, value in who.items() if value is not None}
