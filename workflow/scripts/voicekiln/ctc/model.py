"""Acoustic models in the layout of Hugging Face: a folder with a CTC model and its vocabulary.

The classes are transformers' own, from the list in settings.py. Files of the folder are data: JSON
and safetensors; code that they name is refused, and nothing is looked up on a network. B clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voicekiln import gpu, upstream
from voicekiln.asr.hugging_face import CONFIG, SAFETENSORS
from voicekiln.ctc import settings
from voicekiln.ctc.files import adapter_file, weights
from voicekiln.ctc.vocabulary import of_language
from voicekiln.ctc.vocabulary import read as read_vocabulary
from voicekiln.errors import UserError
from voicekiln.weights.files import read as read_weights

VERSION = 1
NAMES = {"weight_g": "parametrizations.weight.original0"}  # of checkpoints before torch 2
NAMES |= {"weight_v": "parametrizations.weight.original1"}
UNUSED = "masked_spec_embed"  # of training alone
# longer clips are split into windows of WINDOW_S with CONTEXT_S on each side
WINDOW_S, CONTEXT_S = 20.0, 5.0
BATCH_S = 240.0  # audio that a GPU takes at once, padding included
LEAST_BANDS_SAMPLES = 720  # that two frames of filter bank energies take, with a reserve


@dataclass(frozen=True)
class Sound:
    """How a model takes its audio.

    Attributes:
        rate_hz: sample rate.
        normalize: each clip to zero mean and unit variance.
        extractor: transformers' own, for models that take filter bank energies; None for samples.
    """

    rate_hz: int
    normalize: bool
    extractor: Any = None


class AcousticModel:
    """A CTC model that turns clips into log-probabilities of its tokens.

    On a CPU clips are computed one by one: batches are no faster there. On a GPU, models that were
    trained with an attention mask take padded batches, whose padding is masked; a value may differ
    in its last digit with the length of the longest clip in the batch.

    Attributes:
        vocabulary: the columns of what it returns.
        rate_hz: sample rate of the clips that it takes.
        frame_s: duration of a frame.

    Args:
        folder: of the model.
        codes: of the language, for models with an adapter for each language.
        device: `cuda` or `cpu`.

    Raises:
        UserError: a file is missing, damaged, of another kind, or does not fit the others.
    """

    def __init__(self, folder: Path, codes: tuple[str, ...], device: str):
        upstream.prepare()
        self.folder, self.device = Path(folder), device
        config, name = _config(self.folder)
        part = of_language(self.folder, codes)
        state = _tensors(self.folder, part)
        config.vocab_size = len(state["lm_head.weight"])
        self.vocabulary = read_vocabulary(self.folder, config.pad_token_id, config.vocab_size, part)
        self.sound = _sound(self.folder, name)
        self.rate_hz = self.sound.rate_hz
        self.model = _filled(self.folder, name, config, state).to(device)
        self.frame_samples = _frame_samples(config)
        self.frame_s = self.frame_samples / self.rate_hz
        self.least_samples = _least_samples(config)
        self.masked = getattr(config, "feat_extract_norm", None) == "layer"
        self.batched = device != "cpu" and self.masked and self.sound.extractor is None

    def __call__(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`[T, V]` float32 natural logarithms of each clip (`[n]` float32, mono).

        Raises:
            UserError: one clip alone does not fit into memory, or the model returns no numbers.
        """
        if not self.batched:
            return [self._whole(clip) for clip in clips]
        found: dict[int, np.ndarray] = {}
        long_samples = (WINDOW_S + 2 * CONTEXT_S) * self.rate_hz
        batch: list[int] = []
        order = sorted(range(len(clips)), key=lambda i: -len(clips[i]))
        for i in order:
            if len(clips[i]) > long_samples:
                found[i] = self._whole(clips[i])
                continue
            longest = len(clips[batch[0]]) if batch else 0
            if batch and longest * (len(batch) + 1) > BATCH_S * self.rate_hz:
                found |= self._batch(batch, clips)
                batch = []
            batch.append(i)
        if batch:
            found |= self._batch(batch, clips)
        return [found[i] for i in range(len(clips))]

    def _batch(self, which, clips) -> dict[int, np.ndarray]:
        """The outputs of these clips; in halves if memory runs out."""
        try:
            return dict(zip(which, self._padded([clips[i] for i in which]), strict=True))
        except (RuntimeError, MemoryError) as error:
            if not gpu.is_out_of_memory(error):
                raise
            if len(which) == 1:
                raise self._too_large() from error
        gpu.free()  # outside of the handler, which holds what the failed try had made
        half = len(which) // 2
        return self._batch(which[:half], clips) | self._batch(which[half:], clips)

    def _whole(self, clip: np.ndarray) -> np.ndarray:
        """The outputs of one clip, in overlapping windows if it is long."""
        window, context = (round(s * self.rate_hz) for s in (WINDOW_S, CONTEXT_S))
        window, context = (n // self.frame_samples * self.frame_samples for n in (window, context))
        clip = self._normalized(clip)
        try:
            if len(clip) <= window + 2 * context:
                return self._outputs(clip)
            parts = []
            for start in range(0, len(clip), window):
                first = max(0, start - context)
                rows = self._outputs(clip[first : start + window + context])
                skip = (start - first) // self.frame_samples
                take = window // self.frame_samples if start + window < len(clip) else None
                parts.append(rows[skip:][:take])
            return np.concatenate(parts)
        except (RuntimeError, MemoryError) as error:
            if not gpu.is_out_of_memory(error):
                raise
            raise self._too_large() from error

    def _too_large(self) -> UserError:
        return UserError(
            f"{self.folder}: a single segment does not fit into {gpu.in_use()}; take a smaller "
            "align.acoustic_model, or stop what else uses the memory"
        )

    def _normalized(self, clip: np.ndarray) -> np.ndarray:
        clip = np.pad(clip, (0, max(0, self.least_samples - len(clip))))
        if self.sound.normalize:
            clip = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7)
        return clip.astype(np.float32)

    @torch.inference_mode()
    def _outputs(self, clip: np.ndarray) -> np.ndarray:
        if self.sound.extractor is not None:
            inputs = self.sound.extractor(clip, sampling_rate=self.rate_hz, return_tensors="pt").to(
                self.device
            )
            return self._log_probs(self.model(**inputs).logits)[0]
        return self._log_probs(self.model(torch.from_numpy(clip)[None].to(self.device)).logits)[0]

    @torch.inference_mode()
    def _padded(self, clips: Sequence[np.ndarray]) -> list[np.ndarray]:
        clips = [self._normalized(clip) for clip in clips]
        longest = max(map(len, clips))
        samples = torch.zeros(len(clips), longest)
        mask = torch.zeros(len(clips), longest, dtype=torch.long)
        for row, clip in enumerate(clips):
            samples[row, : len(clip)] = torch.from_numpy(clip)
            mask[row, : len(clip)] = 1
        logits = self.model(samples.to(self.device), attention_mask=mask.to(self.device)).logits
        lengths = [int(self.model._get_feat_extract_output_lengths(len(clip))) for clip in clips]
        rows = zip(self._log_probs(logits), lengths, strict=True)
        return [values[:length] for values, length in rows]

    def _log_probs(self, logits: torch.Tensor) -> np.ndarray:
        found = torch.log_softmax(logits.float(), dim=-1).cpu().numpy()  # [B, T, V]
        if not np.isfinite(found).all():
            raise UserError(
                f"{self.folder}: the model returns values that are not numbers; its weights are "
                "damaged, download them again"
            )
        return found


def _config(folder: Path) -> tuple[Any, str]:
    """The configuration of the model and the name of its class."""
    found, name = settings.model(folder)
    module, config_class = settings.CLASSES[name]
    config = import_module(f"transformers.models.{module}.configuration_{module}")
    try:
        return getattr(config, config_class).from_dict(found), name
    except Exception as error:  # transformers checks values in many ways
        raise UserError(
            f"{folder / CONFIG}: not a configuration of {name} ({_line(error)})"
        ) from error


def _tensors(folder: Path, part: str | None) -> dict[str, torch.Tensor]:
    """The tensors of the model by their names, those of the language's adapter last."""
    tensors: dict[str, torch.Tensor] = {}
    for path in weights(folder):
        tensors |= read_weights(path)
    if part is not None:
        adapter = adapter_file(folder, part)
        tensors = {k: v for k, v in tensors.items() if not k.startswith("lm_head.")}
        tensors |= read_weights(adapter)
    renamed = {}
    for name, tensor in tensors.items():
        stem, _, last = name.rpartition(".")
        if last in NAMES and stem.endswith("pos_conv_embed.conv"):
            name = f"{stem}.{NAMES[last]}"
        renamed[name] = tensor.float() if tensor.is_floating_point() else tensor
    if renamed.get("lm_head.weight") is None or renamed["lm_head.weight"].ndim != 2:
        raise UserError(
            f"{folder / SAFETENSORS[0]}: has no output layer (lm_head.weight); take a model that "
            "was fine-tuned with CTC, not a pretrained encoder alone"
        )
    return renamed


def _filled(folder: Path, name: str, config, state: dict[str, torch.Tensor]):
    """The model with its tensors, each where it belongs."""
    module = settings.CLASSES[name][0]
    kind = getattr(import_module(f"transformers.models.{module}.modeling_{module}"), name)
    try:
        with torch.device("meta"):  # no memory before the shapes are known to be those of the file
            shapes = {k: v.shape for k, v in kind(config).state_dict().items()}
    except Exception as error:  # values that contradict each other
        raise UserError(
            f"{folder / CONFIG}: not a configuration of {name} ({_line(error)})"
        ) from error
    state = {k: v for k, v in state.items() if not k.endswith(UNUSED)}
    wrong = [k for k in sorted(state.keys() | shapes.keys()) if not k.endswith(UNUSED)]
    wrong = [k for k in wrong if k not in state or state[k].shape != shapes.get(k)]
    if wrong:
        found = tuple(state[wrong[0]].shape) if wrong[0] in state else "missing"
        expected = tuple(shapes[wrong[0]]) if wrong[0] in shapes else "no such tensor"
        raise UserError(
            f"{folder}: {len(wrong)} tensors do not fit {CONFIG} ({wrong[0]}: expected {expected}, "
            f"found {found}); take all files of the same model"
        )
    model = kind(config)
    model.load_state_dict(state, strict=False)
    return model.eval().requires_grad_(False)


def _sound(folder: Path, name: str) -> Sound:
    found = settings.audio(folder, name)
    rate_hz = found["sampling_rate"]
    if settings.extractor(name) == settings.SAMPLES:
        return Sound(rate_hz, bool(found.get("do_normalize", True)))
    module = import_module("transformers.models.seamless_m4t.feature_extraction_seamless_m4t")
    try:
        return Sound(rate_hz, False, module.SeamlessM4TFeatureExtractor.from_dict(found))
    except Exception as error:
        path = folder / settings.PREPROCESSOR
        raise UserError(
            f"{path}: not settings of {settings.extractor(name)} ({_line(error)})"
        ) from error


def _frame_samples(config) -> int:
    """Samples from one frame to the next."""
    strides = getattr(config, "conv_stride", None) or [320]  # two hops of filter bank energies
    adapters = config.num_adapter_layers if getattr(config, "add_adapter", False) else 0
    return int(np.prod(strides)) * getattr(config, "adapter_stride", 1) ** adapters


def _least_samples(config) -> int:
    """Samples that make one frame."""
    kernels = getattr(config, "conv_kernel", None)
    if not kernels:
        return LEAST_BANDS_SAMPLES
    n = 1
    for kernel, stride in zip(reversed(kernels), reversed(config.conv_stride), strict=True):
        n = (n - 1) * stride + kernel
    return n


def _line(error: BaseException) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split())
