"""Convert a Whisper model to the folder that CTranslate2 and faster-whisper load, offline.

The folder contains `model.bin`, `config.json`, `vocabulary.json` (CTranslate2), `tokenizer.json`
and `preprocessor_config.json` (without which faster-whisper downloads a tokenizer).
"""

import json
from pathlib import Path

import numpy as np
import tokenizers
from ctranslate2.converters.utils import fuse_linear
from ctranslate2.specs import common_spec, whisper_spec
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from whisper.audio import HOP_LENGTH, N_FFT, SAMPLE_RATE
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import MultiHeadAttention, ResidualAttentionBlock, Whisper
from whisper.tokenizer import Tokenizer, get_tokenizer

from voicekiln.asr.whisper import load

VERSION = 1


def convert(checkpoint: Path, folder: Path, precision: str = "float16") -> None:
    """Convert a checkpoint into `folder`.

    Args:
        checkpoint: file in openai-whisper's format, or with the tensors of a Hugging Face model.
        folder: an existing, empty folder.
        precision: of the matrices in `model.bin`: float32, float16, int8, ... Released checkpoints
            are float16; on a CPU CTranslate2 computes in float32.
    """
    model = load(checkpoint, "cpu")
    tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
    spec = specification(model)
    set_config(spec.config, model, tokenizer)
    words = hf_tokenizer(tokenizer)
    spec.register_vocabulary([words.id_to_token(i) for i in range(model.dims.n_vocab)])
    spec.validate()
    spec.optimize(quantization=precision)
    words.save(str(folder / "tokenizer.json"))
    preprocessor = {
        "chunk_length": 30,
        "feature_size": model.dims.n_mels,
        "hop_length": HOP_LENGTH,
        "n_fft": N_FFT,
        "sampling_rate": SAMPLE_RATE,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")
    spec.save(str(folder))


def specification(model: Whisper) -> whisper_spec.WhisperSpec:
    """CTranslate2 specification of the model."""
    dims = model.dims
    spec = whisper_spec.WhisperSpec(
        dims.n_audio_layer, dims.n_audio_head, dims.n_text_layer, dims.n_text_head
    )
    encoder, decoder = model.encoder, model.decoder
    set_weights(spec.encoder.conv1, encoder.conv1)
    set_weights(spec.encoder.conv2, encoder.conv2)
    spec.encoder.position_encodings.encodings = array(encoder.positional_embedding)
    set_norm(spec.encoder.layer_norm, encoder.ln_post)
    spec.decoder.embeddings.weight = array(decoder.token_embedding.weight)
    spec.decoder.projection.weight = array(decoder.token_embedding.weight)
    spec.decoder.position_encodings.encodings = array(decoder.positional_embedding)
    set_norm(spec.decoder.layer_norm, decoder.ln)
    for stack, blocks in ((spec.encoder, encoder.blocks), (spec.decoder, decoder.blocks)):
        for layer, block in zip(stack.layer, blocks, strict=True):
            set_block(layer, block)
    return spec


def set_block(layer, block: ResidualAttentionBlock) -> None:
    """Fill a layer: self-attention with one fused projection, cross-attention with two."""
    query, key, value, out = projections(block.attn)
    fuse_linear(layer.self_attention.linear[0], [query, key, value])
    layer.self_attention.linear[1] = out
    set_norm(layer.self_attention.layer_norm, block.attn_ln)
    if block.cross_attn is not None:
        query, key, value, out = projections(block.cross_attn)
        fuse_linear(layer.attention.linear[0], [query])
        fuse_linear(layer.attention.linear[1], [key, value])
        layer.attention.linear[2] = out
        set_norm(layer.attention.layer_norm, block.cross_attn_ln)
    set_weights(layer.ffn.linear_0, block.mlp[0])
    set_weights(layer.ffn.linear_1, block.mlp[2])
    set_norm(layer.ffn.layer_norm, block.mlp_ln)


def projections(attention: MultiHeadAttention) -> list[common_spec.LinearSpec]:
    """Specifications of query, key, value and output projections."""
    specs = []
    for module in (attention.query, attention.key, attention.value, attention.out):
        specs.append(common_spec.LinearSpec())
        set_weights(specs[-1], module)
    return specs


def set_weights(spec, module: nn.Module) -> None:
    spec.weight = array(module.weight)
    if module.bias is not None:
        spec.bias = array(module.bias)


def set_norm(spec, module: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = array(module.weight), array(module.bias)


def array(tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()


def set_config(config: whisper_spec.WhisperConfig, model: Whisper, tokenizer: Tokenizer) -> None:
    """Set the suppressed tokens as upstream does, and the alignment heads."""
    task = DecodingTask(model, DecodingOptions(without_timestamps=True, fp16=False))
    config.suppress_ids = list(task._get_suppress_tokens())
    config.suppress_ids_begin = [*tokenizer.encode(" "), tokenizer.eot]
    config.lang_ids = list(tokenizer.all_language_tokens)
    config.alignment_heads = model.alignment_heads.indices().T.tolist()
    config.add_attribute("n_text_ctx", model.dims.n_text_ctx)


def hf_tokenizer(tokenizer: Tokenizer) -> tokenizers.Tokenizer:
    """Whisper's tiktoken encoding as a byte-level BPE of Hugging Face, with equal ids."""
    encoding = tokenizer.encoding
    letters = bytes_to_letters()

    def written(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    ranks = encoding._mergeable_ranks
    vocab = {written(token): rank for token, rank in ranks.items()}
    merges = [
        tuple(map(written, halves(token, ranks)))
        for token in sorted(ranks, key=ranks.get)
        if len(token) > 1
    ]
    whole = tokenizers.Tokenizer(BPE(vocab=vocab, merges=merges))
    whole.pre_tokenizer = ByteLevel(add_prefix_space=False)
    whole.decoder = ByteLevelDecoder()
    special = sorted(encoding._special_tokens, key=encoding._special_tokens.get)
    whole.add_special_tokens([tokenizers.AddedToken(name, special=True) for name in special])
    return whole


def halves(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The pair whose merge yields `token`: its encoding by earlier merges only."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [ranks.get(a + b, len(ranks)) for a, b in zip(parts, parts[1:], strict=False)]
        at = pairs.index(min(pairs))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


def bytes_to_letters() -> dict[int, str]:
    """A printable letter for each byte, as in GPT-2's vocabulary files (its encoder.py)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + i) for i, byte in enumerate(others)
    }
