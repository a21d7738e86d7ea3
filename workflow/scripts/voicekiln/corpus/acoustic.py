"""Transcripts aligned to their audio by an acoustic model, in blocks that are items of the store.

A block is up to `BLOCK` neighbouring segments of one recording with their texts. Batches never
cross a block, so what a segment gets does not depend on other recordings, shards or runs.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from voicekiln import extras
from voicekiln.audio.span import load_span
from voicekiln.corpus import decisions
from voicekiln.corpus.transcribe import BLOCK, Span
from voicekiln.ctc import files, vocabulary
from voicekiln.store import tables
from voicekiln.store.items import Store
from voicekiln.text.clean import letters, script_share
from voicekiln.text.numbers import n_digits

log = logging.getLogger("align")

VERSION = 1
NO_TEXT = "no reference text"
SHOWN = 8  # characters without a token, in the warning


@dataclass(frozen=True)
class Block:
    """Neighbouring segments of a recording.

    Attributes:
        key: of the item.
        item: of the normalised recording.
        language: of the texts.
        spans: samples at the recording's own rate, end exclusive.
        texts: of each span; None asks for the model's own hypothesis.
    """

    key: str
    item: str
    language: str | None
    spans: tuple[Span, ...]
    texts: tuple[str | None, ...]


def basis(model: Path, languages: Iterable[str | None]) -> dict:
    """The part of the store's keys besides audio and texts.

    Args:
        model: folder of the acoustic model.
        languages: of the texts; a model may have an adapter for each.

    Raises:
        UserError: a file of the model is missing.
    """
    digests = {language or "": files.digest(model, language) for language in languages}
    return {"version": VERSION, "model": digests, "uroman": extras.version("uroman")}


def plan(rows: pd.DataFrame, store: Store) -> tuple[list[Block], dict[int, tuple[str, int]]]:
    """The blocks of `rows` (`tables.SEGMENTS`, with texts); each row's block and place in it."""
    blocks: list[Block] = []
    place: dict[int, tuple[str, int]] = {}
    ordered = rows.assign(language=rows["language"].fillna(""))
    ordered = ordered.sort_values(["item", "start", "end"], kind="stable")
    for (item, language), group in ordered.groupby(["item", "language"], sort=False):
        texts = [None if tables.missing(text) else text for text in group["text"]]
        keys = list(zip(group["start"].astype(int), group["end"].astype(int), texts, strict=True))
        distinct = list(dict.fromkeys(keys))  # byte-equal recordings share an item
        where = {}
        for at in range(0, len(distinct), BLOCK):
            part = distinct[at : at + BLOCK]
            spans, texts = tuple(one[:2] for one in part), tuple(one[2] for one in part)
            key = store.key(
                item=item, language=language, spans=[list(s) for s in spans], texts=texts
            )
            blocks.append(Block(key, item, language or None, spans, texts))
            where |= {one: (key, n) for n, one in enumerate(part)}
        place |= {row: where[one] for row, one in zip(group.index, keys, strict=True)}
    return list({block.key: block for block in blocks}.values()), place


class Aligner:
    """Aligns the texts of blocks; loads the model of a language when it is first needed.

    Args:
        folder: of the acoustic model.
        device: `cuda` or `cpu`.
    """

    def __init__(self, folder: Path, device: str):
        self.folder, self.device = folder, device
        self._language: str | None = None
        self._model = None

    def __call__(self, block: Block, audio: Store) -> dict:
        """The record of a block: for each segment `words`, `score` and `unaligned`, or `words` and
        `hypothesis` if it has no text."""
        from voicekiln.ctc.aligner import align, decode

        model = self._of(block.language)
        romanize = romanizer(model.vocabulary.latin, block.language)
        spelled = [text and model.vocabulary.spell(text, romanize) for text in block.texts]
        wanted = [i for i, one in enumerate(spelled) if one is None or one.words]
        clips = [load_span(audio, block.item, *block.spans[i], model.rate_hz) for i in wanted]
        found = dict(zip(wanted, model(clips), strict=True))
        records: list[dict] = []
        for i, (text, one) in enumerate(zip(block.texts, spelled, strict=True)):
            if one is None:
                words = decode(found[i], model.vocabulary, model.frame_s)
                records.append({"words": words, "hypothesis": " ".join(word[0] for word in words)})
                continue
            aligned = align(found[i], one, model.vocabulary, model.frame_s) if i in found else None
            if aligned is None:
                records.append({"words": None, "score": None, "unaligned": text})
            else:
                found_of = {"words": aligned.words, "score": aligned.score}
                records.append(found_of | {"unaligned": one.unknown or None})
        return {"segments": records}

    def _of(self, language):
        from voicekiln.ctc.model import AcousticModel

        if self._model is None or language != self._language:
            self._model = AcousticModel(self.folder, files.codes(language), self.device)
            self._language = language
        return self._model


def romanizer(latin: bool, language: str | None) -> Callable[[str], str | None] | None:
    """Writes a word in Latin letters; None if the model has others, or uroman is not installed."""
    if not latin or extras.missing("uroman"):
        return None
    return lambda word: _uroman()(word, language or "")


@cache
def _uroman():
    from voicekiln.text.romanize import romanizer

    return romanizer("uroman")


def speller(folder: Path) -> Callable[[str, str | None], str]:
    """Letters of a word in a language as the hypotheses of a model write them.

    Args:
        folder: of the acoustic model.
    """

    @cache
    def of(language):
        return romanizer(vocabulary.is_latin(folder, files.codes(language)), language)

    def spell(word, language):
        said, romanize = letters(word), of(language)
        if romanize is None or script_share(said, "LATIN") == 1:
            return said
        return letters(romanize(word) or "")

    return spell


def align(
    table: pd.DataFrame,
    rows: pd.Series,
    store: Store,
    make: Callable[[list[Block]], Iterator[tuple[str, dict]]],
) -> pd.DataFrame:
    """`table` (`tables.TRANSCRIBED`) with `acoustic_score` and `unaligned` of these rows' texts,
    and with `words` where they could be aligned; rows without text get the model's hypothesis.

    Args:
        rows: which of them, as booleans.
        store: takes the blocks.
        make: computes blocks, and yields their keys and records.
    """
    table = table.copy()
    wanted = table[rows]
    blocks, place = plan(wanted, store)
    missing = [block for block in blocks if store.get(block.key) is None]
    log.info("%d segments in %d items, %d items computed", len(wanted), len(blocks), len(missing))
    for key, record in make(missing) if missing else ():
        store.put(key, record)
    records = {block.key: store.require(block.key)["segments"] for block in blocks}
    found = {row: records[key][n] for row, (key, n) in place.items()}
    decoded = {row: one["hypothesis"] for row, one in found.items() if "hypothesis" in one}
    table.loc[list(decoded), "text"] = list(decoded.values())
    table.loc[list(decoded), "text_source"] = "hypothesis"
    aligned = {row: one for row, one in found.items() if "score" in one}
    scores = [np.nan if one["score"] is None else one["score"] for one in aligned.values()]
    table.loc[list(aligned), "acoustic_score"] = scores
    table.loc[list(aligned), "unaligned"] = [one["unaligned"] for one in aligned.values()]
    timed = {row: one["words"] for row, one in found.items() if one["words"]}
    words = [json.dumps(one, ensure_ascii=False) for one in timed.values()]
    table.loc[list(timed), "words"] = words
    return table


def drop_without_text(table: pd.DataFrame, recordings: pd.DataFrame) -> None:
    """Drop the segments without text of recordings without reference texts, in place.

    Args:
        table: `tables.TRANSCRIBED`.
        recordings: `tables.RECORDINGS`.
    """
    known = recordings.loc[recordings["reference_texts"].notna(), ["root", "path"]]
    places = set(known.itertuples(index=False, name=None))
    rows = zip(table["root"], table["path"], strict=True)
    without = pd.Series([row not in places for row in rows], table.index, bool)
    without &= table["text"].isna() & (table["status"] == "keep")
    decisions.drop(table, without, "align", NO_TEXT)


def concerns(table: pd.DataFrame, corpus: str) -> Iterator[str]:
    """Warnings about kept texts that could not be aligned.

    Digits and symbols that were spelled out after the alignment are not reported.

    Args:
        table: `tables.SEGMENTS`, with texts as they are spoken.
        corpus: its name.
    """
    rows = table[(table["status"] == "keep") & table["unaligned"].notna()]
    left = [
        _still_in(*pair) for pair in zip(rows["unaligned"], rows["text"].fillna(""), strict=True)
    ]
    rows = rows.assign(unaligned=left)
    rows = rows[rows["unaligned"] != ""]
    failed = rows[rows["acoustic_score"].isna()]
    partly = rows[rows["acoustic_score"].notna()]
    if len(failed):
        texts, have, audio = ("its text", "has", "its audio has")
        if len(failed) > 1:
            texts, have, audio = ("their texts", "have", "their audio has")
        yield (
            f"{_count(failed, corpus)} could not be aligned by the acoustic model, because {texts} "
            f"{have} more letters than {audio} frames, or no letter that the model knows "
            f"({_where(failed, corpus)}); check {texts}, or take an align.acoustic_model of the "
            f"language{_uroman_remedy(failed)}"
        )
    if len(partly):
        counts = Counter(c for text in partly["unaligned"] for c in text)
        shown = ", ".join(f"{c} ({n})" for c, n in counts.most_common(SHOWN))
        yield (
            f"{_count(partly, corpus)} {'has' if len(partly) == 1 else 'have'} characters for "
            f"which the acoustic model has no token, so that the alignment left them out: {shown} "
            f"({_where(partly, corpus)}); write numbers and symbols as words, or take an "
            "align.acoustic_model that has these characters in its vocab.json"
            f"{_uroman_remedy(partly)}"
        )


def _still_in(unaligned: str, text: str) -> str:
    """The letters of `unaligned`, and its other characters that the text still has."""
    digits = n_digits(text) > 0  # the text has those of ASCII for other ones
    return "".join(c for c in unaligned if c.isalpha() or c in text or (digits and n_digits(c) > 0))


def _count(rows: pd.DataFrame, corpus: str) -> str:
    return f"corpus {corpus}: {len(rows)} kept segment{'s' if len(rows) > 1 else ''}"


def _where(rows: pd.DataFrame, corpus: str) -> str:
    """The first of these segments, and where all are listed."""
    first = rows.iloc[0]
    return (
        f"first: {first['path']}, {first['start'] / first['rate_hz']:.2f} s, "
        f"{first['text'][:60]!r}; column `unaligned` in results/corpora/{corpus}/segments.parquet"
    )


def _uroman_remedy(rows: pd.DataFrame) -> str:
    """Another remedy for letters that a Latin model knows once they are romanised."""
    command = extras.missing("uroman")
    if command is None or script_share("".join(rows["unaligned"]), "LATIN") == 1:
        return ""
    return f"; if its letters are Latin, install uroman, which romanises the texts: {command}"
