"""F5-TTS: f5-tts's CFM around a DiT. The names of `voicekiln.families.Family`, and no others."""

from voicekiln.families.f5.architecture import (
    architecture,
    blocks,
    build,
    freeze_presets,
    no_decay,
)
from voicekiln.families.f5.export import export
from voicekiln.families.f5.loss import LOSS_VERSION, collate, draw, loss
from voicekiln.families.f5.mel import HOP, RATE_HZ, extractor, feature_basis, n_steps, steps_of
from voicekiln.families.f5.proof import prove
from voicekiln.families.f5.reset import check, reset, strip
from voicekiln.families.f5.speak import speak
from voicekiln.families.f5.text import extend, tokenizer
from voicekiln.families.f5.vocoder import decoder
from voicekiln.families.f5.weights import read_weights, vocabulary_tensors

SPEECH_HZ = RATE_HZ
STEPS_PER_S = RATE_HZ / HOP  # 93.75 frames
PROMPTED = False
# f5_tts asks for references below 12 s and cuts longer ones down to between 6 and 12; from short
# ones it infers the pace of the whole text.
REFERENCE_S = (2.0, 5.0, 10.0, 12.0)
FEATURES_VERSION = 1

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
