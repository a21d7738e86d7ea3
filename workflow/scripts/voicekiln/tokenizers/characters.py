"""Vocabularies of characters in a file: one token per line, whose number is the token's id.

The rules are those of upstream's reader (`get_tokenizer` in f5_tts/model/utils.py): the first line
is a space, since id 0 also stands for unknown tokens; every line ends with a newline, since the
reader cuts the last character off each line; no token comes twice, since the number of different
tokens is the size of the embedding.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from voicekiln.errors import UserError
from voicekiln.weights.files import atomic

MAX_BYTES = 16 << 20  # a released vocabulary has 12 kB
SHOWN_CHARACTERS = 40  # shown of a token in an error message
LISTED_SEGMENTS = 5  # ids per token in an error message; coverage.json has all of them


def read_vocab(path: Path) -> list[str]:
    """Tokens in the order of their ids.

    Raises:
        UserError: names the line that breaks a rule.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such vocabulary file")
    if (n_bytes := path.stat().st_size) > MAX_BYTES:
        raise UserError(
            f"{path}: has {n_bytes} bytes, at most {MAX_BYTES} are read; expected one token a line"
        )
    try:
        text = path.read_text(encoding="utf-8")  # universal newlines, as upstream reads it
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}: line {line} is not UTF-8 (byte {error.start}); save the file as UTF-8"
        ) from error
    if not text:
        raise UserError(f"{path}: empty; expected one token a line, the first a space")
    if not text.endswith("\n"):
        n_lines = text.count("\n") + 1
        raise UserError(
            f"{path}: line {n_lines} has no newline at its end, so the upstream"
            " reader would cut its token short; end the file with a newline"
        )
    tokens = text[:-1].split("\n")
    check(tokens, str(path))
    return tokens


def write_vocab(path: Path, tokens: Sequence[str]) -> None:
    """Write the file atomically; the same tokens give the same bytes everywhere."""
    check(tokens, str(path))
    with atomic(path) as temporary:
        temporary.write_bytes("".join(f"{token}\n" for token in tokens).encode("utf-8"))


def check(tokens: Sequence[str], name: str) -> None:
    """Raise a UserError that names the first line of `name` that breaks a rule."""
    if not tokens or tokens[0] != " ":
        first = repr(tokens[0][:SHOWN_CHARACTERS]) if tokens else "nothing"
        raise UserError(f"{name}: line 1: expected a single space, got {first}")
    seen = {}
    for line, token in enumerate(tokens, start=1):
        shown = repr(token[:SHOWN_CHARACTERS])
        if "\n" in token or "\r" in token:
            raise UserError(f"{name}: line {line}: token {shown} holds a line break")
        if token in seen:
            raise UserError(
                f"{name}: line {line}: {shown} is already on line {seen[token]}; each token"
                " may appear only once"
            )
        seen[token] = line


def index(tokens: Sequence[str]) -> dict[str, int]:
    """Id of each token."""
    return {token: i for i, token in enumerate(tokens)}


def count(tokens_by_id: Mapping[str, Iterable[str]]) -> Counter:
    """Number of occurrences of each token."""
    return Counter(token for tokens in tokens_by_id.values() for token in tokens)


def extend(base_tokens: Sequence[str], counts: Mapping[str, int], min_count: int) -> list[str]:
    """The base's tokens as they are, then the missing ones: most frequent first, then by codepoint.

    Args:
        base_tokens: tokens of the base, in the order of their ids.
        counts: occurrences of each token in the training text.
        min_count: tokens with fewer occurrences stay unknown.
    """
    known = set(base_tokens)
    new = [token for token, n in counts.items() if token not in known and n >= min_count]
    tokens = [*base_tokens, *sorted(new, key=lambda token: (-counts[token], token))]
    check(tokens, "extended vocabulary")
    return tokens


def coverage(
    tokens_by_id: Mapping[str, Sequence[str]], base_tokens: Sequence[str], tokens: Sequence[str]
) -> dict:
    """Coverage of a corpus by a vocabulary, the content of coverage.json.

    Args:
        tokens_by_id: tokens of each segment's text, by segment id.
        base_tokens: tokens of the base.
        tokens: tokens of the vocabulary in use, an extension of the base or the base itself.

    Returns:
        counts; `added` and `unknown` list tokens with codepoints, names and occurrences, most
        frequent first; `unknown` with the ids of the segments that hold them.
    """
    counts = count(tokens_by_id)
    known, base = set(tokens), set(base_tokens)
    total = sum(counts.values())
    n_texts = len(tokens_by_id)
    missing = unknown(tokens_by_id, known)
    return {
        "base_tokens": len(base_tokens),
        "tokens": len(tokens),
        "texts": n_texts,
        "text_tokens": total,
        "tokens_per_text": round(total / n_texts, 2) if n_texts else 0.0,
        "used_base_tokens": sum(token in base for token in counts),
        "base_coverage": fraction(sum(n for t, n in counts.items() if t in base), total),
        "coverage": fraction(sum(n for t, n in counts.items() if t in known), total),
        "added": [
            describe(token) | {"id": i, "count": counts[token]}
            for i, token in enumerate(tokens[len(base_tokens) :], start=len(base_tokens))
        ],
        "unknown": missing,
    }


def fraction(part: int, total: int) -> float:
    """part / total; 1 if both are 0."""
    return round(part / total, 6) if total else 1.0


def unknown(tokens_by_id: Mapping[str, Iterable[str]], known: Iterable[str]) -> list[dict]:
    """Tokens outside `known`, most frequent first: description, occurrences, segment ids."""
    known = set(known)
    counts, segments = Counter(), {}
    for name, tokens in tokens_by_id.items():
        for token in tokens:
            if token not in known:
                counts[token] += 1
                segments.setdefault(token, set()).add(name)
    order = sorted(counts, key=lambda token: (-counts[token], token))
    return [
        describe(token) | {"count": counts[token], "segments": sorted(segments[token])}
        for token in order
    ]


def require_known(tokens_by_id: Mapping[str, Iterable[str]], known: Iterable[str]) -> None:
    """Stop if there are unknown tokens.

    Raises:
        UserError: each unknown token with codepoint, name, occurrences and segments.
    """
    missing = unknown(tokens_by_id, known)
    if missing:
        raise UserError(unknown_message(missing))


def unknown_message(missing: list[dict]) -> str:
    """One line for all entries of `unknown`."""
    parts = []
    for entry in missing:
        segments = entry["segments"]
        more = len(segments) - LISTED_SEGMENTS
        listed = ", ".join(segments[:LISTED_SEGMENTS]) + (f" and {more} more" if more > 0 else "")
        parts.append(
            f"{entry['token']!r} ({entry['codepoint']} {entry['name']}), {entry['count']} times,"
            f" in {listed}"
        )
    return (
        f"{len(missing)} characters are not in the vocabulary: {'; '.join(parts)}. Correct these"
        " texts, extend the vocabulary, or pin one with these characters"
    )


def describe(token: str) -> dict:
    """Token, its codepoints (`U+1230`) and their Unicode names."""
    return {
        "token": token,
        "codepoint": " ".join(f"U+{ord(c):04X}" for c in token),
        "name": ", ".join(unicodedata.name(c, "unnamed") for c in token),
    }


def relative(token: str, known: Collection[str]) -> str | None:
    """The known character that a new one is a form of: other case, or without its accent."""
    if len(token) != 1:
        return None
    plain = unicodedata.normalize("NFKD", token)[0]
    for form in (token.lower(), token.upper(), plain, plain.lower(), plain.upper()):
        if form != token and form in known:
            return form
    return None
