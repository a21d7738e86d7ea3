"""Long readings of made-up texts, with the mistakes of a recogniser."""

import random

SYLLABLES = [
    c + v
    for c in ("b", "d", "f", "gr", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v")
    for v in "aeiou"
]


def chapter(n_words: int, seed: int = 0) -> list[str]:
    """A text's words, frequent and rare ones as in a language (Zipf), with capitals and marks."""
    rng = random.Random(f"words:{seed}")
    lexicon = sorted(
        {"".join(rng.choices(SYLLABLES, k=rng.choice([1, 1, 2, 2, 3, 4]))) for _ in range(2500)}
    )
    rng.shuffle(lexicon)
    words = rng.choices(lexicon, [1 / (i + 1) for i in range(len(lexicon))], k=n_words)
    marks = rng.choices(["", "", "", "", "", ",", ".", " —", "!”"], k=n_words)
    return [(w.title() if rng.random() < 0.1 else w) + m for w, m in zip(words, marks, strict=True)]


def plain(words: list[str]) -> list[str]:
    """The words without capitals and marks."""
    return ["".join(c for c in word if c.isalnum()).lower() for word in words]


def cut(words: list[str], seed: int = 0) -> list[tuple[int, int]]:
    """Stretches of 3 to 30 words, first and last (exclusive), as pauses would cut them."""
    rng = random.Random(f"cut:{seed}")
    edges = [0]
    while edges[-1] < len(words):
        edges.append(min(len(words), edges[-1] + rng.randint(3, 30)))
    return list(zip(edges, edges[1:], strict=False))


def misheard(words: list[str], share: float, lexicon: list[str], seed: str) -> str:
    """`words` without their marks; `share` of them replaced (by another, or by part of themselves),
    left out, or followed by a word that is not there."""
    rng = random.Random(f"heard:{seed}")
    said = []
    for word in plain(words):
        kind = rng.random() / share if share else 2
        if kind < 0.4:
            said.append(rng.choice(lexicon))
        elif kind < 0.6:
            said.append(word[: max(1, len(word) // 2)] + rng.choice("aeiou"))
        elif kind < 0.8:
            continue
        elif kind < 1:
            said += [word, rng.choice(lexicon)]
        else:
            said.append(word)
    return " ".join(said)
