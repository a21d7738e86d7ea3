"""Lists of recordings as others keep them, read line by line.

Formats: JSONL as NVIDIA NeMo's manifests; CSV and TSV with a header (Hugging Face audio folders,
Common Voice); `id|text|text` without header or quoting (LJSpeech 1.1, README) and the same with a
header (F5-TTS, Coqui); Kaldi data directories (kaldi-asr.org/doc/data_prep.html).
"""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError
from voicekiln.text.languages import CODE, short_code

SUFFIXES = {".jsonl", ".json", ".csv", ".tsv"}
# the names that are looked for, in this order
AUDIO_KEYS = ("audio_filepath", "audio_file", "path", "audio", "file", "file_name")
TEXT_KEYS = ("text", "sentence", "transcription", "transcript")
SPEAKER_KEYS = ("speaker", "speaker_name", "speaker_id", "client_id")
LANGUAGE_KEYS = ("language", "lang", "locale")
CHANNEL_KEYS = ("channel",)
CHANNEL_LETTERS = {"a": 0, "b": 1, "left": 0, "right": 1}


class NoList(UserError):
    """A table that names no recordings."""


@dataclass(frozen=True)
class Entry:
    """One line of a list: a recording, or a stretch of one, and what is said there."""

    where: str  # file and line
    audio: str  # as it is written; without suffix in LJSpeech's lists
    text: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    speaker: str | None = None
    language: str | None = None
    fault: str | None = None  # why the recording cannot be read
    channel: int | None = None  # of the file, counted from 0; None: all of them together


def entries(path: Path, column: int) -> Iterator[Entry]:
    """The lines of a manifest or of a list of transcripts.

    Args:
        column: which column of a list without header holds the text, counted from 1; the last one
            where there are fewer.

    Raises:
        UserError: naming file and line, what was expected there.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".jsonl", ".json"):
                yield from _jsonl(path, file)
            else:
                yield from _delimited(path, file, column)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text ({error}). Save it as UTF-8.") from error
    except csv.Error as error:
        raise UserError(f"{path}: cannot be read as a table: {error}") from error


def _jsonl(path, lines):
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise UserError(f"{where}: no JSON ({error.args[0].split(':')[0]})") from error
        if not isinstance(fields, dict):
            raise UserError(f"{where}: expected an object {{...}} on each line")
        yield _entry(fields, where)


def _delimited(path, file, column):
    first = file.readline()
    file.seek(0)
    first = first.removeprefix("\ufeff")
    if "|" in first:
        rows = ([field.strip() for field in line.split("|")] for line in file.read().split("\n"))
        numbered = enumerate(rows, 1)
        if first.split("|")[0].strip().lower() not in AUDIO_KEYS:
            yield from _ljspeech(path, numbered, column)
            return
    else:
        tabs = "\t" in first or path.suffix.lower() == ".tsv"
        # Common Voice writes quotation marks as they are
        reader = csv.reader(file, "excel-tab" if tabs else "excel", quoting=3 if tabs else 0)
        numbered = ((reader.line_num, row) for row in reader)
    _, header = next(numbered, (1, []))
    header = [name.strip().lstrip("\ufeff").lower() for name in header]
    if not set(header) & set(AUDIO_KEYS):
        raise NoList(
            f"{path}, line 1: names no audio file; expected a header with one of "
            f"{', '.join(AUDIO_KEYS)}, or lines of `id|text`"
        )
    for number, row in numbered:
        if len(row) > len(header):
            raise UserError(
                f"{path}, line {number}: {len(row)} fields under a header of {len(header)}; a text "
                "that holds the separator has to be quoted, or separated in another way"
            )
        if any(row):
            yield _entry(dict(zip(header, row, strict=False)), f"{path}, line {number}")


def _ljspeech(path, numbered, column):
    for number, fields in numbered:
        if fields == [""]:
            continue
        where = f"{path}, line {number}"
        if not 2 <= len(fields) <= max(3, column):
            raise UserError(
                f"{where}: expected `id|text` or `id|text|text`, found {len(fields)} fields; lists "
                "with more of them need a header such as `audio_file|text|speaker_name`"
            )
        text = fields[min(column, len(fields)) - 1] or fields[1]
        yield Entry(where, fields[0], text or None)


def _entry(fields: Mapping[str, Any], where: str) -> Entry:
    audio = _first(fields, AUDIO_KEYS)
    if not isinstance(audio, str) or "\0" in audio:
        raise UserError(
            f"{where}: names no audio file; expected its path under one of {', '.join(AUDIO_KEYS)}"
        )
    text, speaker = _first(fields, TEXT_KEYS), _first(fields, SPEAKER_KEYS)
    for value in (text, speaker):
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            raise UserError(f"{where}: half of a character (a lone surrogate) in {value!r}")
    return Entry(
        where,
        audio,
        None if text is None else str(text).strip() or None,
        *_span(fields, where),
        speaker=None if speaker is None else str(speaker),
        language=language_code(_first(fields, LANGUAGE_KEYS), where),
        channel=_channel(_first(fields, CHANNEL_KEYS), where),
    )


def _first(fields, keys):
    return next((fields[key] for key in keys if fields.get(key) not in (None, "")), None)


def language_code(code: str | None, where: str) -> str | None:
    """The language of a code or locale: `sv-SE` and `swe` are `sv` to a recogniser.

    Raises:
        UserError: no such code.
    """
    if code is None:
        return None
    if not CODE.fullmatch(str(code)):
        raise UserError(f"{where}: expected a language's code such as am or en, found {code!r}")
    return short_code(str(code))


def _channel(value, where):
    """A channel counted from 0; `A` and `left` are the first."""
    if value is None:
        return None
    text = str(value).strip().lower()
    if text in CHANNEL_LETTERS:
        return CHANNEL_LETTERS[text]
    if re.fullmatch("[0-9]{1,2}", text):
        return int(text)
    raise UserError(f"{where}: expected a channel counted from 0, or A or B, found {value!r}")


def _span(fields, where):
    start, length = fields.get("offset"), fields.get("duration")
    try:
        start_s = None if start in (None, "") else float(start)
        end_s = None if start_s is None or length in (None, "") else start_s + float(length)
        if not 0 <= (start_s or 0.0) < (math.inf if end_s is None else end_s):
            raise ValueError(f"{start} + {length}")
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{where}: offset and duration must be numbers of seconds, not negative ({error})"
        ) from error
    return start_s, end_s


def kaldi(folder: Path, note: Callable[[str], None]) -> Iterator[Entry]:
    """The recordings, or their segments, of a Kaldi data directory.

    Read are `wav.scp` and, where they are there, `segments`, `text`, `utt2spk`, `utt2lang`,
    `reco2file_and_channel`.
    Commands in `wav.scp` are not run: their recordings get a fault.

    Args:
        note: is told what belongs to no recording.

    Raises:
        UserError: naming file and line, what was expected there.
    """
    text, speakers, languages = (
        {name: said for _, name, said in _kaldi_table(folder / table)}
        for table in ("text", "utt2spk", "utt2lang")
    )
    utterances: dict[str, list[tuple]] = {}
    for where, name, rest in _kaldi_table(folder / "segments"):
        fields = rest.split()
        try:
            recording, start_s, end_s = fields[0], float(fields[1]), float(fields[2])
            if not 0 <= start_s < (end_s if end_s != -1 else math.inf):  # -1: up to the end
                raise ValueError
        except (ValueError, IndexError):
            raise UserError(
                f"{where}: expected `utterance recording start end`, in seconds, found {rest!r}"
            ) from None
        span = (start_s, None if end_s == -1 else end_s)
        utterances.setdefault(recording, []).append((name, *span))
    channels = _kaldi_channels(folder / "reco2file_and_channel")
    listed = set()
    for where, recording, source in _kaldi_table(folder / "wav.scp"):
        listed.add(recording)
        fault = None
        if source.endswith("|") or source in ("", "-"):
            fault = (
                f"{where}: `{source}` is no file, and commands are not run; convert the audio to "
                "files and name those"
            )
            source = recording
        for name, start_s, end_s in utterances.get(recording, [(recording, None, None)]):
            yield Entry(
                where,
                source,
                text.get(name) or None,
                start_s,
                end_s,
                speakers.get(name),
                language_code(languages.get(name), f"{folder / 'utt2lang'}, {name}"),
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
            note(f"{folder / file}: {len(left)} names are of no recording: {shown} ...")


def _kaldi_channels(path):
    """The channel of each recording; none where all are on `A`, which Kaldi writes for mono too."""
    said = [
        (where, recording, rest.split()[-1])
        for where, recording, rest in _kaldi_table(path)
        if rest
    ]
    from_one = all(channel != "0" for _, _, channel in said)
    found = {}
    for where, recording, channel in said:
        number = _channel(channel, where)
        found[recording] = number - 1 if channel.isdigit() and from_one else number
    return found if any(found.values()) else {}


def _kaldi_table(path):
    """`(file and line, key, the rest)` of each line; nothing where there is no such file."""
    if not path.is_file():
        return
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text ({error}). Save it as UTF-8.") from error
    for number, line in enumerate(lines, 1):
        key, *rest = line.split(maxsplit=1) or [""]
        if key:
            yield f"{path}, line {number}", key, "".join(rest).strip()
