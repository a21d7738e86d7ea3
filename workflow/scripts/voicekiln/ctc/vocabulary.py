"""Texts as the tokens of an acoustic model: its letters, its case, its word delimiter."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from voicekiln.asr.hugging_face import read_json
from voicekiln.errors import UserError

VOCAB, TOKENIZER = "vocab.json", "tokenizer_config.json"
DELIMITER = "|"  # of words, unless the tokenizer's configuration names another
SHOWN = 5  # languages of a vocab.json, in messages
MAX_SUBWORDS = 0.5  # fraction of the tokens that may be longer than a character
Romanizer = Callable[[str], str | None]


@dataclass(frozen=True)
class Spelled:
    """A text in tokens.

    Attributes:
        words: what is aligned, as written; a word of punctuation alone is left out.
        tokens: of each word; a word without any has the single token `star`.
        unknown: characters that have no token, in their order; punctuation is not counted.
    """

    words: list[str]
    tokens: list[list[int]]
    unknown: str


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of an acoustic model.

    Attributes:
        ids: column of each token of one character.
        blank: column of CTC's blank.
        delimiter: column of the word delimiter; None if the model has none.
        size: columns; the next one is `star`.
    """

    ids: Mapping[str, int]
    blank: int
    delimiter: int | None
    size: int

    @property
    def star(self) -> int:
        """Column of the token that stands for any sound of any length."""
        return self.size

    @property
    def latin(self) -> bool:
        """Whether all of its letters are Latin, so that other scripts have to be romanised."""
        return _latin(self.ids)

    def spell(self, text: str, romanize: Romanizer | None = None) -> Spelled:
        """`text` in tokens, word by word.

        Args:
            romanize: used for words that hold a letter without a token, if the vocabulary is Latin.
        """
        words, tokens, unknown = [], [], ""
        for word in unicodedata.normalize("NFC", text).split():
            if not any(map(_spoken, word)):
                continue
            found, missing = self._letters(word)
            if romanize and self.latin and any(unicodedata.category(c)[0] == "L" for c in missing):
                other, left = self._letters(romanize(word) or "")
                if other:
                    found, missing = other, left
            words.append(word)
            tokens.append(found or [self.star])
            unknown += missing
        return Spelled(words, tokens, unknown)

    def sequence(self, spelled: Spelled) -> tuple[list[int], list[tuple[int, int]]]:
        """All tokens of a text with delimiters between its words; where each word is in them."""
        sequence: list[int] = []
        places = []
        for tokens in spelled.tokens:
            if sequence and self.delimiter is not None:
                sequence.append(self.delimiter)
            places.append((len(sequence), len(sequence) + len(tokens)))
            sequence += tokens
        return sequence, places

    def _letters(self, word: str) -> tuple[list[int], str]:
        found: list[int] = []
        missing = ""
        for c in word:
            tokens = self._character(c)
            if tokens is None:
                missing += c * _spoken(c)
            else:
                found += tokens
        return found, missing

    def _character(self, c: str) -> list[int] | None:
        """Tokens of a character: its own, of its other case, or of its compatibility form."""
        forms = [c, c.lower(), c.upper()]
        # then without marks: an English model writes cafe
        parts = unicodedata.normalize("NFKD", c)
        bare = "".join(p for p in parts if unicodedata.category(p)[0] != "M")
        forms += [part for whole in (parts, bare) for part in (whole, whole.lower(), whole.upper())]
        for form in forms:
            if form and all(p in self.ids for p in form):
                return [self.ids[p] for p in form]
        return None


def _spoken(c: str) -> bool:
    """Whether a character stands for a sound: letters, digits and symbols, not punctuation."""
    kind = unicodedata.category(c)
    return kind[0] in "LN" or kind in ("Sc", "Sm") or c in "%&@"


def read(folder: Path, blank: int, size: int, language: str | None = None) -> Vocabulary:
    """The vocabulary of the model in `folder`.

    Args:
        folder: with `vocab.json`.
        blank: `pad_token_id` of the model's configuration, which its CTC loss takes for the blank.
        size: columns of the model's output.
        language: whose vocabulary is taken, as `of_language` names it, if the file holds several.

    Raises:
        UserError: it is missing, of another kind, or does not fit the model.
    """
    path = Path(folder) / VOCAB
    tokens = read_json(path)
    if language is not None:
        tokens = tokens[language]
    numbers = [i for i in tokens.values() if type(i) is int and 0 <= i < size]
    if len(numbers) != len(tokens) or len(set(numbers)) != len(numbers):
        raise UserError(
            f"{path}: expected distinct numbers from 0 to {size - 1}, the outputs of the model; "
            "take the vocab.json of the same model"
        )
    if type(blank) is not int or not 0 <= blank < size:
        raise UserError(
            f"{folder}: pad_token_id is {blank!r}, expected 0 to {size - 1} (the blank); take the "
            "config.json of the same model"
        )
    delimiter = _delimiter(Path(folder) / TOKENIZER)
    ordinary = {t: i for t, i in tokens.items() if i != blank and not _special(t)}
    ids = {t: i for t, i in ordinary.items() if len(t) == 1 and t != delimiter}
    if not ids or len(ids) < (1 - MAX_SUBWORDS) * len(ordinary):
        raise UserError(
            f"{path}: {len(ids)} of {len(ordinary)} tokens are single characters; expected the "
            "letters of a CTC model, not pieces of words"
        )
    return Vocabulary(ids, blank, tokens.get(delimiter), size)


def of_language(folder: Path, codes: tuple[str, ...]) -> str | None:
    """The part of `vocab.json` that belongs to a language; None if the file is of one alone.

    Args:
        codes: of the language, any of which may name the part (`amh`, `uzb-script_latin`).

    Raises:
        UserError: the file has no part for the language, or several.
    """
    path = Path(folder) / VOCAB
    tokens = read_json(path)
    if not any(isinstance(value, dict) for value in tokens.values()):
        return None
    names = [name for name in tokens if name in codes]
    names = names or sorted(
        name for name in tokens if name.startswith(tuple(f"{c}-" for c in codes))
    )
    if len(names) == 1 and isinstance(tokens[names[0]], dict):
        return names[0]
    if len(names) > 1:
        raise UserError(
            f"{path} has several vocabularies for {codes[0]} ({', '.join(names)}); remove all but "
            "one of them from the file, or take a model of that language alone"
        )
    shown = ", ".join(list(tokens)[:SHOWN]) + ", ..." * (len(tokens) > SHOWN)
    language = codes[0] if codes else "texts without a language"
    raise UserError(
        f"{path} has vocabularies for {shown}, none for {language}; take {VOCAB} of the original "
        "repository, or another model"
    )


def is_latin(folder: Path, codes: tuple[str, ...]) -> bool:
    """Whether the letters of a model for this language are Latin, by its `vocab.json` alone."""
    part = of_language(folder, codes)
    tokens = read_json(Path(folder) / VOCAB)
    return _latin(token for token in (tokens if part is None else tokens[part]) if len(token) == 1)


def _latin(characters: Iterable[str]) -> bool:
    letters = [c for c in characters if unicodedata.category(c)[0] == "L"]
    return bool(letters) and all(unicodedata.name(c, "").startswith("LATIN") for c in letters)


def _delimiter(path: Path) -> str:
    named = read_json(path).get("word_delimiter_token") if path.is_file() else None
    if isinstance(named, dict):
        named = named.get("content")
    return named if isinstance(named, str) and named else DELIMITER


def _special(token: str) -> bool:
    return len(token) > 2 and token[0] + token[-1] in ("<>", "[]")
