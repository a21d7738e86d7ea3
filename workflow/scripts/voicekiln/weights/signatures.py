"""The kind of model that a foreign checkpoint holds, by its tensor names, for error messages.

Needs no torch, so that it works when the configuration is read.
"""

import re
from collections.abc import Iterable, Mapping

from voicekiln.families import facts
from voicekiln.families.facts import Signature

# Prefixes of tensor names, all of which must be present, of models outside the families; each
# family.yaml has those of its family. The first match counts.
OTHERS = (
    Signature("a Whisper model", ("encoder.blocks.", "decoder.token_embedding.")),
    Signature(
        "a Whisper model of transformers", ("model.encoder.layers.", "model.decoder.layers.")
    ),
    Signature("a Vocos vocoder", ("backbone.", "head.out.")),
    Signature("a vocoder (BigVGAN or HiFi-GAN)", ("conv_pre.", "ups.")),
    Signature("an optimiser's state without a model", ("param_groups", "state")),
    Signature("an optimiser's state without a model", ("optimizer_state_dict",)),
)
WRAPPERS = re.compile(r"^((module|ema_model|_orig_mod)\.)+")
LORA = (".lora_A.", ".lora_B.", ".lora_down.", ".lora_up.")
LISTED_ENTRIES = 8


def looks_like(content: Mapping) -> str | None:
    """The kind of model in a checkpoint's content; see `model_of`."""
    names = []
    for key, value in content.items():
        nested = isinstance(value, Mapping) and key not in ("state", "optimizer_state_dict")
        names += [str(name) for name in value] if nested else [str(key)]
    return model_of(names)


def family_of(names: Iterable[str]) -> str | None:
    """The available family whose checkpoints have tensors of these names, if there is one."""
    found = list(names)
    declared = {family: facts.of(family).signature for family in facts.names()}
    fitting = [
        family
        for family, signature in declared.items()
        if signature is not None and any(signature in name for name in found)
    ]
    return fitting[0] if len(fitting) == 1 else None


def model_of(names: Iterable[str]) -> str | None:
    """The kind of model with tensors of these names, if it is known and cannot be used."""
    names = {WRAPPERS.sub("", name) for name in names}
    families = (one for family in facts.all_facts().values() for one in family.foreign_models)
    for signature in (*families, *OTHERS):
        if all(any(name.startswith(tensor) for name in names) for tensor in signature.tensors):
            return signature.what
    if any(part in name for name in names for part in LORA):
        return "a LoRA adapter, which must be merged into its model first"
    return None


def entries(content: Mapping) -> str:
    """The first entries of a checkpoint, for an error message."""
    listed = [
        f"{name} ({len(value)} entries)" if isinstance(value, Mapping) else str(name)
        for name, value in content.items()
    ]
    more = f" and {len(listed) - LISTED_ENTRIES} more" if len(listed) > LISTED_ENTRIES else ""
    return (", ".join(sorted(listed)[:LISTED_ENTRIES]) + more) or "none"
