"""F5-TTS (f5-tts's CFM around a DiT). This module is the family interface; others follow it.

Names and signatures that the steps and the training engine use, and nothing beyond them:

    RATE_HZ, HOP, N_MELS         samples a second, samples a frame, values a frame
    REFERENCE_S                  lengths of a reference clip, as `reference.Range` takes them
    VERSION                      of the features; raised when they change for the same clip
    architecture(model)          all constructor values, from a released name or explicit values
    build(arch, vocab_size)      model with random weights
    read_base(path)              Base(weights, source, training_state) of any checkpoint
    check_base(path, vocab, arch)   the same Base, if a training can start from it
    read_weights(path)           its weights alone, `{name: tensor}`
    load(model, weights)         strictly
    vocabulary_tensors(weights)  names of the tensors with a row per token
    reset(base, vocab_base, vocab_new, out, seed, arch)   writes the reset base; dict for reset.json
    strip(checkpoint, out)       writes its weights without training state; dict of what was done
    split(texts)                 tokens (strings) of each text
    tokens(texts, vocab, ids)    token ids of each text, `[n_tokens]` int64
    n_frames(n_samples)          frames of a clip at RATE_HZ
    checkpoint_activations(model)  for `train.gradient_checkpointing`
    compile_blocks(model)        for `train.compile`
    freeze_presets(model)        patterns of parameters by name, for `train.freeze`
    LOSS_VERSION                 raised when the same draws give another loss
    Sample(id, features, tokens) a clip as the model takes it
    draw(sample, seed, update, drops)   what is random about it in an update
    collate(samples, draws, pad_to)     a batch; `totals`: what its loss is divided by, by name, as
                                 in `families.LOSSES`
    loss(model, batch, totals)   a batch's share of the update's loss, by name
    clip_features(samples, ...)  `[T, N_MELS]` float32
    load_vocoder(folder)         mel -> samples; None: Griffin-Lim
    speak(model, vocab, ...)     float32 samples at RATE_HZ, after a clip or its features
    export(folder, ...)          writes the voice and its MANIFEST.json
    prove(folder, manifest)      loads it and speaks with upstream's code; seconds spoken
"""

from voicekiln.families.f5.architecture import (
    architecture,
    build,
    checkpoint_activations,
    compile_blocks,
    freeze_presets,
)
from voicekiln.families.f5.export import export
from voicekiln.families.f5.loss import LOSS_VERSION, Sample, collate, draw, loss
from voicekiln.families.f5.mel import HOP, N_MELS, RATE_HZ, clip_features, n_frames
from voicekiln.families.f5.proof import prove
from voicekiln.families.f5.reset import check_base, reset, strip
from voicekiln.families.f5.speak import speak
from voicekiln.families.f5.text import split, tokens
from voicekiln.families.f5.vocoder import load_vocoder
from voicekiln.families.f5.weights import (
    Base,
    load,
    n_tokens,
    read_base,
    read_weights,
    vocabulary_tensors,
)

VERSION = 1
# f5_tts asks for references below 12 s and cuts longer ones down to between 6 and 12; from short
# ones it infers the pace of the whole text.
REFERENCE_S = (2.0, 5.0, 10.0, 12.0)

__all__ = [
    "HOP",
    "LOSS_VERSION",
    "N_MELS",
    "RATE_HZ",
    "REFERENCE_S",
    "VERSION",
    "Base",
    "Sample",
    "architecture",
    "build",
    "check_base",
    "checkpoint_activations",
    "clip_features",
    "collate",
    "compile_blocks",
    "draw",
    "export",
    "freeze_presets",
    "load",
    "load_vocoder",
    "loss",
    "n_frames",
    "n_tokens",
    "prove",
    "read_base",
    "read_weights",
    "reset",
    "speak",
    "split",
    "strip",
    "tokens",
    "vocabulary_tensors",
]
