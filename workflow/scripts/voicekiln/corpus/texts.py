"""Texts of a corpus: normalised to what is spoken, and romanised."""

import json
import logging

import pandas as pd

from voicekiln.corpus import decisions
from voicekiln.store.tables import missing
from voicekiln.text import unspoken
from voicekiln.text.clean import clean
from voicekiln.text.languages import is_listed, short_code
from voicekiln.text.normalize import TextSettings, normalize
from voicekiln.text.numbers import n_digits
from voicekiln.text.romanize import romanize

log = logging.getLogger("texts")


def spoken(table: pd.DataFrame, settings: TextSettings) -> pd.DataFrame:
    """`table` (`tables.SEGMENTS`) with its texts as they are spoken, and romanised if requested.

    Texts corrected by hand are only cleaned. Numbers with several readings are spelled as in the
    hypothesis, if a reference text has one. With `numbers: drop` segments with digits are dropped,
    except those marked `keep`. Texts without speech ([door creaks]) become null and their segments
    are dropped.
    """
    table = table.copy()
    _report_unlisted(table)
    table["text"] = _texts(table, settings)
    table = _without_speech(table)
    if settings.numbers == "drop":
        table = _without_digits(table)
    table["romanized"] = _second_texts(table, settings.romanize)
    return table


def unspoken_in(
    table: pd.DataFrame, recordings: pd.DataFrame, settings: TextSettings
) -> unspoken.Removed:
    """What is removed because it is not spoken: from kept texts by `spoken`, and from sidecars
    when they were read (`tables.RECORDINGS`)."""
    removed: unspoken.Removed = {}
    texts = table[(table["status"] == "keep") & (table["text_source"] != "corrected").fillna(True)]
    for text in texts["text"].dropna() if settings.normalize else ():
        unspoken.strip(clean(text), settings.keep, removed)
    # the channels of a file share its sidecar
    files = recordings.dropna(subset="unspoken").drop_duplicates(["content_sha256", "unspoken"])
    for found in files["unspoken"]:
        unspoken.merge(removed, json.loads(found))
    return removed


def warn_of_unspoken(removed: unspoken.Removed, corpus: str) -> None:
    """Warn once for each kind of text that was removed, and how to keep it."""
    for kind in unspoken.KINDS:
        if kind in removed:
            n, example = removed[kind]
            log.warning(
                "%s: %d %s removed from the texts because they are not spoken, for example %r; "
                "text.keep: [%s] keeps them",
                corpus,
                n,
                unspoken.KINDS[kind],
                example,
                kind,
            )


def with_digits(table: pd.DataFrame) -> pd.DataFrame:
    """The kept segments whose texts hold digits, and `n_digits`, how many."""
    kept = table[(table["status"] == "keep") & table["text"].notna()]
    counts = kept["text"].map(n_digits).astype("int64")
    return kept.assign(n_digits=counts)[counts > 0]


def _report_unlisted(table):
    """Warn about languages without normalisation rules."""
    kept = table.loc[table["text"].notna(), "language"].dropna()
    for language, n_texts in kept.value_counts().sort_index().items():
        if not is_listed(short_code(language)):
            log.warning(
                "The language %s of %d texts is not in text/languages.tsv, so their numbers, "
                "abbreviations and punctuation are not normalised; check that it is an ISO code",
                language,
                n_texts,
            )


def _texts(table, settings):
    """The texts as they are spoken.

    Only a reference text has an independent hypothesis; digits in a hypothesis itself do not show
    how they were read.
    """
    columns = ("text", "language", "text_source", "hypothesis")
    rows = zip(*(table[column] for column in columns), strict=True)
    return pd.array(
        [
            None
            if missing(text)
            else clean(text)
            if source == "corrected"
            else normalize(text, language, settings, None if missing(hypothesis) else hypothesis)
            for text, language, source, hypothesis in rows
        ],
        dtype=pd.StringDtype(),
    )


def _without_speech(table):
    """Drop the segments whose text became empty."""
    empty = table["text"].eq("").fillna(False).astype(bool)
    table.loc[empty, "text"] = pd.NA
    found = decisions.Decider(table, "correct")
    found.drop(empty, "nothing is spoken")
    return decisions.apply(table, found.decisions())


def _without_digits(table):
    n_digits = with_digits(table)["n_digits"].reindex(table.index)
    found = decisions.Decider(table, "correct")
    found.drop(n_digits.notna(), "numbers not in words", n_digits, 0.0)
    return decisions.apply(table, found.decisions())


def _second_texts(table, tool):
    made = pd.Series(pd.NA, table.index, dtype=pd.StringDtype())
    if tool is None:
        return made
    rows = table[(table["status"] == "keep") & table["text"].notna()]
    made[rows.index] = romanize(zip(rows["text"], rows["language"], strict=True), tool)
    unknown = rows.loc[made[rows.index].isna(), "language"].value_counts()
    if len(unknown):
        counts = ", ".join(f"{language} ({n} texts)" for language, n in unknown.items())
        log.warning(
            "%s cannot romanise %s; set text.romanize: uroman, which reads all scripts",
            tool,
            counts,
        )
    log.info("%d texts romanised by %s", made.notna().sum(), tool)
    return made
