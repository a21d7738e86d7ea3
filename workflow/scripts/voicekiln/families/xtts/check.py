"""Every file of an XTTS base, checked before anything runs.

Upstream notices little: it loads a foreign dvae.pth without a word, and finds a vocabulary that
does not fit only when it builds the model.
"""

import logging
from collections.abc import Mapping
from typing import Any

import torch

import voicekiln.upstream  # noqa: F401  (coqui-tts can be imported after it)
from voicekiln.errors import UserError
from voicekiln.families import Files, facts
from voicekiln.families.base import require_files
from voicekiln.families.xtts import dvae, mel, sizes, vocoder
from voicekiln.families.xtts import weights as xtts_weights
from voicekiln.weights import files as checkpoints
from voicekiln.weights.entries import differences, require_numbers

log = logging.getLogger(__name__)

SPEAKER = {"gpt_cond_latent": None, "speaker_embedding": (1, 512, 1)}  # None: of the GPT
COUNTER = ".num_batches_tracked"  # of batch normalisation, whole numbers


def check(base: Files, arch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The GPT's weights, if all files of the base are there, whole, and belong together.

    Args:
        base: all six files.
        arch: from `architecture`.

    Raises:
        UserError: a file is missing, damaged, not what its name says, or of another model.
    """
    require_files(base, facts.of("xtts"))
    model = checked_model(base, arch)
    if not model.rest:
        raise UserError(
            f"{base['model']}: holds the GPT alone; speech needs {xtts_weights.DECODER}* of the"
            " release beside it. Give the release's model.pth as base.model"
        )
    require_decoder(base, model.rest)
    trained = {name: t for name, t in model.rest.items() if not name.endswith(COUNTER)}
    require_numbers(base["model"], trained)
    require_mel_stats(base, model.rest)
    require_dvae(base, arch)
    require_speakers(base, arch)
    return model.gpt


def checked_model(base: Files, arch: Mapping[str, Any]) -> xtts_weights.Content:
    """Content of `base["model"]`, if its GPT fits `arch` and the vocabulary and can be trained."""
    file, vocab = base["model"], base["vocab"]
    model = xtts_weights.read(file)
    checkpoints.require_whole(file)
    n_rows = xtts_weights.n_tokens(model.gpt)
    n_tokens = sizes.n_tokens(sizes.token_ids(vocab))
    if n_rows != n_tokens:
        raise UserError(
            f"{vocab}: has {n_tokens} tokens, but gpt.{xtts_weights.EMBEDDING} in {file} has"
            f" {n_rows} rows; give the vocab.json that this model was trained with as base.vocab"
        )
    sizes.require_shapes(model.gpt, arch, n_rows, str(file))
    require_numbers(file, model.gpt)
    return model


def require_decoder(base: Files, rest: Mapping[str, torch.Tensor]) -> None:
    """Raise unless the waveform decoder and the speaker encoder are those that coqui builds."""
    state = vocoder.build(sizes.read_config(base["config"])).state_dict()
    expected = {xtts_weights.DECODER + name: tensor for name, tensor in state.items()}
    found = {name: t for name, t in rest.items() if name != xtts_weights.MEL_STATS}
    if different := differences(found, expected):
        raise UserError(
            f"{base['model']}: its decoder is not the one that coqui-tts builds for"
            f" {base['config']}: {different}; give the release's model.pth and config.json"
        )


def require_mel_stats(base: Files, rest: Mapping[str, torch.Tensor]) -> None:
    """Raise unless mel_stats.pth is valid; warn if synthesis would use other statistics."""
    stats = mel.read_stats(base["mel_stats"])
    own = rest.get(xtts_weights.MEL_STATS)
    if own is not None and not torch.equal(own.float(), stats):
        log.warning(
            "%s differs from mel_stats in %s: training would condition on other values than"
            " synthesis does; use the two files of one release",
            base["mel_stats"],
            base["model"],
        )


def require_dvae(base: Files, arch: Mapping[str, Any]) -> None:
    """Raise unless dvae.pth is an XTTS's, with as many codes as the GPT predicts."""
    checkpoints.require_whole(base["dvae"])
    tensors = dvae.read(base["dvae"])
    require_numbers(base["dvae"], tensors)
    n_codes = tensors[dvae.CODEBOOK].shape[1]
    if n_codes != arch["n_audio_tokens"] - 2:  # without start and stop
        raise UserError(
            f"{base['dvae']}: {dvae.CODEBOOK} has {n_codes} codes, but gpt.mel_embedding.weight in"
            f" {base['model']} has {arch['n_audio_tokens']} rows, for"
            f" {arch['n_audio_tokens'] - 2} codes with start and stop; give the dvae.pth of the"
            " same release"
        )


def require_speakers(base: Files, arch: Mapping[str, Any]) -> None:
    """Raise unless each entry is a speaker's conditioning latents and speaker embedding."""
    file = base["speakers"]
    checkpoints.require_whole(file)
    latents = (1, arch["cond_latents"], arch["width"])
    for speaker, entry in checkpoints.read(file).items():
        for name, shape in (SPEAKER | {"gpt_cond_latent": latents}).items():
            tensor = entry.get(name) if isinstance(entry, Mapping) else None
            found = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else "nothing"
            if found != shape:
                raise UserError(
                    f"{file}: {speaker}: {name}: expected a tensor {shape}, got {found}; give the"
                    " release's speakers_xtts.pth as base.speakers"
                )
