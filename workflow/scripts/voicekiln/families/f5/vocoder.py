"""Mel spectrogram -> waveform: librosa's Griffin-Lim, or Vocos from a folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml

import voicekiln.upstream  # noqa: F401  (vocos can be imported after it)
from voicekiln.audio.compiled import librosa
from voicekiln.errors import UserError
from voicekiln.families import Files
from voicekiln.families.f5.mel import HOP, N_FFT, N_MELS, RATE_HZ, filterbank
from voicekiln.families.mel import linear
from voicekiln.weights import files as checkpoints

Vocoder = Callable[[torch.Tensor], np.ndarray]

GRIFFIN_LIM_STEPS = 60
# Vocos' own configuration names the classes to make; these and no others are made.
VOCOS_FEATURES = "vocos.feature_extractors.MelSpectrogramFeatures"
VOCOS_PARTS = {"backbone": "vocos.models.", "head": "vocos.heads."}


def decoder(base: Files, vocoder: Path | None, device: str) -> Vocoder:
    """A function from a log-mel `[T, N_MELS]` to samples `[(T - 1) * HOP]`, float32, 24 kHz.

    Args:
        base: not used.
        vocoder: folder with Vocos' `config.yaml` and `pytorch_model.bin`; None: Griffin-Lim.
        device: where Vocos runs.

    Raises:
        UserError: the folder does not hold a Vocos for this mel.
    """
    return griffin_lim if vocoder is None else load_vocos(Path(vocoder), device)


def griffin_lim(mel: torch.Tensor) -> np.ndarray:
    """Samples for a log-mel `[T, N_MELS]`, by Griffin-Lim: no weights, audible phase artefacts."""
    return librosa.griffinlim(
        linear(mel.detach().cpu().float().exp().numpy().T, filterbank().numpy().T),
        n_iter=GRIFFIN_LIM_STEPS,
        hop_length=HOP,
        n_fft=N_FFT,
        random_state=0,  # of the first phases; a mel always gives the same samples
    ).astype(np.float32)


def load_vocos(folder: Path, device: str) -> Vocoder:
    """Vocos with the weights of a folder; nothing is downloaded."""
    config_path, weights_path = folder / "config.yaml", folder / "pytorch_model.bin"
    for path in (config_path, weights_path):
        if not path.is_file():
            raise UserError(
                f"{path}: missing; expected a Vocos folder with config.yaml and pytorch_model.bin"
            )
    check_vocos(config_path)

    from vocos import Vocos

    try:
        model = Vocos.from_hparams(str(config_path))
    except Exception as error:  # of the classes' constructors, whose arguments the file has
        raise UserError(
            f"{config_path}: no Vocos can be made from it ({error!r}); download the folder again"
        ) from error
    try:
        model.load_state_dict(checkpoints.read(weights_path))
    except RuntimeError as error:
        raise UserError(f"{weights_path}: does not fit config.yaml beside it ({error})") from error
    model = model.eval().to(device)

    def vocos(mel: torch.Tensor) -> np.ndarray:
        features = mel.detach().float().T[None].to(device)  # [1, N_MELS, T]
        return model.decode(features)[0].cpu().numpy().astype(np.float32)

    return vocos


def check_vocos(path: Path) -> None:
    """Raise if the configuration names foreign classes or features that F5-TTS does not make."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        parts = {part: config[part] for part in ("feature_extractor", *VOCOS_PARTS)}
        names = {part: content["class_path"] for part, content in parts.items()}
        arguments = {part: content.get("init_args", {}) for part, content in parts.items()}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a configuration of Vocos ({error!r})") from error
    for part in parts:
        if not isinstance(names[part], str) or not isinstance(arguments[part], dict):
            raise UserError(
                f"{path}: {part}: expected the name of a class (class_path) and a map of its "
                f"arguments (init_args), got {names[part]!r} and {arguments[part]!r}"
            )
    features = arguments["feature_extractor"]
    if names["feature_extractor"] != VOCOS_FEATURES:
        raise UserError(
            f"{path}: expected the feature extractor {VOCOS_FEATURES}, got"
            f" {names['feature_extractor']}; F5-TTS generates mel features"
        )
    for part, prefix in VOCOS_PARTS.items():
        if not names[part].startswith(prefix):
            raise UserError(f"{path}: {part}: expected a class of {prefix[:-1]}, got {names[part]}")
    expected = {"sample_rate": RATE_HZ, "n_fft": N_FFT, "hop_length": HOP, "n_mels": N_MELS}
    for key, value in expected.items():
        # Vocos' own defaults are the expected values.
        if features.get(key, value) != value:
            raise UserError(f"{path}: {key} is {features[key]}, but F5-TTS's features have {value}")
