"""Speech recognition by openai-whisper, in batches of a fixed shape.

B clips, P 1500 encoder positions of 20 ms, D model width.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import numba
import numpy as np
import torch
import torch.nn.functional as F
import whisper
from torch import Tensor, nn
from whisper.audio import HOP_LENGTH, N_FRAMES, N_SAMPLES
from whisper.decoding import DecodingOptions, DecodingResult, DecodingTask, GreedyDecoder
from whisper.model import ModelDimensions, Whisper
from whisper.timing import add_word_timestamps
from whisper.tokenizer import LANGUAGES, get_tokenizer

from voicekiln.asr import hugging_face
from voicekiln.asr.hypothesis import RATE_HZ, Clip, Hypothesis
from voicekiln.errors import UserError
from voicekiln.weights import files as checkpoints

VERSION = 2
# Released models by decoder layers, heads and vocabulary size. A fine-tuned model keeps these, and
# therefore also upstream's alignment heads.
RELEASED = {
    (4, 6, 51865): "tiny",
    (4, 6, 51864): "tiny.en",
    (6, 8, 51865): "base",
    (6, 8, 51864): "base.en",
    (12, 12, 51865): "small",
    (12, 12, 51864): "small.en",
    (24, 16, 51865): "medium",
    (24, 16, 51864): "medium.en",
    (32, 20, 51865): "large-v2",
    (32, 20, 51866): "large-v3",
    (4, 20, 51866): "turbo",
}


def load(checkpoint: Path, device: str, dtype: torch.dtype = torch.float32) -> Whisper:
    """Load a model from a checkpoint of openai-whisper or from a Hugging Face folder.

    Only tensors and dimensions are read; no code is executed.

    Raises:
        UserError: the file is missing, damaged, contains code, or has another format.
    """
    if hugging_face.is_model_file(checkpoint):
        content = hugging_face.read(checkpoint)
    else:
        content = checkpoints.read(checkpoint)
    if not {"dims", "model_state_dict"} <= set(content):
        found = ", ".join(sorted(map(str, content))[:4])
        raise UserError(
            f"{checkpoint}: expected openai-whisper's format (dims and model_state_dict), found "
            f"{found}, ...; for a Hugging Face model, set the folder with config.json and its "
            "tensors"
        )
    try:
        model = Whisper(ModelDimensions(**content["dims"]))
        model.load_state_dict(content["model_state_dict"])
    except (TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{checkpoint}: the tensors do not match the dimensions ({reason})"
        ) from error
    dims = model.dims
    name = RELEASED.get((dims.n_text_layer, dims.n_text_head, dims.n_vocab))
    if name is not None:
        model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name])
    if dtype != torch.float32:
        halve(model, dtype)
    return model.eval().to(device)


def dtype_of(precision: str, device: str) -> torch.dtype:
    """Data type of a precision on a device.

    Raises:
        UserError: openai-whisper does not support the precision on this device.
    """
    if precision == "auto":
        return torch.float32 if device == "cpu" else torch.float16
    if precision == "int8" or (precision == "float16" and device == "cpu"):
        why = "int8 needs engine: faster-whisper" if precision == "int8" else "float16 needs a GPU"
        raise UserError(f"transcribe.precision: {why}; set it to auto, float32 or bfloat16")
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[
        precision
    ]


def halve(model: Whisper, dtype: torch.dtype = torch.float16) -> None:
    """Convert matrices to half precision once; upstream converts them at every step.

    Norms and positional embeddings stay in single precision, as the model uses them so.
    """
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Embedding)):
            module.to(dtype)


def log_mel(samples: np.ndarray, n_mels: int, device: str) -> Tensor:
    """`whisper.log_mel_spectrogram` `[n_mels, 3000]` of a clip padded to 30 s.

    One frame of the silent padding is computed and repeated.
    """
    n_samples = min(N_SAMPLES, (len(samples) // HOP_LENGTH + 4) * HOP_LENGTH)
    padded = whisper.pad_or_trim(torch.from_numpy(np.ascontiguousarray(samples)), n_samples)
    mel = whisper.log_mel_spectrogram(padded, n_mels, device=device)
    return torch.cat([mel, mel[:, -1:].expand(-1, N_FRAMES - mel.shape[1])], dim=1)


class WhisperRecogniser:
    """Recogniser with an openai-whisper model; implements `hypothesis.Recogniser`.

    Every batch is padded to its full size, so that results do not depend on the number of clips in
    it. Nothing is downloaded.

    Args:
        checkpoint: file in openai-whisper's format.
        batch: clips decoded together.
        device: `cuda` or `cpu`.
        word_times: whether to compute the times of words.
        precision: auto (float16 on a GPU, float32 on a CPU), float32, float16 or bfloat16.
    """

    second_decode = {"temperature": 0.4}  # confident tokens are sampled unchanged

    def __init__(
        self,
        checkpoint: Path,
        batch: int,
        device: str,
        word_times: bool = True,
        precision: str = "auto",
    ):
        self.dtype = dtype_of(precision, device)
        self.model = load(checkpoint, device, self.dtype)
        self.batch = batch
        self.retry_batch = 1 if device == "cpu" else batch  # padding is not free on a CPU
        self.device = device
        self.word_times = word_times
        numba.set_num_threads(1)  # upstream's DTW is short; idle threads would spin in between

    @torch.inference_mode()
    def transcribe(
        self, clips: Sequence[Clip], size: int, temperature: float = 0.0, beams: int = 1
    ) -> list[Hypothesis]:
        """See `hypothesis.Recogniser`."""
        assert 0 < len(clips) <= size
        padded = [*clips, *[clips[0]] * (size - len(clips))]
        features = self._encode(clips, size)
        languages = self._languages(features, padded)
        options = DecodingOptions(
            temperature=temperature,
            beam_size=beams if beams > 1 else None,
            without_timestamps=True,
            fp16=False,  # features already have the precision of the decoder
        )
        task = _Task(self.model, options, [code for code, _ in languages], padded)
        results = task.run(features)
        return [
            self._hypothesis(*row) for row in zip(clips, results, languages, features, strict=False)
        ]

    def _encode(self, clips: Sequence[Clip], size: int) -> Tensor:
        """Encoder features `[size, P, D]`; rows beyond the clips repeat the first.

        On a CPU clip by clip: a batch is no faster there, and its padding would be encoded as well.
        """
        mels = [
            log_mel(clip.samples, self.model.dims.n_mels, self.device).to(self.dtype)
            for clip in clips
        ]
        if self.device == "cpu":
            rows = [self.model.encoder(mel[None])[0] for mel in mels]
            return torch.stack([*rows, *[rows[0]] * (size - len(rows))])
        return self.model.encoder(torch.stack([*mels, *[mels[0]] * (size - len(mels))]))

    @torch.inference_mode()
    def language_probabilities(self, clips: Sequence[Clip]) -> list[dict[str, float]]:
        """See `hypothesis.Recogniser`."""
        if not self.model.is_multilingual:
            return [{} for _ in clips]
        return [self.model.detect_language(self._encode([clip], 1))[1][0] for clip in clips]

    def _languages(self, features: Tensor, clips: Sequence[Clip]) -> list[tuple[str, float | None]]:
        """Language to decode each clip in, and its probability if detected.

        For a language that Whisper does not support, the detected one is used.
        """
        if not self.model.is_multilingual:
            return [("en", None)] * len(clips)
        if all(clip.language in LANGUAGES for clip in clips):
            return [(clip.language, None) for clip in clips]
        _, detected = self.model.detect_language(features)
        rows = []
        for clip, probabilities in zip(clips, detected, strict=True):
            code = max(probabilities, key=probabilities.get)
            if clip.language in LANGUAGES:
                rows.append((clip.language, None))
            else:
                asked = clip.language is None
                rows.append((code, round(probabilities[code], 5) if asked else None))
        return rows

    def _hypothesis(
        self, clip: Clip, result: DecodingResult, language: tuple[str, float | None], features
    ) -> Hypothesis:
        return Hypothesis(
            text=result.text,
            language=language[0],
            language_prob=language[1],
            avg_logprob=round(float(result.avg_logprob), 5),
            no_speech_prob=round(float(result.no_speech_prob), 5),
            compression_ratio=round(float(result.compression_ratio), 5),
            temperature=result.temperature,
            words=self._words(clip, result, features) if self.word_times else None,
        )

    def _words(self, clip: Clip, result: DecodingResult, features: Tensor) -> list[list]:
        """`[word, start_s, end_s, probability]` of each word, by cross-attention and DTW.

        One clip at a time, as the tensor shapes depend on the length of the text.
        """
        duration_s = len(clip.samples) / RATE_HZ
        segment = {"seek": 0, "start": 0.0, "end": duration_s, "tokens": result.tokens}
        add_word_timestamps(
            segments=[segment],
            model=_Encoded(self.model),
            tokenizer=get_tokenizer(
                self.model.is_multilingual,
                num_languages=self.model.num_languages,
                language=result.language,
                task="transcribe",
            ),
            mel=features,
            num_frames=max(2, min(len(clip.samples), N_SAMPLES) // HOP_LENGTH),
            last_speech_timestamp=0.0,
        )
        return words_within(segment["words"], duration_s)


def words_within(words: Sequence[dict], duration_s: float) -> list[list]:
    """`[word, start_s, end_s, probability]` from upstream's word records, clipped to the clip."""
    rows = []
    for word in words:
        start_s, end_s = (min(max(float(word[side]), 0.0), duration_s) for side in ("start", "end"))
        probability = round(float(word["probability"]), 4)
        rows.append([word["word"], round(start_s, 2), round(max(start_s, end_s), 2), probability])
    return rows


class _Encoded:
    """Model wrapper for `find_alignment` that takes encoder features instead of mel spectra."""

    def __init__(self, model: Whisper):
        self.model = model

    def __getattr__(self, name: str):
        return getattr(self.model, name)

    def __call__(self, features: Tensor, tokens: Tensor) -> Tensor:
        return self.model.decoder(tokens, features)


class _Task(DecodingTask):
    """Decoding task with a language and a random generator per clip, and batched beam search.

    Upstream has one language and one generator per batch, and beam search for single clips.
    """

    def __init__(
        self,
        model: Whisper,
        options: DecodingOptions,
        languages: Sequence[str],
        clips: Sequence[Clip],
    ):
        super().__init__(model, options)
        self.languages = list(languages)
        if options.temperature > 0:
            seeds = [f"{clip.seed}:{options.temperature}" for clip in clips]
            self.decoder = _SeededDecoder(options.temperature, self.tokenizer.eot, seeds)

    def _get_audio_features(self, mel: Tensor) -> Tensor:
        return mel.repeat_interleave(self.n_group, dim=0)

    def _detect_language(self, audio_features: Tensor, tokens: Tensor):
        if self.model.is_multilingual:
            codes = [self.tokenizer.to_language_token(code) for code in self.languages]
            tokens[:, self.sot_index + 1] = torch.tensor(codes)
        return self.languages, None


class _SeededDecoder(GreedyDecoder):
    """Samples tokens with one generator per clip."""

    def __init__(self, temperature: float, eot: int, seeds: Sequence[str]):
        super().__init__(temperature, eot)
        self.generators = [random.Random(seed) for seed in seeds]

    def update(self, tokens: Tensor, logits: Tensor, sum_logprobs: Tensor) -> tuple[Tensor, bool]:
        drawn = self._draw(logits)
        logprobs = F.log_softmax(logits.float(), dim=-1)
        ended = tokens[:, -1] == self.eot
        sum_logprobs += logprobs[torch.arange(len(drawn)), drawn] * ~ended
        drawn[ended] = self.eot
        tokens = torch.cat([tokens, drawn[:, None]], dim=-1)
        return tokens, bool((drawn == self.eot).all())

    def _draw(self, logits: Tensor) -> Tensor:
        """Sample a token per row, by inverse transform of the cumulative probabilities."""
        probabilities = (logits.double().cpu() / self.temperature).softmax(dim=-1)
        cumulative = probabilities.cumsum(dim=-1)
        at = torch.tensor([[generator.random()] for generator in self.generators])
        drawn = torch.searchsorted(cumulative, at.double() * cumulative[:, -1:], right=True)
        return drawn[:, 0].clamp(max=logits.shape[-1] - 1).to(logits.device)
