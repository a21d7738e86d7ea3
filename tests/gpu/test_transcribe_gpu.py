"""Whisper on a GPU, in half precision: the texts are those of the CPU."""

import csv

import pytest
import soundfile
import soxr
import torch
from conftest import ROOT
from voicekiln.asr.convert import convert
from voicekiln.asr.engines import load
from voicekiln.asr.hypothesis import RATE_HZ, Clip

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
DEMO = ROOT / "resources" / "demo"
CHECKPOINT = DEMO / "whisper.pt"


def demo_clips() -> list[Clip]:
    """The first three sentences of a demo recording."""
    name = "ben/station.flac"
    with open(DEMO / "sentences.tsv", newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if r["recording"] == name][:3]
    samples, rate_hz = soundfile.read(DEMO / "recordings" / name, dtype="float32")
    spans = [(float(row["start_s"]) - 0.15, float(row["end_s"]) + 0.15) for row in rows]
    cut = [samples[round(start * rate_hz) : round(end * rate_hz)] for start, end in spans]
    return [Clip(soxr.resample(part, rate_hz, RATE_HZ), "en") for part in cut]


@pytest.mark.parametrize("engine", ["whisper", "faster-whisper"])
def test_texts_and_word_times_are_those_of_the_cpu(engine, tmp_path):
    clips, model = demo_clips(), CHECKPOINT
    if engine == "faster-whisper":
        convert(CHECKPOINT, tmp_path)
        model = tmp_path / "model.bin"
    on_cpu = load(CHECKPOINT, 3, "cpu", word_times=True)
    on_gpu = load(model, 3, "cuda", word_times=True)
    heard = zip(on_gpu.transcribe(clips, 3), on_cpu.transcribe(clips, 3), strict=True)
    for ours, theirs in heard:
        assert ours.text == theirs.text
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=0.02)
        assert len(ours.words) == len(theirs.words)
    for way in ({"temperature": 0.8}, {"beams": 3}):
        assert on_gpu.transcribe(clips, 3, **way) == on_gpu.transcribe(clips, 3, **way)
