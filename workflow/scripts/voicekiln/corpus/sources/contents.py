"""Columns of a list without a header, recognised by their values."""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence

from voicekiln.corpus.sources.columns import TIMES, Column, Reading, has_audio_suffix
from voicekiln.corpus.sources.entries import number
from voicekiln.errors import UserError

# not found in speakers' names: a full stop, a comma, four words, or five letters of a script
# without spaces
SENTENCE = re.compile(
    r"[.!?…。！？።؟।]\W{0,8}$|[,;:，、]\s|\S\s+\S+\s+\S+\s+\S|"
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]{5}"
)
NUMBERED = re.compile(r"[A-Za-z]{0,12}[-_ ]?\d{1,9}")  # s01, spk_3, p225
GENDERS = frozenset("f m w d x male female other unknown".split())
LABEL_CHARS = 64
LANGUAGES = re.compile("[A-Za-z]{2}(?:[-_][A-Za-z]{2,4})?")
MANY = 5000  # lines that are enough to recognise a column
FEW = 4  # lines per distinct value, from which a column contains no texts


def looks_like_label(value: str) -> bool:
    """Whether a value may be a speaker's name: short, and not a sentence."""
    return 0 < len(value) <= LABEL_CHARS and not SENTENCE.search(value)


def by_content(
    rows: Sequence[Sequence[str]],
    chosen: Mapping[str, Column | None],
    is_recording: Callable[[str], bool],
    where: str,
    names_first: bool,
) -> Reading | None:
    """The columns of a list without a header.

    Args:
        rows: all lines.
        chosen: columns that the configuration names.
        is_recording: whether a name is that of a recording.
        names_first: whether the first column is the file's if no other is recognised.

    Returns:
        None if no column looks like names of recordings.

    Raises:
        UserError: the columns are ambiguous.
    """
    every = rows
    rows = _sample(rows)
    columns = _columns(rows)
    of = {key: [] if column is None else [column] for key, column in chosen.items()}
    free = [i for i in range(len(columns)) if i not in chosen.values() and columns[i]]
    if "file" not in of:
        file = _file_column(columns, free, is_recording, where)
        if file is None and names_first and 0 in free:
            file = 0
        if file is None:
            return None
        of["file"] = [file]
        free.remove(file)
    if not any(key in of for key in TIMES):
        times = _time_columns(every, columns, free, of["file"][0], where)
        of |= {key: [column] for key, column in times.items() if key not in of}
        free = [i for i in free if i not in times.values()]
    if "language" not in of:
        of["language"] = _language_columns(columns, free, of, where)
        free = [i for i in free if i not in of["language"]]
    _text_and_speaker(rows, columns, free, of, where)
    used = {column for found in of.values() for column in found}
    unused = [f"column {i + 1}" for i in range(len(columns)) if i not in used and columns[i]]
    return Reading(of, unused=unused)


def _sample(rows):
    """Enough rows to recognise the columns; the same ones for any order of rows."""
    if len(rows) <= MANY:
        return rows
    share = len(rows) // MANY
    widest = max(rows, key=lambda row: (len(row), row))
    return [row for row in rows if zlib.crc32("|".join(row).encode()) % share == 0] + [widest]


def _columns(rows):
    """The values of each column."""
    width = max(map(len, rows))
    return [[row[i] for row in rows if i < len(row) and row[i]] for i in range(width)]


def _file_column(columns, free, is_recording, where):
    """The column with the names of the recordings, or None."""
    candidates = free
    for test in (has_audio_suffix, is_recording):
        shares = {i: sum(map(test, columns[i])) / len(columns[i]) for i in candidates}
        best = max(shares.values(), default=0.0)
        if best > 0.1:
            candidates = [i for i in candidates if shares[i] > 0.5 * best]
        if best > 0.1 and len(candidates) == 1:
            return candidates[0]
    if candidates == free:
        return None
    raise _undecided(where, candidates, "the file", "file")


def _time_columns(rows, columns, free, file, where):
    """Columns of numbers that are times: start and end, or offset and duration."""
    found = [i for i in free if _is_fractions(columns[i])]
    if len(found) < 2:
        return {}
    spans: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if max(*found[:2], file) < len(row) and row[found[0]] and row[found[1]]:
            pair = number(row[found[0]]), number(row[found[1]])
            spans.setdefault(row[file], []).append(pair)
    pairs = [pair for group in spans.values() for pair in group]
    ends = all(0 <= a < b for a, b in pairs)
    lengths = all(a >= 0 and b > 0 for a, b in pairs) and not _overlap(spans)
    if len(found) == 2 and ends != lengths:
        return dict(zip(("start", "end" if ends else "duration"), found, strict=True))
    shown = " and ".join(str(i + 1) for i in found)
    raise UserError(
        f"{where}: columns {shown} contain numbers, which may be start and end, or offset and "
        f"duration, or something else; name them in the configuration, for example `columns: "
        f"{{start: {found[0] + 1}, end: {found[1] + 1}}}`, or `columns: {{start: null}}` if they "
        "are not times"
    )


def _overlap(spans):
    """Whether utterances of one recording would overlap if they were offset and duration."""
    for group in spans.values():
        group = sorted(group)
        for (a, length), (b, _) in zip(group, group[1:], strict=False):
            if a + length > b + 0.01 and (a, length) != (b, length):
                return True
    return False


def _language_columns(columns, free, of, where):
    """The column of language codes, as a list of one or none."""
    found = [
        i for i in free if len(free) > 1 and all(LANGUAGES.fullmatch(value) for value in columns[i])
    ]
    if len(found) != 1 or len(columns[found[0]]) > 1 == len(set(columns[found[0]])):
        return found[:1] if len(found) == 1 else []
    others = [i for i in free if i not in found and "speaker" not in of]
    if not any(all(map(looks_like_label, columns[i])) for i in others):
        raise UserError(
            f"{where}: column {found[0] + 1} ({_examples(columns[found[0]])}) may be languages or "
            f"speakers; set `columns: {{language: {found[0] + 1}}}` or `columns: {{speaker: "
            f"{found[0] + 1}}}` in the configuration"
        )
    return found


def _text_and_speaker(rows, columns, free, of, where):
    """Set the columns of texts and speakers in `of`, from the remaining columns."""
    if "text" not in of:
        of["text"] = _texts(rows, columns, free, where)
    text = (of["text"] or [None])[0]
    free = [i for i in free if i not in of["text"]]
    if "speaker" not in of:
        labels = [
            i
            for i in free
            if all(map(looks_like_label, columns[i]))
            and not _is_fractions(columns[i])
            and not {value.lower() for value in columns[i]} <= GENDERS
            and not (text is not None and _are_alike(rows, i, text))
        ]
        repeated = [i for i in labels if _is_repeated(columns[i])]
        labels = repeated if len(repeated) == 1 else labels
        if len(labels) > 1:
            raise _undecided(where, labels, "the speaker", "speaker")
        of["speaker"] = labels
        free = [i for i in free if i not in labels]
    if text is not None:  # used for lines whose text column is empty
        of["text"] += [i for i in reversed(free) if i < text and _are_alike(rows, i, text)]


def _texts(rows, columns, free, where):
    """The columns that contain the texts, best first."""
    words = [i for i in free if not _is_numbers(columns[i]) and not _is_numbered(columns[i])]
    texts = [i for i in words if _is_texts(columns[i])]
    if len(free) == 1 and words:
        _stop_at_labels(columns[free[0]], free[0], where)
        return free
    if not texts and len(free) > 1:  # texts of single words
        texts = words
        if not any(_are_alike(rows, i, words[-1]) for i in words[:-1]):
            for test in (_has_several_words, lambda values: not _is_repeated(values)):
                likely = [i for i in texts if test(columns[i])]
                texts = likely if len(likely) == 1 else texts
    # LJSpeech contains the text as written and as spoken
    if not all(_are_alike(rows, i, texts[-1]) for i in texts[:-1]):
        raise _undecided(where, texts, "the text", "text")
    return texts[::-1]


def _is_numbers(values):
    return all(number(value) is not None for value in values)


def _is_numbered(values):
    """Whether these are numbered labels, such as those of speakers."""
    return all(NUMBERED.fullmatch(value) for value in values)


def _is_fractions(values):
    """Whether these are measurements: numbers, with fractions or rarely repeated."""
    if not _is_numbers(values):
        return False
    many = len(values) > FEW and len(set(values)) > len(values) / 2
    return many or any("." in value or "," in value or ":" in value for value in values)


def _is_texts(values):
    """Whether these are texts: at least a tenth are sentences, and few are repeated."""
    sentences = sum(bool(SENTENCE.search(value)) or len(value) > LABEL_CHARS for value in values)
    return sentences >= 0.1 * len(values) and not (
        len(values) >= FEW and len(set(values)) <= len(values) / FEW
    )


def _has_several_words(values):
    return sum(len(value.split()) for value in values) >= 2 * len(values)


def _is_repeated(values):
    return len(set(values)) <= len(values) / 2


def _stop_at_labels(values, i, where):
    """Stop if the only column beside the files may contain speakers or texts."""
    few = len(values) >= 2 * FEW and len(set(values)) <= len(values) / FEW
    if few and all(map(looks_like_label, values)):
        raise UserError(
            f"{where}: column {i + 1} has only {len(set(values))} values ({_examples(values)}), "
            f"which may be speakers or texts; set `columns: {{speaker: {i + 1}}}` or `columns: "
            f"{{text: {i + 1}}}` in the configuration"
        )


def _are_alike(rows, i, j):
    """Whether two columns contain the same text, as written and as spoken: a third of the lines
    share words."""
    pairs = [(row[i], row[j]) for row in rows if max(i, j) < len(row) and row[i] and row[j]]
    return 3 * sum(_share_words(a, b) for a, b in pairs) >= len(pairs) > 0


def _share_words(a, b):
    if a == b:
        return True
    a, b = (set(re.findall(r"\w+", text.casefold())) for text in (a, b))
    return 3 * len(a & b) >= min(len(a), len(b)) > 0


def holds_texts(values: Sequence[str]) -> bool:
    """Whether a column may contain the texts."""
    return not _is_numbers(values) and _is_texts(values)


def no_texts(rows: Sequence[Sequence[str]], i: int) -> str | None:
    """Content of a column that cannot be the texts: numbers, or labels beside a column that looks
    more like texts; None if it may be the texts."""
    rows = _sample(rows)
    columns = _columns(rows)
    values = columns[i] if i < len(columns) else []
    if not values:
        return "nothing"
    if _is_numbers(values):
        return (
            "numbers (a start, an end or a duration?)"
            if _is_fractions(values)
            else "numbers or speakers"
        )
    if _is_numbered(values) or (len(values) >= FEW and len(set(values)) <= len(values) / FEW):
        return "speakers" if all(map(looks_like_label, values)) else None
    others = [k for k in range(1, len(columns)) if k != i and columns[k]]
    others = [k for k in others if not _is_numbers(columns[k]) and not _is_numbered(columns[k])]
    if not all(map(looks_like_label, values)):
        return None
    for k in others:
        more = len(set(columns[k])) == len(columns[k]) and len(set(values)) < len(values)
        more |= _has_several_words(columns[k]) and not _has_several_words(values)
        if (more or holds_texts(columns[k])) and not _are_alike(rows, i, k):
            return "speakers"
    return None


def _examples(values):
    shown = sorted(set(values))[:3]
    return ", ".join(repr(value[:20]) for value in shown)


def _undecided(where, columns, what, key):
    numbers = [str(i + 1) for i in columns]
    return UserError(
        f"{where}: columns {', '.join(numbers[:-1])} and {numbers[-1]} may each be {what}; "
        f"name the right one in the configuration, for example `columns: {{{key}: {numbers[-1]}}}`"
    )
