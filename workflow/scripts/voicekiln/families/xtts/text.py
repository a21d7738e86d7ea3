"""Text -> pieces -> ids, as coqui-tts does it for inference; the tokenizer folder of XTTS.

vocab.json    BPE vocabulary of the package tokenizers; ids as in the release, new ones behind

A text is `[language]` and its words, with `[SPACE]` between them. START and STOP are the model's.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError
from voicekiln.families import Files
from voicekiln.families.xtts import cleaners
from voicekiln.provenance import sha256_json
from voicekiln.tokenizers import bpe, characters

log = logging.getLogger(__name__)

VOCAB = "vocab.json"
SPACE = "[SPACE]"
NEEDED = ("[STOP]", "[UNK]", SPACE, "[START]")
SHOWN = 60  # characters of a text in an error message
LISTED = 5  # segments in an error message

Texts = Mapping[str, tuple[str, str]]  # text and language by segment id


class Pieces:
    """The tokenizer of XTTS; row `id` of the text embedding belongs to a token.

    Attributes:
        content: of vocab.json.
        vocab: id of each token.
        n_tokens: the highest id + 1, as upstream counts them.
        sha256: hash of the content.
    """

    def __init__(self, content: bpe.Content):
        self.content = content
        self.sha256 = sha256_json(content)
        self._encoder = bpe.load(content)
        self.vocab = self._encoder.get_vocab()
        self.n_tokens = max(self.vocab.values()) + 1
        self._unknown = self.vocab[content["model"]["unk_token"]]

    def tokens(self, text: str, language: str) -> list[str]:
        """Tokens of a text, the language's first; unknown ones are the text's characters."""
        return self.split(cleaners.clean(text, language), cleaners.tag(language))

    def encode(self, text: str, language: str) -> list[int]:
        """Ids of a text's tokens.

        Raises:
            UserError: a character, or the language, is not in the vocabulary.
        """
        self.require_tags([language])
        tokens = self.tokens(text, language)
        characters.require_known({f"the text {text[:SHOWN]!r}": tokens}, self.vocab)
        return [self.vocab[token] for token in tokens]

    def require_tags(self, languages: Iterable[str]) -> None:
        """Raise a UserError if a language has no token here."""
        wanted = sorted({cleaners.tag(language) for language in languages})
        if missing := [tag for tag in wanted if tag not in self.vocab]:
            raise UserError(
                f"{', '.join(missing)}: no such language in the vocabulary; train on texts of it"
                " with tokenizer.extend: true, or pin a vocab.json that has it"
            )

    def split(self, cleaned: str, tag: str = "") -> list[str]:
        """Tokens of a text after the cleaners, behind `tag`."""
        return [token for _, token in self._split(cleaned, tag)]

    def words(self, cleaned: str) -> list[tuple[str, ...]]:
        """The same, by word; merges do not cross their borders."""
        found: dict[int, list[str]] = {}
        for word, token in self._split(cleaned, ""):
            found.setdefault(word, []).append(token)
        return [tuple(word) for word in found.values()]

    def _split(self, cleaned: str, tag: str) -> list[tuple[int, str]]:
        whole = f"{tag}{cleaned}".replace(" ", SPACE)
        found = self._encoder.encode(whole)
        parts = zip(found.word_ids, found.ids, found.tokens, found.offsets, strict=True)
        return [
            (word, whole[start:end] if i == self._unknown else token)
            for word, i, token, (start, end) in parts
        ]


def tokenizer(folder: Path) -> Pieces:
    """The tokenizer of a folder that `extend` wrote, of a release, or of an exported voice."""
    return Pieces(bpe.read(Path(folder, VOCAB), NEEDED))


def extend(
    base: Files,
    texts: Texts,
    settings: Mapping[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Write vocab.json: the base's, with the texts' languages, characters and frequent pieces.

    Args:
        base: `vocab` is read.
        texts: text and language of each segment, by segment id.
        settings: section `tokenizer`.
        out: folder for vocab.json.

    Returns:
        the coverage, see `coverage`, with `files`.

    Raises:
        UserError: the vocabulary in use lacks a language or characters of the texts, or changes
            what the base encodes; or a text has more than `max_tokens`.
    """
    old = Pieces(bpe.read(base["vocab"], NEEDED))
    cleaned = {name: clean(name, *text) for name, text in texts.items()}
    languages = sorted({language for _, language in texts.values()})
    if settings["vocab"] is not None:
        new = Pieces(bpe.read(Path(settings["vocab"]), NEEDED))
    elif settings["extend"]:
        new = Pieces(with_texts(old, cleaned.values(), languages, settings))
    else:
        new = old
    new.require_tags(languages)
    before, after = (
        {name: p.split(cleaned[name], cleaners.tag(texts[name][1])) for name in texts}
        for p in (old, new)
    )
    characters.require_known(after, new.vocab)
    proof = prove(old, new, settings["vocab"])
    require_length(after, settings["max_tokens"])
    bpe.write(Path(out, VOCAB), new.content)
    return coverage(old, new, before, after, cleaned) | proof | {"files": [VOCAB]}


def clean(segment: str, text: str, language: str) -> str:
    """`cleaners.clean`; its errors name the segment."""
    try:
        return cleaners.clean(text, language)
    except UserError as error:
        raise UserError(f"segment {segment}: {error}") from error


def with_texts(
    old: Pieces, cleaned: Iterable[str], languages: Iterable[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Content of the extended vocabulary: tags, special tokens, characters, merged pieces."""
    special = [token for token in settings["special_tokens"] if token not in old.vocab]
    if tags := [token for token in special if cleaners.TAG.fullmatch(token)]:
        raise UserError(
            f"tokenizer.special_tokens: {', '.join(tags)} would be taken for a language; expected"
            " names of more than three letters"
        )
    if capital := [token for token in special if token != token.lower()]:
        raise UserError(
            f"tokenizer.special_tokens: expected small letters, got {', '.join(capital)}; texts are"
            " trained and spoken in small letters, so it would never occur"
        )
    cleaned, languages = list(cleaned), sorted({cleaners.tag(language) for language in languages})
    wanted = dict.fromkeys((*languages, *settings["special_tokens"]))
    special = [token for token in wanted if token not in old.vocab]
    known = Pieces(bpe.extended(old.content, special, [], []))
    counts = Counter(t for text in cleaned for t in known.split(text) if t not in known.vocab)
    frequent = [c for c, n in counts.items() if n >= settings["min_character_count"]]
    letters = sorted(frequent, key=lambda c: (-counts[c], c))
    if len(letters) > settings["size"]:
        raise UserError(
            f"tokenizer.size: {settings['size']} new pieces, but the base lacks {len(letters)}"
            " characters of the texts; allow more"
        )
    new, fixed, every = set(letters), neighbours(old), settings["known_characters"]
    rare = set(counts) - new

    def allowed(pair: bpe.Pair) -> bool:
        piece = "".join(pair)
        if piece in known.vocab or pair in fixed or not rare.isdisjoint(pair):
            return False
        return every or not new.isdisjoint(piece)

    words = Counter(word for text in cleaned for word in known.words(text))
    merges = bpe.learn(words, allowed, settings["size"] - len(letters), settings["min_count"])
    return bpe.extended(known.content, [], letters, merges)


def sentences() -> list[tuple[str, str]]:
    """Language and text of the sentences whose encoding must not change, after the cleaners.

    Some of each language of the release. They are kept in the form that the cleaners give them,
    so that Japanese ones need no further packages.
    """
    lines = Path(__file__).with_name("sentences.tsv").read_text(encoding="utf-8").splitlines()
    return [(language, text) for language, text in (line.split("\t") for line in lines)]


def of_base(old: Pieces) -> list[tuple[str, str]]:
    """Tag and text of the sentences in the base's languages, without characters it lacks."""
    found = []
    for language, text in sentences():
        tag = cleaners.tag(language)
        if tag in old.vocab:
            lacking = set(old.split(text)) - set(old.vocab)
            found.append((tag, "".join(c for c in text if c not in lacking)))
    return found


def neighbours(old: Pieces) -> set[bpe.Pair]:
    """Pairs of pieces that are neighbours in these sentences: no merge may join them."""
    words = [word for _, text in of_base(old) for word in old.words(text)]
    return {pair for word in words for pair in pairwise(word)}


def prove(old: Pieces, new: Pieces, pinned: str | None) -> dict[str, Any]:
    """Figures of the proof that an extension does no harm.

    Raises:
        UserError: it does, and the vocabulary is the user's own.
    """
    texts = of_base(old)
    changed = [(t, text) for t, text in texts if old.split(text, t) != new.split(text, t)]
    added = [token for token in new.vocab if token not in old.vocab]
    faults = {
        "tokens of the base with another id or none": bpe.moved(old.content, new.content),
        "sentences of the base's languages that are encoded differently": [
            tag + text for tag, text in changed
        ],
        "new tokens that no text is encoded as": bpe.unreachable(new.content, sorted(added)),
    }
    found = [
        f"{len(items)} {what} ({', '.join(items[:LISTED])})"
        for what, items in faults.items()
        if items
    ]
    if found and pinned is not None:
        raise UserError(
            f"{pinned}: {'; '.join(found)}; expected the base's vocabulary with new tokens and"
            " merges behind the old ones, or leave tokenizer.vocab empty"
        )
    if found:
        raise RuntimeError(f"the extended vocabulary is faulty: {'; '.join(found)}")
    return {
        "old_ids_unchanged": len(old.vocab),
        "base_sentences": {
            "texts": len(texts),
            "languages": len({tag for tag, _ in texts}),
            "changed": len(changed),
        },
    }


def require_length(tokens: Mapping[str, list[str]], limit: int) -> None:
    """Stop if texts have more than `limit` tokens, their language's counted.

    Raises:
        UserError: the longest ones.
    """
    long = sorted((-len(t), name) for name, t in tokens.items() if len(t) > limit)
    if long:
        shown = ", ".join(f"{name} ({-n})" for n, name in long[:LISTED])
        more = f" and {len(long) - LISTED} more" if len(long) > LISTED else ""
        raise UserError(
            f"{len(long)} segments have texts of more than {limit} tokens: {shown}{more}; drop"
            " them (validate.max_chars, validate.max_s, or a correction), cut shorter segments"
            " (segment.max_s), or raise tokenizer.max_tokens"
        )


def coverage(
    old: Pieces,
    new: Pieces,
    before: Mapping[str, list[str]],
    after: Mapping[str, list[str]],
    cleaned: Mapping[str, str],
) -> dict[str, Any]:
    """Coverage of a corpus by the base and by the vocabulary in use.

    Args:
        old: the base's tokenizer.
        new: the run's.
        before: tokens of each text by `old`, by segment id.
        after: tokens by `new`.
        cleaned: the texts.

    Returns:
        what every family reports, and `tokens_per_word` (without language and spaces) and
        `unknown_share`, each `before` and `after`; `merges` and `characters` added, and
        `longest`, the most tokens of a text.
    """
    counts = {"before": characters.count(before), "after": characters.count(after)}
    unknown = {
        "before": share(counts["before"], lambda token: token not in old.vocab),
        "after": share(counts["after"], lambda token: token not in new.vocab),
    }
    n_words = sum(len(text.split()) for text in cleaned.values())
    added = sorted(set(new.vocab) - set(old.vocab), key=new.vocab.get)
    total = counts["after"].total()
    n_texts = len(after)
    return {
        "base_tokens": old.n_tokens,
        "tokens": new.n_tokens,
        "texts": n_texts,
        "text_tokens": total,
        "tokens_per_text": round(total / n_texts, 2) if n_texts else 0.0,
        "used_base_tokens": sum(token in old.vocab for token in counts["after"]),
        "base_coverage": round(1 - unknown["before"], 6),
        "coverage": round(1 - unknown["after"], 6),
        "unknown_share": unknown,
        "tokens_per_word": {
            when: round(spoken(count) / n_words, 4) if n_words else 0.0
            for when, count in counts.items()
        },
        "longest": max(map(len, after.values()), default=0),
        "characters": sum(len(token) == 1 for token in added),
        "merges": len(new.content["model"]["merges"]) - len(old.content["model"]["merges"]),
        "added": [
            (characters.describe(token) if len(token) == 1 else {"token": token})
            | {"id": new.vocab[token], "count": counts["after"][token]}
            for token in added
        ],
        "unknown": characters.unknown(after, new.vocab),
    }


def share(counts: Counter, wanted) -> float:
    """Share of the tokens for which `wanted` is true."""
    total = counts.total()
    return round(sum(n for t, n in counts.items() if wanted(t)) / total, 6) if total else 0.0


def spoken(counts: Counter) -> int:
    """Number of tokens that are neither a language nor a space."""
    return sum(n for token, n in counts.items() if not (token[0] == "[" and len(token) > 1))
