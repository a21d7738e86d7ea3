"""XTTS v2: coqui-tts's GPT. The names of `voicekiln.families.Family`, and no others."""

from voicekiln.families.xtts.check import check
from voicekiln.families.xtts.export import export
from voicekiln.families.xtts.loss import LOSS_VERSION, collate, draw, loss
from voicekiln.families.xtts.mel import (
    CODE_SAMPLES,
    FEATURES_VERSION,
    RATE_HZ,
    extractor,
    feature_basis,
    n_steps,
    steps_of,
)
from voicekiln.families.xtts.model import blocks, build, freeze_presets, no_decay
from voicekiln.families.xtts.proof import prove
from voicekiln.families.xtts.reset import reset, strip
from voicekiln.families.xtts.sizes import architecture
from voicekiln.families.xtts.speak import speak
from voicekiln.families.xtts.text import extend, tokenizer
from voicekiln.families.xtts.vocoder import SPEECH_HZ, decoder
from voicekiln.families.xtts.weights import read_weights, vocabulary_tensors

STEPS_PER_S = RATE_HZ / CODE_SAMPLES  # 21.53 codes
PROMPTED = False
# coqui-tts uses the first 10 s of a reference for the speaker's embedding, and 12 s for the GPT,
# in chunks of 4 s.
REFERENCE_S = (3.0, 6.0, 12.0, 30.0)

__all__ = [
    "FEATURES_VERSION",
    "LOSS_VERSION",
    "PROMPTED",
    "RATE_HZ",
    "REFERENCE_S",
    "SPEECH_HZ",
    "STEPS_PER_S",
    "architecture",
    "blocks",
    "build",
    "check",
    "collate",
    "decoder",
    "draw",
    "export",
    "extend",
    "extractor",
    "feature_basis",
    "freeze_presets",
    "loss",
    "n_steps",
    "no_decay",
    "prove",
    "read_weights",
    "reset",
    "speak",
    "steps_of",
    "strip",
    "tokenizer",
    "vocabulary_tensors",
]
