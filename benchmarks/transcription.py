"""Transcription: our batches beside upstream's calls for one segment after the other.

    python benchmarks/transcription.py [--rounds N]
    python benchmarks/transcription.py --gpu [--clips N]

On a CPU: the demo's sentences and its model, single-threaded; CPU seconds, the least of several
rounds that take turns, and the word error rate. Upstream's `transcribe` is what one calls for a
file; it pads with zeros where its `decode` pads with silence, which the demo's model reads better.
Its `decode`, with its word timing after it, does just what we do, a clip at a time. With --gpu: a
model of the size of `base` with random weights, whose texts are as long as they may be; wall
seconds.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import av
import jiwer
import numpy as np
import soundfile
import soxr
import torch
import whisper
from whisper.audio import HOP_LENGTH
from whisper.model import ModelDimensions, Whisper
from whisper.timing import find_alignment
from whisper.tokenizer import get_tokenizer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from voicekiln.asr.convert import convert  # noqa: E402
from voicekiln.asr.faster_whisper import FasterWhisperRecogniser  # noqa: E402
from voicekiln.asr.hypothesis import RATE_HZ, Clip, Recogniser  # noqa: E402
from voicekiln.asr.transcriber import Transcriber, TranscriberSettings  # noqa: E402
from voicekiln.asr.whisper import WhisperRecogniser  # noqa: E402
from voicekiln.text.clean import comparable  # noqa: E402

DEMO = ROOT / "resources" / "demo"
MARGIN_S = 0.15
BATCH = 8  # the default of transcribe.batch
BASE = ModelDimensions(80, 1500, 512, 8, 6, 51865, 448, 512, 8, 6)
SETTINGS = TranscriberSettings((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "none", 0.8)


def recording(path: Path) -> np.ndarray:
    """Mono samples `[n]` at 16 kHz, at the level that the pipeline brings them to."""
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        samples = samples.mean(axis=1)
    except soundfile.LibsndfileError:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            mono = av.AudioResampler("flt", "mono", stream.rate)
            frames = [f for frame in container.decode(stream) for f in mono.resample(frame)]
            samples, rate_hz = np.concatenate([f.to_ndarray()[0] for f in frames]), stream.rate
    samples = samples - samples.mean()
    samples *= 10 ** (-23 / 20) / np.sqrt(np.mean(samples**2))
    return soxr.resample(samples, rate_hz, RATE_HZ)


def sentences() -> tuple[list[Clip], list[str]]:
    """The demo's sentences, cut in their pauses, and what is said in them."""
    with open(DEMO / "sentences.tsv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    audio = {name: recording(DEMO / "recordings" / name) for name in {r["recording"] for r in rows}}
    clips = []
    for row in rows:
        start, end = float(row["start_s"]) - MARGIN_S, float(row["end_s"]) + MARGIN_S
        samples = audio[row["recording"]][round(start * RATE_HZ) : round(end * RATE_HZ)]
        clips.append(Clip(np.ascontiguousarray(samples, dtype=np.float32), "en"))
    return clips, [row["text"] for row in rows]


def transcribed(model: Whisper, clips: list[Clip]) -> list[str]:
    """`whisper.transcribe` for each clip."""
    way = {"language": "en", "fp16": False, "without_timestamps": True}
    return [
        whisper.transcribe(model, clip.samples, condition_on_previous_text=False, **way)["text"]
        for clip in clips
    ]


def decoded(model: Whisper, clips: list[Clip], words: bool) -> list[str]:
    """`whisper.decode` for each clip, and upstream's word timing."""
    options = whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False)
    tokenizer = get_tokenizer(model.is_multilingual, language="en", task="transcribe")
    texts = []
    for clip in clips:
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip.samples))
        result = whisper.decode(model, mel, options)
        texts.append(result.text)
        if words:
            n_frames = len(clip.samples) // HOP_LENGTH
            find_alignment(model, tokenizer, result.tokens, mel, n_frames)
    return texts


def batched(recogniser: Recogniser, clips: list[Clip]) -> list[str]:
    """As the pipeline does it."""
    return [record["text"] for record in Transcriber(recogniser, None, SETTINGS)(clips)]


def error_rate(said: list[str], heard: list[str]) -> float:
    """Word error rate without case and punctuation."""
    return jiwer.wer([comparable(text) for text in said], [comparable(text) for text in heard])


def on_a_cpu(rounds: int) -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    clips, said = sentences()
    checkpoint = DEMO / "whisper.pt"
    upstream = whisper.load_model(str(checkpoint), device="cpu")
    folder = tempfile.TemporaryDirectory()
    convert(checkpoint, Path(folder.name))
    ways: dict[str, Callable[[], list[str]]] = {}
    for words in (False, True):
        ours = WhisperRecogniser(checkpoint, BATCH, "cpu", words)
        faster = FasterWhisperRecogniser(Path(folder.name), BATCH, "cpu", words)
        what = "with word times" if words else "text"
        if not words:  # with word times it starts again behind the last word, and takes minutes
            ways[f"{what}|transcribe"] = lambda: transcribed(upstream, clips)
        ways[f"{what}|decode"] = lambda words=words: decoded(upstream, clips, words)
        ways[f"{what}|batched"] = lambda ours=ours: batched(ours, clips)
        ways[f"{what}|faster-whisper"] = lambda faster=faster: batched(faster, clips)
    best: dict[str, float] = {}
    heard: dict[str, list[str]] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            heard[name] = way()
            spent = time.process_time() - began
            best[name] = min(spent, best.get(name, spent))
    seconds = sum(len(clip.samples) for clip in clips) / RATE_HZ
    print(f"{len(clips)} sentences, {seconds:.0f} s, batches of {BATCH}; CPU seconds of {rounds}\n")
    print(f"{'':<34}{'s':>8}{'WER':>8}{'decode/it':>12}")
    for name, spent in best.items():
        ratio = best[f"{name.split('|')[0]}|decode"] / spent
        wer = error_rate(said, heard[name])
        print(f"{name.replace('|', ', '):<34}{spent:>8.2f}{100 * wer:>7.1f}%{ratio:>12.2f}")


def on_a_gpu(n_clips: int) -> None:
    """Measure batches of several sizes and print the table."""
    torch.manual_seed(0)
    clips, _ = sentences()
    clips = (clips * (n_clips // len(clips) + 1))[:n_clips]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, "base.pt")
        content = {"dims": asdict(BASE), "model_state_dict": Whisper(BASE).state_dict()}
        torch.save(content, checkpoint)
        print(f"{n_clips} clips, size of base, {torch.cuda.get_device_name()}; wall seconds\n")
        print(f"{'batch':<12}{'s':>8}{'clips/s':>10}{'ratio':>8}")
        first = None
        for size in (1, 8, 32):
            recogniser = WhisperRecogniser(checkpoint, size, "cuda", word_times=False)
            recogniser.transcribe(clips[:size], size)
            torch.cuda.synchronize()
            began = time.monotonic()
            for at in range(0, n_clips, size):
                recogniser.transcribe(clips[at : at + size], size)
            torch.cuda.synchronize()
            spent = time.monotonic() - began
            first = first or spent
            print(f"{size:<12}{spent:>8.2f}{n_clips / spent:>10.1f}{first / spent:>8.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--clips", type=int, default=64)
    asked = parser.parse_args()
    on_a_gpu(asked.clips) if asked.gpu else on_a_cpu(asked.rounds)
