"""Texts with times: one reader for subtitles, annotations, labels and aligners."""

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
from voicekiln.corpus.sources.timed.utterance import MOST, MOST_LINES, Found
from voicekiln.errors import UserError
from voicekiln.text import unspoken
from voicekiln.text.decoding import read_text

log = logging.getLogger("timed_texts")
SUFFIXES = (".srt", ".vtt", ".eaf", ".textgrid", ".ctm")
BY_TIERS = (".eaf", ".textgrid")
MOST_BYTES = 48 << 20
MOST_BROKEN = 0.5  # of the utterances of a file
SHOWN = 3
GUESSED = "Encoding of a text beside a recording: %s"


def read(
    path: Path,
    tier: str | None = None,
    keep: Collection[str] = (),
    removed: unspoken.Removed | None = None,
    note: Callable[..., None] = log.warning,
) -> list[dict]:
    """The utterances of a file in the order of time: `{"start_s", "end_s", "text"}` each.

    With `speaker` and `channel` if the file names them.

    Args:
        path: ending in one of `SUFFIXES`.
        tier: of a TextGrid or an .eaf; None reads all that contain speech.
        keep: kinds of unspoken text that stay, see `unspoken.KINDS`.
        removed: filled with the removed texts.
        note: called with each warning, a message and its values, like the methods of a logger.

    Raises:
        UserError: with file, line and what was expected there.
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
    """`read`, given the text of a file and the suffix of its format."""
    if kind not in BY_TIERS and text.count("\n") > MOST_LINES:
        raise UserError(f"{path}: more than {MOST_LINES} lines")
    found = _found(path, text, kind, tier)
    if len(found.utterances) > MOST:
        raise UserError(f"{path}: more than {MOST} utterances")
    _report(path, text, found, note)
    utterances = sorted(found.utterances, key=lambda s: (s.start_s, s.line))
    if kind in (".srt", ".vtt"):
        utterances = rolling.resolve(utterances)
    elif words.are_phones(utterances):
        raise UserError(f"{path}: contains speech sounds, not words; give the words")
    if kind not in BY_TIERS:  # there each tier was joined by itself
        utterances = words.in_order(utterances, words=kind == ".ctm")
    utterances, notes = speakers.spoken(utterances, keep, {} if removed is None else removed)
    for fact, *values in notes:
        note(f"%s: {fact}.", path, *values)
    return [_entry(utterance) for utterance in utterances]


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


def _report(path, text, found, note):
    """Warn of what a file contains and is not used; stop if that is most of it."""
    for fact, *values in found.notes:
        note(f"%s: {fact}.", path, *values)
    found.broken.sort()
    n_broken, n_read = found.n_broken, len(found.utterances)
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
        content = text.strip()
        if content and not content.startswith("WEBVTT"):
            raise UserError(
                f"{path}, line 1: no cue found; expected lines of 00:00:01,000 --> 00:00:02,000, "
                f"found {content[:40]!r}"
            )


def _entry(utterance):
    entry = {"start_s": utterance.start_s, "end_s": utterance.end_s, "text": utterance.text}
    who = {"speaker": utterance.speaker, "channel": utterance.channel}
    return entry | {key: value for key, value in who.items() if value is not None}
