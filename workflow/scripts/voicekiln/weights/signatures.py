"""What a checkpoint of something else is, by the names in it, so that an error can say so.

Needs no torch, so that it can be asked when the configuration is read.
"""

import re
from collections.abc import Iterable, Mapping

# Beginnings of names that all have to be there; the first row that fits counts. XTTS's trainer
# writes `xtts.` before its names, whose dots without it are these.
SIGNS = (
    ("an XTTS model", ("hifigan_decoder.",)),
    ("an XTTS model", ("xtts.",)),
    ("the GPT of an XTTS or IndexTTS model", ("gpt.h.", "mel_embedding.")),
    ("a DVAE, as XTTS has one", ("codebook.", "decoder.")),
    ("a Whisper model", ("encoder.blocks.", "decoder.token_embedding.")),
    ("a Whisper model of transformers", ("model.encoder.layers.", "model.decoder.layers.")),
    ("a Vocos vocoder", ("backbone.", "head.out.")),
    ("a vocoder (BigVGAN or HiFi-GAN)", ("conv_pre.", "ups.")),
    (
        "an E2-TTS model (UNetT), of which only DiT models are trained here",
        ("transformer.layers.",),
    ),
    ("an optimiser's state without a model", ("param_groups", "state")),
    ("an optimiser's state without a model", ("optimizer_state_dict",)),
)
WRAPPERS = re.compile(r"^((module|ema_model|_orig_mod)\.)+")
LORA = (".lora_A.", ".lora_B.", ".lora_down.", ".lora_up.")
LISTED_ENTRIES = 8


def looks_like(content: Mapping) -> str | None:
    """The model that the content of a checkpoint is of; see `model_of`."""
    names = []
    for key, value in content.items():
        nested = isinstance(value, Mapping) and key not in ("state", "optimizer_state_dict")
        names += [str(name) for name in value] if nested else [str(key)]
    return model_of(names)


def model_of(names: Iterable[str]) -> str | None:
    """The model that has tensors of these names, where it is known and cannot be used."""
    names = {WRAPPERS.sub("", name) for name in names}
    for what, signs in SIGNS:
        if all(any(name.startswith(sign) for name in names) for sign in signs):
            return what
    if any(part in name for name in names for part in LORA):
        return "a LoRA adapter, which has to be merged into its model first"
    return None


def entries(content: Mapping) -> str:
    """The first entries of a checkpoint and their number, for a message."""
    listed = [
        f"{name} ({len(value)} entries)" if isinstance(value, Mapping) else str(name)
        for name, value in content.items()
    ]
    more = f" and {len(listed) - LISTED_ENTRIES} more" if len(listed) > LISTED_ENTRIES else ""
    return (", ".join(sorted(listed)[:LISTED_ENTRIES]) + more) or "none"
