"""A long reading of a known text: which stretch of the text each segment says.

The recording is cut at its pauses and each piece recognised like any other; the recognised text
only finds the place. What a segment gets is the known text as it was written, from the first to the
last word that has its place there. No word is given twice; words that nobody was heard to say are
left over and listed.
"""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from voicekiln.corpus.decisions import drop
from voicekiln.corpus.segments.segments import distinct, start_of
from voicekiln.store import tables
from voicekiln.text.align import align
from voicekiln.text.clean import letters
from voicekiln.text.distance import character_error_rate

log = logging.getLogger("align")

# scripts without spaces between words: there each letter is a word of its own
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
UNSPACED += "\U00020000-\U0003ffff"
OPENING = "\\[({<«‹“‘„‚¿¡「『（《〈【"
PIECE = re.compile(rf"[{OPENING}]*[{UNSPACED}][^\w\s{OPENING}]*|(?:(?![{UNSPACED}])\S)+")
DASHES = "-‐‑‒–—―"
NOT_THERE = "not in the given text"
PLACED_SHARE = 0.5  # of a word's letters that have a place


@dataclass(frozen=True)
class Piece:
    """A word of the known text, with the punctuation that goes with it."""

    start: int  # characters of the text
    end: int
    letters: str


@dataclass(frozen=True)
class Stretch:
    """Part of the known text: characters start to end, holding the words first to last."""

    start: int
    end: int
    first: int
    last: int  # exclusive


def pieces(text: str) -> list[Piece]:
    """The words of a text. Marks that stand alone go with the word before, opening ones and dashes
    with the word after, so that stretches of neighbouring words leave nothing out."""
    found: list[Piece] = []
    waiting = None  # where marks begin that open the next word
    for match in PIECE.finditer(text):
        start, end = match.span()
        said = letters(match.group())
        if said:
            found.append(Piece(start if waiting is None else waiting, end, said))
            waiting = None
        elif not found or match.group()[0] in OPENING + DASHES:
            waiting = start if waiting is None else waiting
        elif waiting is None:
            found[-1] = Piece(found[-1].start, end, found[-1].letters)
    return found


def place(words: Sequence[Piece], heard: Sequence[str]) -> list[Stretch | None]:
    """The stretch of the known text that each segment says; None where it says none of it.

    Args:
        words: the known text's `pieces`.
        heard: what was recognised in each segment, in their order.
    """
    said = [letters(text) for text in heard]
    known = "".join(word.letters for word in words)
    word_of = np.repeat(np.arange(len(words)), [len(word.letters) for word in words])
    segment_of = np.repeat(np.arange(len(said)), [len(text) for text in said])
    places = align(known, "".join(said))
    placed = places >= 0
    # letters of each word by segment; a word that straddles two goes to the one with more of it
    owner = np.full(len(words), -1)
    most = np.zeros(len(words), int)
    pairs, counts = np.unique(
        np.stack([word_of[places[placed]], segment_of[placed]]), axis=1, return_counts=True
    )
    for word, segment, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        if count > most[word] and count >= PLACED_SHARE * len(words[word].letters):
            owner[word], most[word] = segment, count
    runs = [_run(words, owner, segment) for segment in range(len(said))]
    return [
        Stretch(words[run[0]].start, words[run[1] - 1].end, *run) if run else None for run in runs
    ]


def _run(words, owner, segment) -> tuple[int, int] | None:
    """The run of words with the most letters of the segment's own, less a third of the others': a
    misheard word inside belongs to it, a stray word far away does not drag in what lies between."""
    own = np.flatnonzero(owner == segment)
    if not len(own):
        return None
    best, here, begin, run = 0.0, 0.0, int(own[0]), None
    for word in range(int(own[0]), int(own[-1]) + 1):
        weight = len(words[word].letters)
        if here <= 0:
            here, begin = 0, word
        here += weight if owner[word] == segment else -weight / 3
        if here > best:
            best, run = here, (begin, word + 1)
    return run


def left_over(
    words: Sequence[Piece], stretches: Sequence[Stretch | None]
) -> Iterator[tuple[int, int, int | None, int | None]]:
    """Runs of words that no segment says: first, last (exclusive), and the segments around them.

    Args:
        stretches: of each segment, None where it has none or is not used.
    """
    at, before = 0, None
    for segment, stretch in enumerate(stretches):
        if stretch is None:
            continue
        if stretch.first > at:
            yield at, stretch.first, before, segment
        at, before = stretch.last, segment
    if at < len(words):
        yield at, len(words), before, None


def page(known: Sequence[dict]) -> str | None:
    """The known texts of a recording as one, in their order; None where a stretch has several."""
    texts = [entry["text"] for entry in sorted(distinct(known), key=start_of)]
    return "\n".join(texts) if all(texts) else None


def read_along(
    table: pd.DataFrame, recordings: pd.DataFrame, max_cer: float
) -> tuple[pd.DataFrame, list[dict]]:
    """`table` with the known texts of long readings dealt out to their segments.

    Args:
        table: `tables.SEGMENTS`, recognised.
        recordings: `tables.RECORDINGS`; those whose known texts `segment` has left aside are long
            readings.
        max_cer: a segment whose stretch differs more from what was heard is not in the text.

    Returns:
        the table; and the runs of words that no kept segment says, each with the segments around.
    """
    table = table.copy()
    gaps = []
    texts = {
        (row.root, row.path): text
        for row in recordings.itertuples()
        if not tables.missing(row.known) and (text := page(json.loads(row.known)))
    }
    cut = table[(table["status"] == "keep") & table["text"].notna()]
    cut = cut[(cut["text_source"] != "known").fillna(True)].sort_values("start", kind="stable")
    for (root, path), rows in cut.groupby(["root", "path"], sort=True):
        if (root, path) in texts:
            gaps += _read_one(table, rows, texts[root, path], max_cer)
    return table, gaps


def _read_one(table, rows, text, max_cer) -> list[dict]:
    """Deal out the text of one reading to its `rows`; the runs of words left over."""
    words = pieces(text)
    stretches = place(words, list(rows["text"]))
    for n, (row, stretch) in enumerate(zip(rows.itertuples(), stretches, strict=True)):
        said = text[stretch.start : stretch.end] if stretch else ""
        cer = character_error_rate(said, row.text) if stretch else 1.0
        if cer > max_cer:
            stretches[n] = None
            drop(table, row.Index, "align", NOT_THERE, cer, max_cer)
        else:
            table.loc[row.Index, ["text", "raw_text", "text_source"]] = [said, said, "known"]
        table.loc[row.Index, ["heard", "cer"]] = [row.text, cer]
    ids = list(rows["segment_id"])
    gaps = [
        {
            "path": rows["path"].iloc[0],
            "words": last - first,
            "start": words[first].start,
            "end": words[last - 1].end,
            "text": text[words[first].start : words[last - 1].end],
            "after": None if before is None else ids[before],
            "before": None if after is None else ids[after],
        }
        for first, last, before, after in left_over(words, stretches)
    ]
    log.info(
        "%s: %d of %d segments are in the text; %d of its %d words are said by none, in %d places",
        rows["path"].iloc[0],
        sum(stretch is not None for stretch in stretches),
        len(rows),
        sum(gap["words"] for gap in gaps),
        len(words),
        len(gaps),
    )
    return gaps
