"""Model families: the interface that each of them implements, and `get`.

A family is a package `families/<name>/` whose `__init__` has the names of `Family`, and a file
`families/<name>/family.yaml` with what the configuration needs (`families.facts`). Nothing outside
`families/` names a family. Importing this module needs no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from voicekiln.errors import UserError
from voicekiln.families import facts

if TYPE_CHECKING:
    import numpy as np
    import torch

Files = Mapping[str, Path]  # the run's base files, by their names in family.yaml
Weights = dict[str, "torch.Tensor"]  # tensors of a model, by name
Arrays = dict[str, "torch.Tensor"]  # features of one clip, by name
Batch = dict[str, Any]  # tensors with the clips as first dimension, and `totals`, see `collate`


@dataclass(frozen=True)
class Clip:
    """A clip as a model takes it.

    Attributes:
        id: segment id, unique in the run.
        text: what is spoken in it.
        language: code of the text's language.
        text_ids: `[N]` int64, `Tokenizer.encode` of the text.
        arrays: its features, by the names that the family's extractor gives them.
        prompt: another clip of the same speaker if the family is `PROMPTED`, otherwise None.
        samples: `[n]` float32 at the family's `RATE_HZ`, for the prompt of `speak`; None if only
            the features are at hand, as in a training.
    """

    id: str
    text: str
    language: str
    text_ids: torch.Tensor
    arrays: Arrays
    prompt: Clip | None = None
    samples: torch.Tensor | None = None


class Tokenizer(Protocol):
    """Text -> token ids, with the vocabulary of one run.

    Attributes:
        n_tokens: size of the vocabulary.
        sha256: hash of the vocabulary; another one makes another run.
    """

    n_tokens: int
    sha256: str

    def tokens(self, text: str, language: str) -> list[str]:
        """Tokens of a text, known or not; coverage and tests count them."""

    def encode(self, text: str, language: str) -> list[int]:
        """Ids of a text's tokens.

        Raises:
            UserError: the text has tokens that are not in the vocabulary; each is named.
        """


class Family(Protocol):
    """Interface of a family package; each function is called by a step or the training loop.

    `base` are the run's base files. Of a run that starts from another run's voice, `check` and
    `reset` receive the files of the voice, all others those of the release that the chain of runs
    starts from.

    Attributes:
        RATE_HZ: sample rate of the audio that `extractor` takes.
        SPEECH_HZ: sample rate of the audio that `speak` returns.
        STEPS_PER_S: sequence steps in one second of audio; converts batch sizes from seconds.
        PROMPTED: whether a clip needs a prompt, another clip of its speaker.
        REFERENCE_S: lengths of a reference clip in seconds: worst below, good from, good to,
            worst above (`voice.references.Range`).
        FEATURES_VERSION: raised when the same clip gets other features.
        LOSS_VERSION: raised when the same draws give another loss.
    """

    RATE_HZ: int
    SPEECH_HZ: int
    STEPS_PER_S: float
    PROMPTED: bool
    REFERENCE_S: tuple[float, float, float, float]
    FEATURES_VERSION: int
    LOSS_VERSION: int

    # Text

    def tokenizer(self, folder: Path) -> Tokenizer:
        """The tokenizer in a folder that `extend` wrote."""

    def extend(
        self,
        base: Files,
        texts: Mapping[str, tuple[str, str]],
        settings: Mapping[str, Any],
        out: Path,
    ) -> dict[str, Any]:
        """Write the tokenizer folder: the base's vocabulary and what the texts need beside it.

        Ids of the base's tokens stay as they are.

        Args:
            base: the base files that belong to the tokenizer (`tokenizer` in family.yaml).
            texts: text and language of each segment, by segment id.
            settings: section `tokenizer`.
            out: folder for the files; it exists.

        Returns:
            the content of coverage.json: `base_tokens` and `tokens` (sizes), `texts`, `text_tokens`
            (counts), `base_coverage` and `coverage` (fractions of the text's tokens), `added` and
            `unknown` (for each token `token` and `count`, for characters also `codepoint` and
            `name`), and `files`, the names of the files in `out`.

        Raises:
            UserError: the settings forbid a token that the texts need.
        """

    # Base

    def architecture(self, model: str | Mapping[str, Any] | None, base: Files) -> dict[str, Any]:
        """All constructor values of the model, apart from the size of the vocabulary.

        Args:
            model: the value of `base.model`; None if the family has no such key.
            base: of the release or of a voice, which yield the same values.

        Raises:
            UserError: unknown name or values, or files that contradict each other.
        """

    def check(self, base: Files, arch: Mapping[str, Any]) -> Weights:
        """The weights of a base that a training can start from.

        Raises:
            UserError: files that are damaged, do not belong together or do not fit `arch`.
        """

    def reset(
        self,
        base: Files,
        arch: Mapping[str, Any],
        tokenizer: Tokenizer,
        settings: Mapping[str, Any],
        texts: Sequence[tuple[str, str]],
        out: Path,
    ) -> dict[str, Any]:
        """Write the weights that training starts from: no training state, rows for new tokens.

        Args:
            base: the run's base files.
            arch: from `architecture`.
            tokenizer: the run's.
            settings: section `reset`: `seed` of the new rows, and `new_rows`, how they start.
            texts: a few held-out sentences and their languages, to measure how the new rows start;
                may be empty.
            out: folder for the file.

        Returns:
            the content of reset.json: `base` (`file`, `bytes`, `sha256`, `weights_from`),
            `stripped` (a description of each removed entry), `vocabulary` (`base_tokens`, `tokens`,
            `added`), `tensors` (`total`, `bit_equal`, `grown`, `grown_rows_bit_equal`),
            `parameters`, `weights_sha256` and `file` (`name`, `bytes`, `sha256`).
        """

    def strip(self, checkpoint: Path, out: Path) -> dict[str, Any]:
        """Write a checkpoint's weights without its training state; the vocabulary stays.

        Returns:
            `weights_from`, `stripped`, `tensors`, `parameters` and `weights_sha256`.
        """

    def read_weights(self, file: Path) -> Weights:
        """The weights of a reset base, a checkpoint of ours or an export, by the model's names."""

    def vocabulary_tensors(self, weights: Weights) -> list[str]:
        """Names of the tensors with one row per token, rows of new tokens last."""

    # Features

    def feature_basis(self, base: Files) -> dict[str, str]:
        """SHA-256 of the base's tensors that features depend on, by name; {} if none."""

    def extractor(
        self, base: Files, settings: Mapping[str, Any], device: str
    ) -> Callable[[torch.Tensor], Arrays]:
        """A function from samples `[n]` float32 at `RATE_HZ` to the features of a clip, on the CPU.

        Args:
            base: the run's base files.
            settings: section `features`.
            device: where it computes.
        """

    def n_steps(self, arrays: Arrays) -> int:
        """Sequence steps of a clip, which batches are measured in."""

    def steps_of(self, n_samples: int) -> int:
        """`n_steps` of the features of a clip of so many samples at `RATE_HZ`.

        Known before the features are computed: a clip that is longer than a batch stops the step.
        """

    # Model and loss

    def build(self, arch: Mapping[str, Any], n_tokens: int) -> torch.nn.Module:
        """The model with random weights."""

    def blocks(self, model: torch.nn.Module) -> Sequence[torch.nn.Module]:
        """Its repeated blocks; the engine compiles them, or recomputes their activations."""

    def freeze_presets(self, model: torch.nn.Module) -> dict[str, list[str]]:
        """Patterns of parameter names, by the names that `train.freeze` knows them by."""

    def no_decay(self, model: torch.nn.Module) -> list[str]:
        """Names of the parameters that `train.decay: upstream` excludes from weight decay.

        Those that the upstream project's own optimiser excludes; [] if it decays all.
        """

    def draw(self, clip: Clip, rng: torch.Generator, train: bool) -> Any:
        """The random choices for a clip in one update; without `train` no conditions are dropped.

        The engine makes `rng` from seed, update and clip id, so the draws do not depend on batches.
        """

    def collate(self, clips: Sequence[Clip], draws: Sequence[Any], pad_to: int | None) -> Batch:
        """A batch.

        Args:
            clips: its clips.
            draws: from `draw`, one for each.
            pad_to: steps to pad to; None: those of the longest clip.

        Returns:
            tensors with the clips as first dimension; `totals`: number of elements that each part
            of the loss is averaged over, by the names in family.yaml.
        """

    def loss(self, model: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        """Sum over the kept elements of each part of the loss; the engine divides and weights."""

    # Speech

    def decoder(self, base: Files, vocoder: Path | None, device: str) -> Any:
        """The object that `speak` needs besides the model to generate a waveform.

        Args:
            base: the run's base files.
            vocoder: folder named by `vocoder` in the configuration, or None.
            device: where it computes.
        """

    def speak(
        self,
        model: torch.nn.Module,
        tokenizer: Tokenizer,
        decoder: Any,
        prompt: Clip,
        text: str,
        language: str,
        *,
        seed: int,
        **settings: Any,
    ) -> np.ndarray:
        """`text` in the voice of the prompt, `[n]` float32 samples at `SPEECH_HZ`.

        Torch's generators and the model's mode are afterwards as before, so that a training may
        call this.

        Args:
            model: from `build`, with weights.
            tokenizer: the run's.
            decoder: from `decoder`.
            prompt: the reference clip, with its features, and with its samples if at hand.
            text: one or a few sentences.
            language: code of the text's language.
            seed: of the sampling.
            settings: section `speak`; the family gives each key of it a parameter.
        """

    def export(
        self,
        folder: Path,
        weights: Weights,
        base: Files,
        arch: Mapping[str, Any],
        tokenizer: Tokenizer,
        prompt_audio: Mapping[str, np.ndarray],
        prompt_text: Mapping[str, str],
        settings: Mapping[str, Any],
        about: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Write the voice as the upstream project's own inference loads it, with HOW_TO_SPEAK.md.

        Args:
            folder: an empty one.
            weights: EMA weights of the chosen checkpoint.
            base: the run's base files.
            arch: from `architecture`.
            tokenizer: the run's.
            prompt_audio: samples `[n]` at `SPEECH_HZ` of each reference clip, by file name without
                suffix, the main one first.
            prompt_text: text of each.
            settings: section `export`, and `vocoder`: its folder or None.
            about: entries for the manifest; `name` of the voice and `update` are among them.

        Returns:
            entries for MANIFEST.json: `checkpoint`, the name of the model's file; `base_files`,
            the files that another run takes as its base, by their names in family.yaml; and what
            the family adds. The caller adds `about` and the hashes of all files.
        """

    def prove(self, folder: Path, manifest: Mapping[str, Any]) -> float:
        """Seconds of audio that the upstream project's own code speaks from the exported files.

        Raises:
            UserError: it cannot load them, finds other weights, or generates no valid audio.
        """


def get(name: str) -> Family:
    """The package of a family.

    Raises:
        UserError: there is no such family.
    """
    if name not in facts.names():
        raise UserError(f"family: expected {' or '.join(facts.names())}, got {name!r}")
    # By its name: an import statement for each family would make the code digest of every step
    # depend on the code of all of them. Rules add the run's own family (`family_code`).
    return importlib.import_module(f"{__name__}.{name}")
