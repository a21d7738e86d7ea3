"""Text -> tokens -> ids, exactly as f5_tts does it for inference; the tokenizer folder of F5-TTS.

vocab.txt    one token per line, in the order of their ids
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import voicekiln.upstream  # noqa: F401  (f5_tts can be imported after it)
from voicekiln.families import Files
from voicekiln.provenance import sha256_json
from voicekiln.tokenizers import characters

VOCAB = "vocab.txt"


def split(texts: Iterable[str]) -> list[list[str]]:
    """Tokens of each text: characters, pinyin for Chinese, some quotes and the semicolon replaced.

    This is upstream's `convert_char_to_pinyin`, quirks included (a space may appear inside a word
    with accents), because the released models were trained on its output.
    """
    # Imported here: it takes seconds, and only callers that need tokens pay for it.
    from f5_tts.model.utils import convert_char_to_pinyin

    return convert_char_to_pinyin(list(texts))


class Characters:
    """The tokenizer of F5-TTS; row `id + 1` of the embedding belongs to a token.

    Attributes:
        vocab: the tokens in the order of their ids.
        n_tokens: their number.
        sha256: hash of the list.
    """

    def __init__(self, tokens: Sequence[str]):
        self.vocab = list(tokens)
        self.n_tokens = len(self.vocab)
        self.sha256 = sha256_json(self.vocab)
        self._ids = characters.index(self.vocab)

    def tokens(self, text: str, language: str = "") -> list[str]:
        """Tokens of a text, known or not; the language makes no difference."""
        return split([text])[0]

    def encode(self, text: str, language: str = "") -> list[int]:
        """Ids of a text's tokens.

        Raises:
            UserError: a token is not in the vocabulary. (Upstream would read it as a space.)
        """
        tokens = self.tokens(text, language)
        characters.require_known({f"the text {text[:SHOWN]!r}": tokens}, self._ids)
        return [self._ids[token] for token in tokens]


SHOWN = 60  # characters of a text in an error message


def tokenizer(folder: Path) -> Characters:
    """The tokenizer of a folder that `extend` wrote, or of an exported voice."""
    return Characters(characters.read_vocab(Path(folder, VOCAB)))


def extend(
    base: Files,
    texts: Mapping[str, tuple[str, str]],
    settings: Mapping[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Write vocab.txt: the base's tokens, then the missing ones by frequency.

    Args:
        base: `vocab` is read.
        texts: text and language of each segment, by segment id.
        settings: section `tokenizer`.
        out: folder for vocab.txt.

    Returns:
        the coverage, see `characters.coverage`, with `files`.

    Raises:
        UserError: the vocabulary in use lacks tokens of the texts.
    """
    base_tokens = characters.read_vocab(base["vocab"])
    parts = split(text for text, _ in texts.values())
    tokens = dict(zip(texts, parts, strict=True))
    if settings["vocab"] is not None:
        extended = characters.read_vocab(Path(settings["vocab"]))
    elif settings["extend"]:
        extended = characters.extend(base_tokens, characters.count(tokens), settings["min_count"])
    else:
        extended = base_tokens
    characters.require_known(tokens, extended)
    characters.write_vocab(Path(out, VOCAB), extended)
    return characters.coverage(tokens, base_tokens, extended) | {"files": [VOCAB]}
