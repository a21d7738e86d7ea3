"""Long recordings with one reference text: distribute the text over their segments.

Such a recording is cut at its pauses and transcribed like any other. The hypothesis only locates a
segment in the reference text; the segment gets the reference text as written, from the first to the
last word located in it. No word is used twice, and words that no segment contains are listed.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from voicekiln.corpus.decisions import drop
from voicekiln.corpus.segments.segments import distinct, start_of
from voicekiln.text.align import align
from voicekiln.text.clean import letters
from voicekiln.text.distance import character_error_rate

log = logging.getLogger("align")

# scripts without spaces between words: each letter is treated as a word
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
UNSPACED += "\U00020000-\U0003ffff"
OPENING = "\\[({<«‹“‘„‚¿¡「『（《〈【"
PIECE = re.compile(rf"[{OPENING}]*[{UNSPACED}][^\w\s{OPENING}]*|(?:(?![{UNSPACED}])\S)+")
DASHES = "-‐‑‒–—―"
NOT_THERE = "not in the reference text"
LOCATED_FRACTION = 0.5  # of a word's letters that must be located


@dataclass(frozen=True)
class Word:
    """A word of the reference text with its punctuation."""

    start: int  # characters of the text
    end: int
    letters: str


@dataclass(frozen=True)
class Stretch:
    """Part of the reference text: characters start to end, words first to last."""

    start: int
    end: int
    first: int
    last: int  # exclusive


def split_words(text: str, spell: Callable[[str], str] = letters) -> list[Word]:
    """The words of a text, without gaps between them.

    Isolated punctuation belongs to the word before, opening marks and dashes to the word after.

    Args:
        spell: the letters of a word.
    """
    found: list[Word] = []
    waiting = None  # start of marks that open the next word
    for match in PIECE.finditer(text):
        start, end = match.span()
        said = spell(match.group())
        if said:
            found.append(Word(start if waiting is None else waiting, end, said))
            waiting = None
        elif not found or match.group()[0] in OPENING + DASHES:
            waiting = start if waiting is None else waiting
        elif waiting is None:
            found[-1] = Word(found[-1].start, end, found[-1].letters)
    return found


def locate(words: Sequence[Word], hypotheses: Sequence[str]) -> list[Stretch | None]:
    """The stretch of the reference text in each segment; None if it contains none of it.

    Args:
        words: of the reference text.
        hypotheses: of the segments, in order.
    """
    spoken = [letters(text) for text in hypotheses]
    reference = "".join(word.letters for word in words)
    word_of = np.repeat(np.arange(len(words)), [len(word.letters) for word in words])
    segment_of = np.repeat(np.arange(len(spoken)), [len(text) for text in spoken])
    places = align(reference, "".join(spoken))
    placed = places >= 0
    # letters of each word by segment; a word in two segments belongs to the one with more of it
    owner = np.full(len(words), -1)
    most = np.zeros(len(words), int)
    pairs, counts = np.unique(
        np.stack([word_of[places[placed]], segment_of[placed]]), axis=1, return_counts=True
    )
    for word, segment, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        if count > most[word] and count >= LOCATED_FRACTION * len(words[word].letters):
            owner[word], most[word] = segment, count
    runs = [_run(words, owner, segment) for segment in range(len(spoken))]
    return [
        Stretch(words[run[0]].start, words[run[1] - 1].end, *run) if run else None for run in runs
    ]


def _run(words, owner, segment) -> tuple[int, int] | None:
    """The run of words that maximises the letters of the segment, less a third of the others.

    It includes a misrecognised word inside, but no distant stray word with all words between.
    """
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
    words: Sequence[Word], stretches: Sequence[Stretch | None]
) -> Iterator[tuple[int, int, int | None, int | None]]:
    """Runs of words in no segment: first, last (exclusive), and the segments around them.

    Args:
        stretches: of each segment, None if it has none.
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


def whole_text(references: Sequence[dict]) -> str | None:
    """The reference texts of a recording as one text; None if a span has several."""
    texts = [entry["text"] for entry in sorted(distinct(references), key=start_of)]
    return "\n".join(texts) if all(texts) else None


def distribute(
    table: pd.DataFrame,
    recordings: pd.DataFrame,
    max_cer: float,
    spell: Callable[[str, str | None], str] | None = None,
) -> tuple[pd.DataFrame, list[dict]]:
    """Distribute the reference texts of long recordings over their segments.

    Args:
        table: `tables.SEGMENTS`, transcribed.
        recordings: `tables.RECORDINGS`. Long recordings are those whose reference texts the step
            `segment` has not used.
        max_cer: maximum distance of a segment's stretch from its hypothesis; beyond it the segment
            is dropped.
        spell: letters of a word in a language, as the hypotheses spell them; None: its own.

    Returns:
        the table; and the runs of words in no kept segment, each with the segments around it.
    """
    table = table.copy()
    gaps = []
    texts = {
        (row.root, row.path): text
        for row in recordings.dropna(subset="reference_texts").itertuples()
        if (text := whole_text(json.loads(row.reference_texts)))
    }
    cut = table[(table["status"] == "keep") & table["text"].notna()]
    cut = cut[(cut["text_source"] != "reference").fillna(True)].sort_values("start", kind="stable")
    for (root, path), rows in cut.groupby(["root", "path"], sort=True):
        if (root, path) in texts:
            language = rows["language"].iloc[0]
            own = letters if spell is None else partial(spell, language=language)
            gaps += _read_one(table, rows, texts[root, path], max_cer, own)
    return table, gaps


def _read_one(table, rows, text, max_cer, spell) -> list[dict]:
    """Distribute the text of one recording over its `rows`; the runs of words left over."""
    words = split_words(text, spell)
    stretches = locate(words, list(rows["text"]))
    for n, (row, stretch) in enumerate(zip(rows.itertuples(), stretches, strict=True)):
        said = text[stretch.start : stretch.end] if stretch else ""
        spelled = "".join(w.letters for w in words[stretch.first : stretch.last]) if stretch else ""
        cer = character_error_rate(spelled, row.text) if stretch else 1.0
        if cer > max_cer:
            stretches[n] = None
            drop(table, row.Index, "align", NOT_THERE, cer, max_cer)
        else:
            table.loc[row.Index, ["text", "raw_text", "text_source"]] = [said, said, "reference"]
        table.loc[row.Index, ["hypothesis", "cer"]] = [row.text, cer]
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
        "%s: %d of %d segments are in the text; %d of its %d words are in no segment, in %d places",
        rows["path"].iloc[0],
        sum(stretch is not None for stretch in stretches),
        len(rows),
        sum(gap["words"] for gap in gaps),
        len(words),
        len(gaps),
    )
    return gaps
