"""What a corpus's texts and lengths lack in variety, in words: for the log and the report."""

import pandas as pd

from voicekiln.text.scripts import WITHOUT_SPACES, words

ENOUGH = 50  # segments, to say what is not among them
MANY_WORDS, FEW_DISTINCT = 1000, 200  # plain prose has some 400 distinct ones in its first thousand
SAME_LENGTH = 1.5  # nine tenths of the segments are shorter than the shortest tenth times this
QUESTION = tuple("?؟？⸮՞")
SIGNS = tuple(".,!?:;።፣፤፥፦،؛؟۔。，！？；：、।॥։՞·။។")


def monotony(table: pd.DataFrame) -> list[str]:
    """What the kept segments of `table` (`tables.SEGMENTS`) have too little of; nothing where
    there are too few to tell."""
    kept = table[(table["status"] == "keep") & table["text"].notna()].sort_values("segment_id")
    if len(kept) < ENOUGH:
        return []
    notes = []
    spaced = kept[~kept["language"].isin(WITHOUT_SPACES)]
    said = [word.casefold() for text in spaced["text"] for word in words(text)][:MANY_WORDS]
    if len(said) == MANY_WORDS and len(set(said)) < FEW_DISTINCT:
        notes.append(
            f"few different words: {len(set(said))} among the first {MANY_WORDS}; record texts of "
            "other kinds"
        )
    pairs = zip(kept["text"], kept["language"].fillna(""), strict=True)
    if not any(sign in text for text in kept["text"] for sign in SIGNS):
        notes.append("the texts have no punctuation: pauses and questions cannot be told by it")
    elif not any(asks(text, language) for text, language in pairs):
        notes.append("no text asks a question: the voice will not learn how one sounds")
    seconds = ((kept["end"] - kept["start"]) / kept["rate_hz"]).astype(float)
    short_s, long_s = seconds.quantile(0.1), seconds.quantile(0.9)
    if long_s < SAME_LENGTH * short_s:
        notes.append(
            f"the segments are of nearly one length (most between {short_s:.1f} and {long_s:.1f} "
            "s): the voice may speak shorter and longer sentences badly"
        )
    return notes


def asks(text: str, language: str) -> bool:
    """Whether a question mark is in `text`."""
    signs = (*QUESTION, ";") if language == "el" else QUESTION
    return any(sign in text for sign in signs)
