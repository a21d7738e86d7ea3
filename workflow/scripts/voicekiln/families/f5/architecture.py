"""F5-TTS architectures, the released ones by name and others by their values; and the model."""

import warnings
from collections.abc import Mapping, Sequence

import torch

import voicekiln.upstream  # noqa: F401  (f5_tts can be imported after it)
from voicekiln.errors import UserError
from voicekiln.families import Files
from voicekiln.families.f5.mel import MEL_SPEC, N_MELS

# Arguments of f5_tts.model.DiT with upstream's defaults; `dim` (None) is required.
# `text_num_embeds` and `mel_dim` are not here: they follow from vocabulary and features.
DIT = {
    "dim": None,
    "depth": 8,
    "heads": 8,
    "dim_head": 64,
    "dropout": 0.1,
    "ff_mult": 4,
    "text_dim": None,
    "text_mask_padding": True,
    "text_embedding_average_upsampling": False,
    "qk_norm": None,
    "conv_layers": 0,
    "pe_attn_head": None,
    "attn_backend": "torch",
    "attn_mask_enabled": False,
    "long_skip_connection": False,
    "checkpoint_activations": False,
}

BASE = {"dim": 1024, "depth": 22, "heads": 16, "ff_mult": 2, "text_dim": 512, "conv_layers": 4}
SMALL = {"dim": 768, "depth": 18, "heads": 12, "ff_mult": 2, "text_dim": 512, "conv_layers": 4}
# The first releases let padding through the text blocks and rotate one attention head only. Their
# tensors have the shapes of v1: a wrong choice loads without an error and speaks badly.
FIRST = {"text_mask_padding": False, "pe_attn_head": 1}
V1 = {"text_mask_padding": True, "pe_attn_head": None}

RELEASED = {
    "F5TTS_Base": BASE | FIRST,
    "F5TTS_Small": SMALL | FIRST,
    "F5TTS_v1_Base": BASE | V1,
    "F5TTS_v1_Small": SMALL | V1,
}


def architecture(model: str | Mapping | None, base: Files | None = None) -> dict:
    """All values of the transformer, with `backbone`, for a released name or explicit values.

    The base files are not read: released models of the same shapes differ in values.

    Raises:
        UserError: unknown name, backbone or value name; `dim` missing; values that exclude each
            other.
    """
    if isinstance(model, str):
        if model not in RELEASED:
            raise UserError(
                f"base.model: {model!r} is not a released F5-TTS configuration; expected one of"
                f" {', '.join(RELEASED)}, or the architecture's values"
            )
        given = RELEASED[model]
    else:
        given = dict(model or {})
        backbone = given.pop("backbone", "DiT")
        if backbone != "DiT":
            raise UserError(f"base.model.backbone: expected DiT, got {backbone!r}")
    unknown = sorted(set(given) - set(DIT))
    if unknown:
        raise UserError(f"base.model: unknown {', '.join(unknown)}; known are {', '.join(DIT)}")
    values = DIT | given
    if values["dim"] is None:
        raise UserError("base.model.dim: the width of the transformer is missing")
    if values["text_embedding_average_upsampling"] and not values["text_mask_padding"]:
        raise UserError(
            "base.model: text_embedding_average_upsampling needs text_mask_padding: true"
        )
    return {"backbone": "DiT"} | values


def build(arch: Mapping, n_tokens: int) -> torch.nn.Module:
    """A CFM around a DiT with random weights, as f5_tts builds it.

    Args:
        arch: from `architecture`.
        n_tokens: number of tokens in vocab.txt; the embedding has one row more, for the filler.
    """
    # Imported here: it takes seconds, and only callers that need a model pay for it.
    from f5_tts.model import CFM, DiT

    values = {name: value for name, value in arch.items() if name != "backbone"}
    with warnings.catch_warnings():
        # The mask belongs to the base's architecture; the user cannot change it.
        warnings.filterwarnings("ignore", r"attn_mask_enabled=True with attn_backend='torch'")
        transformer = DiT(**values, text_num_embeds=n_tokens, mel_dim=N_MELS)
    return CFM(transformer=transformer, mel_spec_kwargs=MEL_SPEC)


def shapes(arch: dict, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of the model, by name; allocates no memory."""
    with torch.device("meta"):
        model = build(arch, vocab_size)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def count_parameters(arch: dict, vocab_size: int) -> int:
    """Number of parameters of the model, without buffers (of the rotary embedding)."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(arch, vocab_size).parameters())


def dimensions(shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Values of an architecture, as far as the shapes of its tensors determine them."""
    values = {}

    def numbered(prefix: str) -> int:
        return len(
            {name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix)}
        )

    values["depth"] = numbered("transformer.transformer_blocks.")
    values["conv_layers"] = numbered("transformer.text_embed.text_blocks.")
    for value, tensor, axis, factor in (
        ("dim", "transformer.proj_out.weight", 1, 1),
        ("text_dim", "transformer.text_embed.text_embed.weight", 1, 1),
        ("dim_head", "transformer.rotary_embed.inv_freq", 0, 2),
        ("heads", "transformer.transformer_blocks.0.attn.to_q.weight", 0, 1),
        ("ff_mult", "transformer.transformer_blocks.0.ff.ff.0.0.weight", 0, 1),
    ):
        shape = shapes.get(tensor, ())
        if len(shape) > axis:
            values[value] = factor * shape[axis]
    for value, per in (("heads", "dim_head"), ("ff_mult", "dim")):
        if value in values:
            if values.get(per):
                values[value] //= values[per]
            else:
                del values[value]
    return values


def no_decay(model: torch.nn.Module) -> list[str]:
    """None: f5_tts's Trainer decays every parameter."""
    return []


def freeze_presets(model: torch.nn.Module) -> dict[str, list[str]]:
    """Patterns of parameter names, by their names in `train.freeze`."""
    blocks = "transformer.transformer_blocks"
    half = len(model.get_submodule(blocks)) // 2
    return {
        "text": ["transformer.text_embed.*"],
        "blocks": [f"{blocks}.*"],
        "first_half": [f"{blocks}.{i}.*" for i in range(half)],
    }


def blocks(model: torch.nn.Module) -> Sequence[torch.nn.Module]:
    """The transformer blocks, all of one kind; nearly all of the time is spent in them."""
    return model.transformer.transformer_blocks
