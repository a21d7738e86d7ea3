"""Kaldi data directories (kaldi-asr.org/doc/data_prep.html)."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from voicekiln.corpus.sources.entries import Entry, channel_number, language_code, number
from voicekiln.errors import UserError
from voicekiln.text.decoding import read_text


def entries(folder: Path, note: Callable[[str], None]) -> Iterator[Entry]:
    """The recordings, or their segments, of a Kaldi data directory.

    Reads `wav.scp` and, if they exist, `segments`, `text`, `utt2spk`, `utt2lang` and
    `reco2file_and_channel`. Commands in `wav.scp` are not run: their recordings get a fault.

    Args:
        note: called with each warning.

    Raises:
        UserError: with file, line and what was expected there.
    """
    text, speakers, languages = (
        {name: value for _, name, value in _table(folder / table, note)}
        for table in ("text", "utt2spk", "utt2lang")
    )
    utterances = _utterances(folder / "segments", note)
    channels = _channels(folder / "reco2file_and_channel", note)
    listed = set()
    for where, recording, source in _table(folder / "wav.scp", note):
        listed.add(recording)
        fault = None
        if source.endswith("|") or source in ("", "-"):
            fault = (
                f"{where}: `{source}` is not a file, and commands are not run; convert the audio "
                "to files and name those"
            )
            source = recording
        for name, start_s, end_s in utterances.get(recording, [(recording, None, None)]):
            yield Entry(
                where,
                source,
                text.get(name) or None,
                start_s,
                end_s,
                speakers.get(name) or None,
                language_code(languages.get(name) or None, f"{folder / 'utt2lang'}, {name}"),
                fault,
                channels.get(recording),
            )
    named = {name for spans in utterances.values() for name, *_ in spans}
    for file, left in (
        ("segments", utterances.keys() - listed),
        ("text", text.keys() - named - listed),
    ):
        if left:
            shown = ", ".join(sorted(left)[:3])
            note(f"{folder / file}: {len(left)} names match no recording: {shown} ...")


def _utterances(path, note):
    """`(utterance, start, end)` of each recording's segments."""
    found: dict[str, list[tuple]] = {}
    for where, name, rest in _table(path, note):
        recording, *times = rest.split()[:3] or [""]
        start_s, end_s = (number(time) for time in (times + ["", ""])[:2])
        if None in (start_s, end_s) or not 0 <= start_s < (end_s if end_s != -1 else math.inf):
            raise UserError(
                f"{where}: expected `utterance recording start end`, in seconds, found "
                f"{rest[:80]!r}"
            )
        found.setdefault(recording, []).append((name, start_s, None if end_s == -1 else end_s))
    return found


def _channels(path, note):
    """The channel of each recording, counted from 0."""
    named = [(where, name, rest.split()[-1]) for where, name, rest in _table(path, note) if rest]
    from_one = all(channel != "0" for _, _, channel in named)
    found = {}
    for where, recording, channel in named:
        counted = channel_number(channel, where)
        found[recording] = counted - 1 if channel.isdigit() and from_one else counted
    return found


def _table(path, note):
    """`(file and line, key, the rest)` of each line; nothing if the file is missing."""
    if not path.is_file():
        return
    content, guessed = read_text(path)
    if guessed:
        note(guessed)
    for number_, line in enumerate(content.split("\n"), 1):
        key, *rest = line.split(maxsplit=1) or [""]
        if key:
            yield f"{path}, line {number_}", key, "".join(rest).strip()
