"""vocab.json of the package tokenizers: BPE vocabularies that grow without changing old encodings.

BPE merges the pair with the lowest rank first. New merges get ranks behind all old ones, so a text
is first split as before, and the new merges then join what is left. They are therefore learnt on
the words as the old vocabulary splits them, which makes every new piece reachable. An old text
changes exactly if its old encoding has two neighbours that a new merge joins: never, if each new
merge has a character that the old vocabulary lacks.
"""

import copy
import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from voicekiln.errors import UserError
from voicekiln.weights.files import atomic

MAX_BYTES = 32 << 20  # XTTS's has 0.4 MB

Pair = tuple[str, str]
Content = Mapping[str, Any]  # of a vocab.json


def read(path: Path, needed: Iterable[str] = ()) -> dict[str, Any]:
    """Content of a vocab.json.

    Args:
        path: the file.
        needed: special tokens that it must have.

    Raises:
        UserError: it is no BPE vocabulary, or lacks one of these tokens.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such vocabulary file")
    if (n_bytes := path.stat().st_size) > MAX_BYTES:
        raise UserError(f"{path}: has {n_bytes} bytes, at most {MAX_BYTES} are read")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind = content["model"]["type"]
        encoder = load(content)
    except Exception as error:  # the package raises plain Exceptions
        raise UserError(
            f"{path}: not a vocabulary of the package tokenizers ({type(error).__name__}: {error});"
            " expected the release's vocab.json or one that was made from it"
        ) from error
    if kind != "BPE":
        raise UserError(f"{path}: expected a vocabulary of the type BPE, got {kind}")
    unknown = content["model"].get("unk_token")
    missing = [t for t in (unknown, *needed) if t is None or encoder.token_to_id(t) is None]
    if missing:
        names = ", ".join("a token for unknown characters" if t is None else t for t in missing)
        raise UserError(f"{path}: lacks {names}; expected the vocab.json of the release")
    ids = encoder.get_vocab().values()
    if len(set(ids)) != len(ids):
        raise UserError(f"{path}: two tokens have the same id; expected the release's vocab.json")
    return content


def load(content: Content) -> Tokenizer:
    """The encoder of a vocabulary."""
    return Tokenizer.from_str(json.dumps(content))


def write(path: Path, content: Content) -> None:
    """Write the file atomically; the same content gives the same bytes everywhere."""
    with atomic(path) as temporary:
        text = json.dumps(content, ensure_ascii=False, indent=2)
        temporary.write_bytes(text.encode("utf-8"))


def extended(
    content: Content, special: Sequence[str], pieces: Sequence[str], merges: Sequence[Pair]
) -> dict[str, Any]:
    """A vocabulary with more tokens, whose ids follow the old ones in the order given.

    Args:
        content: of the old vocabulary.
        special: new tokens that are found in a text before it is split.
        pieces: new characters.
        merges: new merges, by rank.
    """
    new = copy.deepcopy(dict(content))
    model = new["model"]
    next_id = max(load(content).get_vocab().values()) + 1
    for token in (*special, *pieces, *(a + b for a, b in merges)):
        model["vocab"][token] = next_id
        next_id += 1
    new["added_tokens"] += [
        {
            "id": model["vocab"][token],
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token in special
    ]
    # The two notations of the format must not be mixed.
    joined = bool(model["merges"]) and isinstance(model["merges"][0], str)
    model["merges"] += [" ".join(pair) if joined else list(pair) for pair in merges]
    return new


def learn(
    words: Mapping[tuple[str, ...], int],
    allowed: Callable[[Pair], bool],
    max_pieces: int,
    min_count: int,
) -> list[Pair]:
    """Merges by rank: the most frequent pair of neighbours, again and again; of equals the first.

    The result depends on nothing but the counts. A piece gets one merge only; where another pair
    of neighbours would give it as well, they stay apart.

    Args:
        words: occurrences of each word, given as its pieces.
        allowed: whether a pair may be merged.
        max_pieces: most new pieces.
        min_count: fewest occurrences of a pair.
    """
    split = [list(word) for word in words]
    occurrences = list(words.values())
    counts: Counter[Pair] = Counter()
    where: dict[Pair, set[int]] = defaultdict(set)

    def change(i: int, sign: int) -> set[Pair]:
        pairs = [pair for pair in zip(split[i], split[i][1:], strict=False) if allowed(pair)]
        for pair in pairs:
            counts[pair] += sign * occurrences[i]
            where[pair].add(i)
        return set(pairs)

    for i in range(len(split)):
        change(i, +1)
    waiting = [(-n, pair) for pair, n in counts.items()]
    heapq.heapify(waiting)
    merges: list[Pair] = []
    pieces: set[str] = set()
    while waiting and len(pieces) < max_pieces:
        n, best = heapq.heappop(waiting)
        if -n != counts[best] or "".join(best) in pieces:
            continue  # outdated: an entry with the present count is in the heap as well
        if -n < min_count:
            break
        merges.append(best)
        pieces.add("".join(best))
        touched: set[Pair] = set()
        for i in where.pop(best):
            touched |= change(i, -1)
            split[i] = merged(split[i], best)
            touched |= change(i, +1)
        for pair in touched:
            if counts[pair] > 0:
                heapq.heappush(waiting, (-counts[pair], pair))
        del counts[best]
    return merges


def merged(word: Sequence[str], pair: Pair) -> list[str]:
    """The pieces of a word after a merge, from left to right."""
    result: list[str] = []
    i = 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            result.append(word[i] + word[i + 1])
            i += 2
        else:
            result.append(word[i])
            i += 1
    return result


def moved(old: Content, new: Content) -> list[str]:
    """Tokens of the old vocabulary that have no or another id in the new one."""
    ids = load(new).get_vocab()
    return sorted(token for token, i in load(old).get_vocab().items() if ids.get(token) != i)


def unreachable(content: Content, tokens: Iterable[str]) -> list[str]:
    """Those of the tokens that their own text is not encoded as."""
    encoder = load(content)
    return [t for t in tokens if encoder.encode(t).ids != [encoder.token_to_id(t)]]
