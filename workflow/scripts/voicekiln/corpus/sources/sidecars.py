"""Texts in files beside the recordings: `a.wav` and `a.txt`, `a.en.srt`, ..."""

import json
import logging
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from voicekiln.audio.suffixes import AUDIO_SUFFIXES
from voicekiln.corpus.sources import timed_texts
from voicekiln.corpus.sources.timed import cues, labels, speakers
from voicekiln.errors import UserError
from voicekiln.text import unspoken
from voicekiln.text.decoding import read_text
from voicekiln.text.languages import is_listed, short_code

log = logging.getLogger("sidecars")
MOST_CHARACTERS = 5_000_000  # more than is spoken in 48 hours, the longest recording that is read
# the first of these is used if a recording has several
SUFFIXES = (*timed_texts.SUFFIXES, ".txt", ".lab")
FORMATS = ".srt, .vtt, .eaf, .TextGrid, .ctm, .txt or .lab"
# of NAME.en.srt, NAME.pt-BR.vtt, NAME.en.forced.srt (yt-dlp, media players)
LANGUAGE = re.compile(
    r"(?P<code>[a-z]{2,3})(?:[-_][a-z0-9]{2,8}){0,3}(?:\.(?:auto|cc|sdh|forced|default|orig))?",
    re.IGNORECASE,
)
CLOCK_TIMES = (
    "%s: its lines start with clock times that do not fit the length of their texts or are not in "
    "order, so they are read as spoken. If they are positions in the recording, correct them or "
    "write start and end of each line"
)
MARKUP = re.compile(
    r"<(?:!doctype|\?xml|html|head|body|title|script|rss|feed|svg|error|response|message)\b"
    r"|\{\s*\"[^\"]*\"\s*:|\{\\rtf|%PDF-",
    re.IGNORECASE,
)
ELEMENT = re.compile(r"<([A-Za-z][\w:.-]*)(?:\s[^<>]*)?>.*</\1\s*>", re.DOTALL)
POINTER = re.compile(r"version https://git-lfs\.github\.com/")
ANSWER = re.compile(
    r"(?:HTTP/\S+ )?[45]\d\d:? (?:Not Found|Forbidden|Unauthorized|Bad \w+|Internal Server Error|"
    r"Service \w+|Gateway \w+|Too Many Requests)\.?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Sidecar:
    """A file that may belong to a recording, with the rank and language of its name."""

    name: str
    rank: int  # 0: NAME.srt, 1: NAME.wav.srt, 2: NAME.en.srt
    language: str | None = None


class Finder:
    """Finds sidecars; reads each folder once.

    Attributes:
        competing: of each recording with several sidecars, the one that is used and the others.
        foreign: sidecars that are used although their names contain another language's code.
    """

    def __init__(self):
        self._folders: dict[str, dict[str, list[_Sidecar]]] = {}
        self._names: dict[str, set[str]] = {}
        self.competing: list[tuple[str, list[str]]] = []
        self.foreign: list[str] = []

    def __call__(self, path: str, language: str | None = None) -> str | None:
        """Path of a recording's sidecar, or None.

        Args:
            path: of the recording.
            language: of the recording; it decides between NAME.en.srt and NAME.de.srt.

        Raises:
            UserError: it has several sidecars, all in other languages.
        """
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder], self._names[folder] = _beside(folder)
        found = self._folders[folder].get(name, [])
        if not found:
            return None
        best = [sidecar for sidecar in found if sidecar.rank == found[0].rank]
        if best[0].rank == 2:
            best = self._in_language(folder, best, language)
        used = os.path.join(folder, best[0].name)
        others = [os.path.join(folder, one.name) for one in found if one is not best[0]]
        if others:
            self.competing.append((used, others))
        return used

    def _in_language(self, folder, found, language):
        """The sidecars in the language; plain codes (en) come before others (en-orig)."""
        code = _code(language)
        own = [sidecar for sidecar in found if code and _code(sidecar.language) == code]
        if own:
            return sorted(own, key=lambda one: (len(one.language), found.index(one)))
        if len({_code(sidecar.language) for sidecar in found}) > 1:
            names = ", ".join(sidecar.name for sidecar in found)
            raise UserError(
                f"several sidecars and none in {language}: {names}. Remove the language from the "
                "name of the one with the spoken text"
            )
        if language:
            self.foreign.append(os.path.join(folder, found[0].name))
        return found

    def seen(self) -> set[str]:
        """All files with a sidecar's suffix, in the folders that were read."""
        folders = self._names.items()
        return {os.path.join(folder, name) for folder, names in folders for name in names}


def _beside(folder):
    """The sidecars of each audio file in a folder, best first, and the names of all sidecars."""
    try:
        names = sorted(os.listdir(folder or "."))
    except OSError:  # the recording is missing, too
        return {}, set()
    audio: dict[str, list[str]] = {}  # by stem
    for name in names:
        stem, end = os.path.splitext(name)
        if end.lower() in AUDIO_SUFFIXES:
            audio.setdefault(normalize("NFC", stem), []).append(name)
    found: dict[str, list[_Sidecar]] = {}
    seen = set()
    for suffix in SUFFIXES:
        for name in names:
            stem, end = os.path.splitext(name)
            if end.lower() != suffix:
                continue
            seen.add(name)
            for recording, rank, language in _owners(normalize("NFC", stem), audio):
                found.setdefault(recording, []).append(_Sidecar(name, rank, language))
    for sidecars in found.values():
        sidecars.sort(key=lambda one: one.rank)
    return found, seen


def _owners(stem, audio):
    """The audio files that a sidecar belongs to by its stem, with its rank and language."""
    if stem in audio:
        return [(name, 0, None) for name in audio[stem]]
    before, end = os.path.splitext(stem)
    if end.lower() in AUDIO_SUFFIXES:
        same = [name for name in audio.get(before, []) if normalize("NFC", name) == stem]
        return [(name, 1, None) for name in same or audio.get(before, [])]
    at = stem.find(".")
    while at >= 0:
        match = LANGUAGE.fullmatch(stem[at + 1 :])
        # raw in a.raw.txt and old in a.old.srt are not languages
        is_language = match and (len(match["code"]) == 2 or is_listed(short_code(match["code"])))
        if is_language and stem[:at] in audio:
            return [(name, 2, stem[at + 1 :]) for name in audio[stem[:at]]]
        at = stem.find(".", at + 1)
    return []


def _code(language):
    """The short code of a language: en for en-US and eng."""
    match = LANGUAGE.fullmatch(language or "")
    return short_code(match["code"]) if match else None


def read(
    path: Path,
    tier: str | None = None,
    keep: Collection[str] = (),
    removed: unspoken.Removed | None = None,
    note: Callable[..., None] = log.warning,
) -> list[dict] | None:
    """The reference texts of a sidecar, `{"start_s", "end_s", "text"}` each; None if it is empty.

    A .txt or .lab with lines of start, end and text, or with subtitles, is read as such.

    Args:
        tier, keep, removed, note: see `timed_texts.read`.

    Raises:
        UserError: it cannot be read, or is not a transcript.
    """
    kind = path.suffix.lower()
    text, guessed = read_text(path, timed_texts.MOST_BYTES)
    if guessed:
        note(timed_texts.GUESSED, guessed)
    if not text.strip():
        return None
    if kind not in timed_texts.SUFFIXES:
        if cues.holds_cues(text):
            kind = ".vtt" if text.startswith("WEBVTT") else ".srt"
        elif not labels.holds_labels(text, kind == ".lab"):
            refuse_markup(path, text)
            if labels.has_other_clock_times(text):
                note(CLOCK_TIMES, path)
            if len(text) > MOST_CHARACTERS:
                raise UserError(f"{path}: more than {MOST_CHARACTERS} characters of text")
            text = speakers.unlabelled(text, keep, {} if removed is None else removed)
            return [{"start_s": None, "end_s": None, "text": " ".join(text.split())}]
    return timed_texts.parse(path, text, kind, tier, keep, removed, note) or None


def refuse_markup(path: Path, text: str) -> None:
    """Stop if a file contains a web page, data or a server's message instead of a transcript.

    Raises:
        UserError: with its first characters.
    """
    content = text.strip()
    element = ELEMENT.fullmatch(content)
    inline = element and unspoken.TAGS.fullmatch(f"<{element[1]}>")
    if (
        MARKUP.match(content)
        or (element and not inline)
        or _is_json(content)
        or POINTER.match(content)
        or ANSWER.fullmatch(content)
    ):
        raise UserError(
            f"{path}: expected a transcript, found markup, data or a server's message: "
            f"{content[:60]!r}. Fetch the transcript again or remove the file"
        )


def _is_json(text):
    if text[:1] not in ("{", "["):
        return False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) or (isinstance(value, list) and _holds_data(value))


def _holds_data(values):
    """Whether a list is data: objects or strings; [1] may be a mark in a text."""
    return any(isinstance(value, dict | str | list) for value in values)
