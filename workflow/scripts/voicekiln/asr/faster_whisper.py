"""Speech recognition by faster-whisper: a model in CTranslate2's format, from a local folder.

Features, prompts and limits equal those of `asr.whisper`, so that a converted checkpoint returns
the texts of the original. B clips, P 1500 encoder positions, D model width.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import faster_whisper
import numpy as np
import torch
from faster_whisper.tokenizer import Tokenizer
from whisper.audio import HOP_LENGTH, N_SAMPLES
from whisper.tokenizer import LANGUAGES
from whisper.utils import compression_ratio

from voicekiln import gpu
from voicekiln.asr.hypothesis import RATE_HZ, Clip, Hypothesis
from voicekiln.asr.whisper import log_mel, words_within
from voicekiln.errors import UserError

VERSION = 1
FILES = ("model.bin", "config.json", "tokenizer.json", "preprocessor_config.json")
PREPENDED, APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # upstream's: attached to a word


class FasterWhisperRecogniser:
    """Recogniser with a CTranslate2 model; implements `hypothesis.Recogniser`.

    On a CPU clips are decoded one by one, which costs little there and makes results independent of
    the batch. On a GPU they are decoded together, and scores may differ in the last digit.

    Args:
        folder: of the model; nothing is downloaded.
        batch: clips decoded together.
        device: `cuda` or `cpu`.
        word_times: whether to compute the times of words.
        precision: auto (float16 on a GPU, float32 on a CPU), or one that CTranslate2 supports on
            the device: float32, float16, bfloat16, int8.
    """

    # beams, as CTranslate2's sampling cannot be seeded without reloading the model
    second_decode = {"beams": 5}

    def __init__(
        self,
        folder: Path,
        batch: int,
        device: str,
        word_times: bool = True,
        precision: str = "auto",
    ):
        self.precision = precision
        self.folder, self.batch, self.retry_batch = Path(folder), batch, batch
        self.device, self.word_times = device, word_times
        self.whisper = load(self.folder, device, precision)
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        self.max_length = config.get("n_text_ctx", self.whisper.max_length)

    def transcribe(
        self, clips: Sequence[Clip], size: int, temperature: float = 0.0, beams: int = 1
    ) -> list[Hypothesis]:
        """See `hypothesis.Recogniser`."""
        assert 0 < len(clips) <= size
        features = self._encode(clips)
        languages = self._languages(features, clips)
        tokenizers = [self._tokenizer(code) for code, _ in languages]
        prompts = [[*one.sot_sequence, one.no_timestamps] for one in tokenizers]
        if temperature > 0:
            results = [
                self._sampled(features[i : i + 1], prompts[i], clip.seed, temperature)
                for i, clip in enumerate(clips)
            ]
        else:
            step = 1 if self.device == "cpu" else len(clips)
            results = [
                result
                for at in range(0, len(clips), step)
                for result in _generate(
                    self.whisper.model,
                    features[at : at + step],
                    prompts[at : at + step],
                    self.max_length,
                    beam_size=beams,
                )
            ]
        return [
            self._hypothesis(clip, result, language, tokenizer, features[i : i + 1], temperature)
            for i, (clip, result, language, tokenizer) in enumerate(
                zip(clips, results, languages, tokenizers, strict=True)
            )
        ]

    def _encode(self, clips: Sequence[Clip]) -> np.ndarray:
        """Encoder features `[B, P, D]`, in main memory."""
        model = self.whisper.model
        mels = torch.stack([log_mel(clip.samples, model.n_mels, "cpu") for clip in clips]).numpy()
        return np.array(model.encode(_view(mels), to_cpu=True))

    def language_probabilities(self, clips: Sequence[Clip]) -> list[dict[str, float]]:
        """See `hypothesis.Recogniser`."""
        model = self.whisper.model
        if not model.is_multilingual:
            return [{} for _ in clips]
        rankings = (model.detect_language(_view(self._encode([clip])))[0] for clip in clips)
        return [{token.strip("<|>"): p for token, p in ranking} for ranking in rankings]

    def _languages(self, features: np.ndarray, clips: Sequence[Clip]):
        """As in `asr.whisper`: language of each clip, and its probability if detected."""
        model = self.whisper.model
        if not model.is_multilingual:
            return [("en", None)] * len(clips)
        if all(clip.language in LANGUAGES for clip in clips):
            return [(clip.language, None) for clip in clips]
        rows = []
        for clip, ranking in zip(clips, model.detect_language(_view(features)), strict=True):
            token, probability = ranking[0]
            if clip.language in LANGUAGES:
                rows.append((clip.language, None))
            else:
                known = round(probability, 5) if clip.language is None else None
                rows.append((token.strip("<|>"), known))
        return rows

    def _tokenizer(self, language: str) -> Tokenizer:
        multilingual = self.whisper.model.is_multilingual
        return Tokenizer(self.whisper.hf_tokenizer, multilingual, "transcribe", language)

    def _sampled(self, features: np.ndarray, prompt: list[int], seed: int, temperature: float):
        """A sampled result for one clip, reproducible.

        CTranslate2 seeds its generator when a worker thread starts, so the model is loaded again.
        """
        ctranslate2.set_random_seed(1 + seed % (2**31 - 1))
        model = load(self.folder, self.device, self.precision).model
        options = {"beam_size": 1, "sampling_topk": 0, "sampling_temperature": temperature}
        return _generate(model, features, [prompt], self.max_length, **options)[0]

    def _hypothesis(self, clip, result, language, tokenizer, features, temperature) -> Hypothesis:
        tokens = result.sequences_ids[0]
        text = tokenizer.decode(tokens).strip()
        # CTranslate2's score is the mean over the text tokens; upstream includes the end token
        avg_logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
        return Hypothesis(
            text=text,
            language=language[0],
            language_prob=language[1],
            avg_logprob=round(avg_logprob, 5),
            no_speech_prob=round(result.no_speech_prob, 5),
            compression_ratio=round(compression_ratio(text), 5),
            temperature=temperature,
            words=self._words(clip, tokens, tokenizer, features) if self.word_times else None,
        )

    def _words(self, clip: Clip, tokens, tokenizer: Tokenizer, features: np.ndarray) -> list[list]:
        """`[word, start_s, end_s, probability]` of each word of one clip."""
        duration_s = len(clip.samples) / RATE_HZ
        segment = {"seek": 0, "start": 0.0, "end": duration_s, "tokens": tokens, "words": []}
        self.whisper.add_word_timestamps(
            [[segment]],
            tokenizer,
            _view(features),
            max(2, min(len(clip.samples), N_SAMPLES) // HOP_LENGTH),
            PREPENDED,
            APPENDED,
            0.0,
        )
        return words_within(segment["words"], duration_s)


def load(folder: Path, device: str, precision: str = "auto") -> faster_whisper.WhisperModel:
    """Load the model in a folder.

    Raises:
        UserError: a file is missing (faster-whisper would download it), damaged, or the precision
            is not supported.
    """
    if precision == "auto":
        precision = "float32" if device == "cpu" else "float16"
    supported = ctranslate2.get_supported_compute_types(device)
    if precision not in supported:
        raise UserError(
            f"transcribe.precision: CTranslate2 does not support {precision} on {device}, only "
            f"{', '.join(sorted(supported))}"
        )
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: {', '.join(missing)} is missing; expected a folder in CTranslate2's format "
            "with the tokenizer. Set transcribe.model to the original checkpoint (.pt) to have it "
            "converted."
        )
    try:
        return faster_whisper.WhisperModel(
            str(folder),
            device=device,
            compute_type=precision,
            cpu_threads=torch.get_num_threads(),
            local_files_only=True,
        )
    except (RuntimeError, ValueError) as error:
        if gpu.is_out_of_memory(error):
            raise
        raise UserError(f"{folder}: CTranslate2 cannot load the model ({error})") from error


def _view(array: np.ndarray) -> ctranslate2.StorageView:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))


def _generate(model, features: np.ndarray, prompts: list[list[int]], max_length: int, **options):
    """CTranslate2's results; as upstream, half of `max_length` is reserved for the text."""
    return model.generate(
        _view(features),
        prompts,
        max_length=max_length,
        return_scores=True,
        return_no_speech_prob=True,
        suppress_tokens=[-1],  # those of config.json
        **options,
    )
