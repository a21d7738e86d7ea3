"""Columns of a list with a header, recognised by their names."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from voicekiln.audio.suffixes import AUDIO_SUFFIXES
from voicekiln.corpus.sources.entries import number
from voicekiln.errors import UserError

Column = int | str  # position counted from 0, or a key of JSON

# Names without case, spaces and signs. The first one present wins; those in `SECOND_NAMES` count
# only if none of these is present.
NAMES = {
    "file": (
        "audiofilepath audiofile path audio file filename audiopath audiofilename filepath wav "
        "wavpath wavfile wavfilename sound soundfile datei dateiname dateipfad audiodatei fichier "
        "nomfichier archivo fichero arquivo nomefile файл путь"
    ),
    "text": (
        "text sentence transcription transcript utterance phrase satz transkript transkription "
        "texte texto frase transcripcion transcricao testo trascrizione текст"
    ),
    "speaker": (
        "speaker speakername speakerid clientid spk spkid spkname speakerlabel narrator reader "
        "talker sprecher sprecherin locuteur locutrice locutor hablante falante parlante диктор"
    ),
    "language": "language lang locale languagecode langcode languageid sprache langue idioma",
    "channel": "channel chan channelid kanal canal",
    "start": (
        "start offset begin onset starttime begintime tmin from anfang beginn von debut inicio "
        "inizio"
    ),
    "end": "end stop endtime stoptime finish tmax to ende bis fin",
    "duration": "duration dur dauer duree duracion duracao durata",
}
SECOND_NAMES = {
    "file": (
        "id name uttid utt utteranceid clip clipid clipname segmentid segment recording "
        "recordingid recordingname sampleid fileid itemid basename stem"
    ),
    "text": (
        "normalizedtext normalisedtext textnormalized normalizedtranscription "
        "normalizedtranscript cleantext cleanedtext rawtext rawtranscription orthography"
    ),
    "speaker": "voice voiceid person actor artist user userid",
}
FIELDS = tuple(NAMES)
TIMES = ("start", "end", "duration")
RANK = {
    name: (field_, second, i)
    for second, table in enumerate((NAMES, SECOND_NAMES))
    for field_, names in table.items()
    for i, name in enumerate(names.split())
}
# names made of several of these words; rank 0 precedes rank 1
VARIANT = "raw|orig|original|clean|cleaned|norm|normali[sz]ed"
COMPOUND = (
    (
        "speaker",
        0,
        "(?:speaker|spkr?|talker|reader|narrator)(?:id|name|label|code|key|no|nr|number|uid|tag)?",
    ),
    ("file", 0, "(?:audio|wav|sound|media|speech)(?:file)?(?:path|name|location)"),
    ("file", 1, "(?:clip|utt|utterance|recording|segment|sample|item)(?:id|path|name|file)"),
    ("text", 1, f"(?:{VARIANT})?(?:text|transcript|transcription|sentence)(?:{VARIANT})?"),
)
SECONDS = re.compile(r"(.+?)(?:in)?(s|secs?|seconds?)")
MILLISECONDS = re.compile(r"(.+?)(?:in)?(ms|msecs?|millis|milliseconds?)")
OTHER_UNIT = re.compile(
    r"(?:start|begin|end|stop|offset|onset)(?:time|at|in)*(?:samples?|frames?|index|idx|ticks?|bytes?|steps?)"
)


@dataclass(frozen=True)
class Reading:
    """The columns of each field.

    Attributes:
        of: the columns of each field; the first one that is not empty in a line counts.
        scales: seconds per unit, for columns of times.
        unused: names of the other columns.
    """

    of: Mapping[str, list[Column]]
    scales: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(TIMES, 1.0))
    unused: Sequence[str] = ()


def compact(name: str) -> str:
    """A column's name without case, accents, spaces and signs: `Speaker ID` is `speakerid`."""
    letters = unicodedata.normalize("NFKD", str(name)).casefold()
    return "".join(c for c in letters if c.isalnum())


def known_name(name: str) -> tuple[str, int, int, float] | None:
    """Field, rank, place in the rank and unit in seconds of a column's name; None if unknown."""
    short = compact(name)
    if short in RANK:
        return *RANK[short], 1.0
    for field_, second, pattern in COMPOUND:
        if re.fullmatch(pattern, short):
            return field_, second, len(RANK), 1.0
    for pattern, scale in ((MILLISECONDS, 0.001), (SECONDS, 1.0)):
        match = pattern.fullmatch(short)
        if match and RANK.get(match[1], ("",))[0] in TIMES:
            return *RANK[match[1]], scale
    return None


def is_header(cells: Sequence[str], is_recording: Callable[[str], bool]) -> bool:
    """Whether the first line of a table names its columns."""
    names = [cell.strip() for cell in cells]
    if len(set(names)) < len(names) or any(number(name) is not None for name in names):
        return False
    known = [
        found for name in names if not re.search("[.!?]$", name) and (found := known_name(name))
    ]
    fields = {found[0] for found in known}
    if len(fields) > 1 and "file" in fields:
        return True
    if any(has_audio_suffix(name) or is_recording(name) for name in names):
        return False
    return len(fields) > 1 or bool(fields & {"file", "text"})


def has_audio_suffix(name: str) -> bool:
    """Whether a name has the suffix of an audio file."""
    return name[-6:].rpartition(".")[2].lower() in _SUFFIXES and "." in name[-6:]


_SUFFIXES = {suffix.removeprefix(".") for suffix in AUDIO_SUFFIXES}


def by_name(
    names: Sequence[tuple[str, Column]], chosen: Mapping[str, Column | None], where: str
) -> Reading:
    """The columns of a list whose columns have names.

    Args:
        names: name and column of each.
        chosen: columns that the configuration names; None if there is no such column.
        where: file and line of the names.

    Raises:
        UserError: a time is in an unknown unit.
    """
    taken = set(chosen.values())
    found: dict[str, list] = {}
    has_onset = any(compact(name).startswith("onset") for name, _ in names)
    for name, column in names:
        known = known_name(name)
        if known and has_onset and compact(name).startswith("offset"):
            known = ("end", *known[1:])  # onset and offset, as linguists call start and end
        if known and known[0] not in chosen and column not in taken:
            found.setdefault(known[0], []).append((*known[1:], column, name))
    of = {key: [] if column is None else [column] for key, column in chosen.items()}
    scales = dict.fromkeys(TIMES, 1.0)
    for key, columns in found.items():
        best = min(rank for rank, *_ in columns)
        ranked = sorted(column for column in columns if column[0] == best)
        units = {scale for _, _, scale, _, _ in ranked}
        if key in TIMES and len(units) > 1:
            ranked = ranked[:1]
        of[key] = [column for *_, column, _ in ranked]
        if key in TIMES:
            scales[key] = ranked[0][2]
    for key in set(TIMES) & chosen.keys():
        name = next((name for name, column in names if column == chosen[key]), "")
        scales[key] = 0.001 if MILLISECONDS.fullmatch(compact(name)) else 1.0
    if chosen.get("start", 0) is None:  # then there are no times at all
        of |= {key: [] for key in TIMES}
    used = {column for columns in of.values() for column in columns}
    unused = [name for name, column in names if column not in used]
    for name in unused:
        if OTHER_UNIT.fullmatch(compact(name)) and not ({"start", "end"} & of.keys()):
            raise UserError(
                f"{where}: the column {name[:40]!r} looks like a time that is not in seconds; "
                "convert it, or set `columns: {start: null}` in the configuration if it is not one"
            )
    if of.get("end") and not of.get("start"):
        raise UserError(
            f"{where}: there is a column for the end of an utterance, but none for its start; name "
            f"it in the configuration (`columns: {{start: ...}}`); the columns are {listed(names)}"
        )
    return Reading(of, scales, unused)


def listed(names: Sequence[tuple[str, Column]]) -> str:
    """The names of columns, for a message."""
    shown = [str(name)[:40] for name, _ in names[:20]]
    return ", ".join(shown) + (", ..." if len(names) > 20 else "")
