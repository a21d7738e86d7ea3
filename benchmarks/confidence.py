"""How well confidence separates right from wrong transcripts.

    .venv/bin/python benchmarks/confidence.py [N]

Transcribes N (40) of the demo's sentences, each clean and in noise at 20, 10, 5 and 0 dB, and N
stretches of noise alone, with the demo's Whisper and a second opinion on all. Prints for each limit
of confidence how many clips stay and their character error rate, and how well confidence and each
of its parts rank right transcripts (CER at most 5 %) above wrong ones (above 20 %): the fraction of
pairs in the right order (AUC).
"""

import csv
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
import soundfile  # noqa: E402
import soxr  # noqa: E402
from voicekiln.asr import engines  # noqa: E402
from voicekiln.asr.hypothesis import RATE_HZ, Clip  # noqa: E402
from voicekiln.asr.transcriber import Transcriber, TranscriberSettings  # noqa: E402
from voicekiln.corpus.confidence import PARTS, inspect, score  # noqa: E402
from voicekiln.store import tables  # noqa: E402
from voicekiln.text.distance import character_error_rate  # noqa: E402

DEMO = ROOT / "resources" / "demo"
SNRS_DB = (None, 20, 10, 5, 0)
LIMITS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)


def sentences(n):
    """(text, samples) of demo sentences."""
    with open(DEMO / "sentences.tsv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    readable = [
        row for row in rows if row["recording"].endswith((".flac", ".wav", ".ogg", ".opus"))
    ]
    for row in readable[:n]:
        with soundfile.SoundFile(DEMO / "recordings" / row["recording"]) as sound:
            start = max(0, round((float(row["start_s"]) - 0.15) * sound.samplerate))
            sound.seek(start)
            length = round((float(row["end_s"]) + 0.15) * sound.samplerate) - start
            samples = sound.read(length, dtype="float32", always_2d=True).mean(1)
        yield row["text"], soxr.resample(samples, sound.samplerate, RATE_HZ).astype(np.float32)


def cases(n):
    """(true text, samples): clean, in noise, and noise alone."""
    rng = np.random.default_rng(0)
    for text, samples in sentences(n):
        noise = rng.standard_normal(len(samples)).astype(np.float32)
        noise *= np.sqrt(np.mean(samples**2) / np.mean(noise**2))
        for snr_db in SNRS_DB:
            yield text, samples if snr_db is None else samples + noise * 10 ** (-snr_db / 20)
        yield "", noise * 0.3


def auc(values, right, wrong):
    """Share of (right, wrong) pairs in which the right one is higher; ties count half."""
    a, b = values[right][:, None], values[wrong][None]
    there = ~(np.isnan(a) | np.isnan(b))
    return float(((a > b) + 0.5 * (a == b))[there].mean()) if there.any() else float("nan")


def main(n):
    truth, clips = zip(*cases(n), strict=True)
    way = TranscriberSettings((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "all", 0.8)
    recogniser = engines.load(DEMO / "whisper.pt", 8, "cpu", word_times=False)
    heard = Transcriber(recogniser, None, way)([Clip(samples, "en") for samples in clips])
    rows = [
        {name: one[name] for name in PARTS if name in one}
        | {"text": one["text"], "text_source": "hypothesis", "status": "keep", "language": "en"}
        | {"start": 0, "end": len(samples), "rate_hz": RATE_HZ}
        for one, samples in zip(heard, clips, strict=True)
    ]
    table = score(inspect(tables.frame(rows, tables.SEGMENTS)))
    cer = [character_error_rate(t, h) for t, h in zip(truth, table["text"], strict=True)]
    cer = np.minimum(cer, 1.0)
    said = (table["text"].str.len() > 0).to_numpy()  # an empty text is dropped anyway
    confidence = table["confidence"].to_numpy(float)
    print(f"{len(table)} clips, {said.sum()} with a text; confidence: clips, mean CER, CER > 20 %")
    for limit in LIMITS:
        kept = said & (confidence >= limit)
        print(
            f"  {limit:4.2f}: {kept.sum():4d} {cer[kept].mean():7.3f} {(cer[kept] > 0.2).sum():5d}"
        )
    right, wrong = said & (cer <= 0.05), said & (cer > 0.2)
    print(f"{right.sum()} right, {wrong.sum()} wrong; pairs in the right order by")
    print(f"  confidence {auc(confidence, right, wrong):.3f}")
    for name, part in PARTS.items():
        if name in table and name != "cer":
            values = table[name].to_numpy(float) * np.sign(part.good - part.bad)
            print(f"  {name} alone {auc(values, right, wrong):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
