"""Train whisper.pt: a very small Whisper that reads the demo's sentences; openai-whisper's format.

`python resources/demo/train_whisper.py [--output whisper.pt]`: one command, fixed seed,
fixed schedule. It learns from sentences of the demo's grammar that the demo does not hold, in the
demo's four voices and others, and keeps the state that reads a third set of sentences ("dev") best.

Legend: B batch, T mel frames of 10 ms, P encoder positions of 20 ms, N text tokens, D model width.
"""

import argparse
import csv
import logging
import math
import random
import zipfile
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import speech
import torch
import torch.nn.functional as F
import whisper
from torch import nn
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_tokenizer

HERE = Path(__file__).resolve().parent
SEED = 0
N_TRAIN, N_DEV = 4000, 60
RATE_HZ = whisper.audio.SAMPLE_RATE
STATE = 64  # D
EMPTY_SHARE = 0.06  # of the windows hold no speech
CTC_WEIGHT = 0.5
OTHER_VOICES = [
    f"{accent}+{variant}"
    for accent in ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-029")
    for variant in ("f1", "f2", "f3", "f4", "m1", "m2", "m3", "m4", "m5", "m7")
]
TOKENIZER = get_tokenizer(multilingual=False)
LOG = logging.getLogger("train_whisper")


@dataclass(frozen=True)
class Phase:
    """A stretch of training with windows of one kind."""

    name: str
    n_steps: int
    n_clips: int  # of a batch
    window_s: tuple[float, float] | None  # None: as long as the longest sentence asks for
    max_sentences: int
    learning_rate: float


# Most is learned on windows that just hold a sentence, which are 11 times cheaper than 30 s ones.
PHASES = (
    Phase("short", 1100, 32, None, 1, 3e-3),
    Phase("mid", 500, 16, (5.0, 12.0), 2, 2e-3),
    Phase("long", 160, 8, (30.0, 30.0), 2, 1e-3),
)
EVAL_EVERY_STEPS = 80  # in the last two phases


@dataclass(frozen=True)
class Utterance:
    """One spoken sentence."""

    text: str
    power: np.ndarray  # [80, T] float16, log10 of the mel power
    phonemes: str


class CompactVocabulary:
    """The few tokens that occur, and one row that stands for all others.

    The softmax over it equals the one over the full vocabulary whose unused rows are all the same:
    the shared row's logit only has to be raised by the logarithm of how many it stands for.
    """

    def __init__(self, texts: list[str]):
        t = TOKENIZER
        special = {t.eot, t.sot, t.no_speech, t.no_timestamps}
        self.tokens = sorted(special | {i for text in texts for i in t.encode(text)})
        self.n_full = t.encoding.n_vocab
        self.row = {token: i for i, token in enumerate(self.tokens)}
        self.shared_row = len(self.tokens)
        self.log_n_shared = math.log(self.n_full - len(self.tokens))

    def rows(self, text: str) -> list[int]:
        """Rows of the whole target: start, no timestamps, the words, end."""
        t = TOKENIZER
        tokens = [t.sot, t.no_timestamps, *t.encode(text), t.eot]
        return [self.row[token] for token in tokens]

    def full(self, weight: torch.Tensor) -> torch.Tensor:
        """`[n_full, D]` embedding from the compact one."""
        rows = torch.full((self.n_full,), self.shared_row)
        rows[self.tokens] = torch.arange(len(self.tokens))
        return weight[rows]


def dimensions(n_vocab: int) -> ModelDimensions:
    """The sizes of the model; mel bands, 30 s of positions and full vocabulary are Whisper's."""
    return ModelDimensions(80, 1500, STATE, 2, 2, n_vocab, 256, STATE, 2, 2)


class Reader(nn.Module):
    """Whisper on windows of any length, with a head that spells phonemes to teach the encoder."""

    def __init__(self, vocabulary: CompactVocabulary, n_phonemes: int):
        super().__init__()
        self.vocabulary = vocabulary
        self.whisper = Whisper(dimensions(len(vocabulary.tokens) + 1))
        self.spell = nn.Linear(STATE, n_phonemes + 1)  # 0 is CTC's blank
        decoder = self.whisper.decoder
        nn.init.normal_(decoder.positional_embedding, std=0.02)
        nn.init.normal_(decoder.token_embedding.weight, std=STATE**-0.5)
        # The shared row begins improbable: else 50 000 tokens would outweigh the words at first.
        away = F.normalize(torch.randn(STATE), dim=0)
        with torch.no_grad():
            decoder.token_embedding.weight[vocabulary.shared_row] = -4 * away
            decoder.ln.bias.copy_(3 * away)

    def encode(self, mel: torch.Tensor) -> torch.Tensor:
        """`[B, 80, T]` -> `[B, P, D]`: AudioEncoder.forward without its demand for 30 s."""
        encoder = self.whisper.encoder
        x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).permute(0, 2, 1)
        x = x + encoder.positional_embedding[: x.shape[1]]
        for block in encoder.blocks:
            x = block(x)
        return encoder.ln_post(x)

    def forward(self, mel, tokens) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the next tokens `[B, N, rows]`, log-probabilities of phonemes `[P, B, n]`."""
        heard = self.encode(mel)
        logits = self.whisper.decoder(tokens, heard)
        shared = torch.zeros(logits.shape[-1])
        shared[-1] = self.vocabulary.log_n_shared
        return logits + shared, self.spell(heard).log_softmax(-1).transpose(0, 1)


def utterances(n: int, seed: str, exclude: set[str], demo_share: float) -> list[Utterance]:
    """`n` spoken sentences, `demo_share` of them in the demo's voices."""
    rng = random.Random(f"{seed}:voices")
    made = []
    for text in islice(speech.sentences(seed, exclude), n):
        of_demo = rng.random() < demo_share
        voice = rng.choice([*speech.DEMO_VOICES.values()] if of_demo else OTHER_VOICES)
        manner = speech.Manner(voice, rng.randint(128, 185), rng.randint(32, 68))
        samples = speech.speak(text, manner)
        samples *= 0.1 / np.sqrt(np.mean(samples**2))
        samples = speech.resample(samples, speech.RATE_HZ, RATE_HZ)
        made.append(Utterance(text, log_power(samples), speech.phonemes(text, manner)))
    return made


def log_power(samples: np.ndarray) -> np.ndarray:
    """`[80, T]` float16: whisper.log_mel_spectrogram before it looks at the maximum."""
    stft = torch.stft(
        torch.from_numpy(samples), 400, 160, window=torch.hann_window(400), return_complex=True
    )
    power = whisper.audio.mel_filters("cpu", 80) @ stft[:, :-1].abs() ** 2
    return power.clamp(min=1e-10).log10().numpy().astype(np.float16)


class Windows:
    """Batches of windows of sentences in noise, made in the domain of mel power."""

    def __init__(self, spoken: list[Utterance], vocabulary: CompactVocabulary):
        self.spoken = spoken
        self.vocabulary = vocabulary
        letters = sorted({c for u in spoken for c in u.phonemes})
        self.phoneme = {c: i + 1 for i, c in enumerate(letters)}
        self.rng = np.random.default_rng(SEED)
        # Mel power of noise that falls 3 dB an octave, at the level of the speech.
        noise = speech.background(20 * RATE_HZ, -20, self.rng)
        self.noise_power = (10 ** log_power(noise).astype(np.float32)).mean(1, keepdims=True)

    def batch(self, phase: Phase) -> dict[str, torch.Tensor]:
        """mel `[B, 80, T]`, tokens and targets `[B, N]`, phonemes `[B, .]` with their lengths."""
        chosen = [self._sentences(phase) for _ in range(phase.n_clips)]
        lengths = [sum(u.power.shape[1] + 60 for u in told) for told in chosen]
        n_frames = max(lengths) + 60
        if phase.window_s is not None:
            n_frames = max(n_frames, round(100 * self.rng.uniform(*phase.window_s)))
        n_frames += n_frames % 2
        windows = [self._window(told, n_frames) for told in chosen]
        texts = [" ".join(u.text for u in told) for told in chosen]
        rows = [self.vocabulary.rows(text) if text else self._babble() for text in texts]
        n_tokens = max(map(len, rows)) - 1
        tokens = torch.zeros(len(rows), n_tokens, dtype=torch.long)
        targets = torch.full_like(tokens, -100)
        for i, row in enumerate(rows):
            tokens[i, : len(row) - 1] = torch.tensor(row[:-1])
            targets[i, : len(row) - 1] = torch.tensor(row[1:])
            if not texts[i]:
                targets[i, 0] = self.vocabulary.row[TOKENIZER.no_speech]
        spelled = [[self.phoneme[c] for u in told for c in u.phonemes] for told in chosen]
        return {
            "mel": torch.from_numpy(np.stack(windows)),
            "tokens": tokens,
            "targets": targets,
            "phonemes": torch.tensor([p for line in spelled for p in line]),
            "n_phonemes": torch.tensor([len(line) for line in spelled]),
        }

    def _sentences(self, phase: Phase) -> list[Utterance]:
        if self.rng.random() < EMPTY_SHARE:
            return []
        n = 2 if phase.max_sentences > 1 and self.rng.random() < 0.3 else 1
        return [self.spoken[i] for i in self.rng.integers(len(self.spoken), size=n)]

    def _babble(self) -> list[int]:
        """A target of random words for a window without speech.

        It teaches that nothing is likely there, so that the low score of whatever is decoded from
        noise meets Whisper's own rule (no_speech_prob above 0.6 and avg_logprob below -1).
        """
        start, end = self.vocabulary.rows("")[:2], self.vocabulary.rows("")[2:]
        n_rows = len(self.vocabulary.tokens)
        return [*start, *self.rng.integers(n_rows, size=self.rng.integers(4, 10)).tolist(), *end]

    def _window(self, told: list[Utterance], n_frames: int) -> np.ndarray:
        """`[80, n_frames]` float32 as whisper.log_mel_spectrogram would give it."""
        rng = self.rng
        power = np.zeros((80, n_frames), np.float32)
        at = rng.integers(4, 60)
        for u in told:
            n = u.power.shape[1]
            power[:, at : at + n] = 10 ** u.power.astype(np.float32)
            at += n + rng.integers(4, 55)
        # The clip ends within 0.55 s of its last word; behind it lies digital silence.
        end = min(at if told else rng.integers(30, n_frames), n_frames)
        level = 10 ** (-rng.uniform(10, 55) / 10) * rng.exponential(1.0, (80, end))
        power[:, :end] += self.noise_power * level.astype(np.float32)
        tilt = np.linspace(-1, 1, 80) * rng.uniform(-0.4, 0.4) + rng.uniform(-1.6, 0.8)
        power *= 10 ** tilt[:, None].astype(np.float32)
        log = np.log10(np.maximum(power, 1e-10))
        log = (np.maximum(log, log.max() - 8) + 4) / 4
        if rng.random() < 0.3:
            band = rng.integers(0, 72)
            log[band : band + rng.integers(2, 8)] = log.min()
        return log.astype(np.float32)


def loss(model: Reader, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross entropy of the tokens plus CTC of the phonemes."""
    logits, spelled = model(batch["mel"], batch["tokens"])
    reading = F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), ignore_index=-100)
    n_positions = torch.full((len(batch["mel"]),), spelled.shape[0])
    ctc = F.ctc_loss(
        spelled, batch["phonemes"], n_positions, batch["n_phonemes"], zero_infinity=True
    )
    return reading + CTC_WEIGHT * ctc


def export(model: Reader, path: Path) -> None:
    """Write openai-whisper's format, in half precision and deflated: torch.load reads that, too."""
    weights = model.whisper.state_dict()
    name = "decoder.token_embedding.weight"
    weights[name] = model.vocabulary.full(weights[name])
    halves = {key: value.half().contiguous() for key, value in weights.items()}
    dims = asdict(dimensions(model.vocabulary.n_full))
    stored = path.with_suffix(".stored")
    torch.save({"dims": dims, "model_state_dict": halves}, stored)
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(zipfile.ZipInfo(entry.filename), old.read(entry), zipfile.ZIP_DEFLATED, 9)
    stored.unlink()


def dev_clips(exclude: set[str]) -> list[tuple[str, np.ndarray]]:
    """Sentences in the demo's voices as the pipeline cuts them: room noise, some gain, a margin."""
    rng = np.random.default_rng(SEED + 1)
    clips = []
    for i, text in enumerate(islice(speech.sentences("dev", exclude), N_DEV)):
        voice = [*speech.DEMO_VOICES.values()][i % 4]
        manner = speech.Manner(voice, int(rng.integers(138, 161)), int(rng.integers(42, 59)))
        said = np.pad(speech.speak(text, manner), rng.integers(2500, 10000, 2))
        said = said + speech.background(len(said), rng.uniform(-62, -50), rng)
        said = speech.resample(said * rng.uniform(0.1, 1.2), speech.RATE_HZ, 24000)
        clips.append((text, speech.resample(said.astype(np.float32), 24000, RATE_HZ)))
    return clips


def word_error_rate(path: Path, clips: list[tuple[str, np.ndarray]]) -> float:
    """Word errors per word, through the real load_model and decode."""
    model = whisper.load_model(str(path), device="cpu")
    options = whisper.DecodingOptions(
        language="en", without_timestamps=True, temperature=0.0, fp16=False
    )
    errors = 0
    for at in range(0, len(clips), 10):
        mels = [
            whisper.log_mel_spectrogram(whisper.pad_or_trim(clip))
            for _, clip in clips[at : at + 10]
        ]
        results = whisper.decode(model, torch.stack(mels), options)
        said = [text for text, _ in clips[at : at + 10]]
        errors += sum(speech.word_errors(a, b.text) for a, b in zip(said, results, strict=True))
    return errors / sum(len(speech.plain_words(text)) for text, _ in clips)


def train(output: Path) -> None:
    """Make the data, run the phases, leave the best state at `output`."""
    torch.manual_seed(SEED)
    with open(HERE / "sentences.tsv", newline="") as table:
        demo = {row["text"] for row in csv.DictReader(table, delimiter="\t")}
    clips = dev_clips(demo)
    spoken = utterances(N_TRAIN, "whisper", demo | {text for text, _ in clips}, demo_share=0.6)
    vocabulary = CompactVocabulary([u.text for u in spoken] + [" " + u.text for u in spoken])
    windows = Windows(spoken, vocabulary)
    model = Reader(vocabulary, len(windows.phoneme))
    LOG.info("%d utterances, %d tokens in use", len(spoken), len(vocabulary.tokens))
    best = math.inf
    for phase in PHASES:
        optimizer = torch.optim.AdamW(model.parameters(), lr=phase.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, phase.learning_rate, total_steps=phase.n_steps, pct_start=0.1
        )
        mean = None
        for step in range(1, phase.n_steps + 1):
            value = loss(model, windows.batch(phase))
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            mean = value.item() if mean is None else 0.95 * mean + 0.05 * value.item()
            if step % 50 == 0:
                LOG.info("%s %d/%d loss %.3f", phase.name, step, phase.n_steps, mean)
            late = phase is not PHASES[0] and step % EVAL_EVERY_STEPS == 0
            if late or step == phase.n_steps:
                candidate = output.with_suffix(".candidate")
                export(model, candidate)
                rate = word_error_rate(candidate, clips)
                LOG.info("%s %d dev word error rate %.3f", phase.name, step, rate)
                if rate <= best:
                    best = rate
                    candidate.replace(output)
    output.with_suffix(".candidate").unlink(missing_ok=True)
    LOG.info("kept the state with a dev word error rate of %.3f in %s", best, output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "whisper.pt")
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    train(parser.parse_args().output)
