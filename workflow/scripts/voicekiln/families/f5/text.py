"""Text -> tokens -> ids, exactly as f5_tts does it when it speaks."""

from collections.abc import Iterable

import torch

import voicekiln.upstream  # noqa: F401  (f5_tts can be imported after it)
from voicekiln.tokenizers import vocab as vocabularies


def split(texts: Iterable[str]) -> list[list[str]]:
    """Tokens of each text: characters, pinyin for Chinese, some quotes and the semicolon replaced.

    This is upstream's `convert_char_to_pinyin`, quirks included (a space may appear inside a word
    with accents), because the released models were trained on its output.
    """
    # Here and not above: seconds of imports that only those pay who need tokens.
    from f5_tts.model.utils import convert_char_to_pinyin

    return convert_char_to_pinyin(list(texts))


def tokens(
    texts: Iterable[str], vocab: dict[str, int], ids: Iterable[str] | None = None
) -> list[torch.Tensor]:
    """Token ids of each text, `[n_tokens]` int64; row `id + 1` of the embedding belongs to them.

    Args:
        texts: the texts.
        vocab: id of each token.
        ids: names of the texts for the error message; their position where not given.

    Raises:
        UserError: a token is not in the vocabulary. (Upstream would read it as a space.)
    """
    parts = split(texts)
    names = [f"text {i}" for i in range(len(parts))] if ids is None else list(ids)
    vocabularies.require_known(dict(zip(names, parts, strict=True)), vocab)
    return [torch.tensor([vocab[t] for t in part], dtype=torch.int64) for part in parts]
