"""How long the review page of thousands of segments takes to make, and how large it is.

    python benchmarks/review.py [SEGMENTS]

The audio is noise with pauses in recordings of 12 minutes, a segment of 4 s every 4.5 s. Also: how
soon Chromium plays the end of a recording of twelve hours.
"""

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import review_corpus  # noqa: E402
import soundfile  # noqa: E402
from browser import Browser, executable  # noqa: E402
from voicekiln.review import audio, facts, page  # noqa: E402
from voicekiln.store import tables  # noqa: E402
from voicekiln.store.items import Store  # noqa: E402

RATE_HZ, EVERY_S, LENGTH_S, PER_RECORDING = 24000, 4.5, 4.0, 160
TEXT = "The harbour was quiet that morning, and nobody had seen the boats leave."
PLAYS = """new Promise(done => {
  const began = performance.now();
  audio.addEventListener("playing", () => done((performance.now() - began) / 1000));
  select(0); play();
})"""


def recording(store: Store, name: str, minutes: float) -> dict:
    """A normalised recording in the store; its row."""
    key = store.key(name=name)
    part = store.workfile(key, "flac")
    rng = np.random.default_rng(len(name))
    minute = rng.normal(0, 0.05, 60 * RATE_HZ) * (np.arange(60 * RATE_HZ) % (4 * RATE_HZ) > RATE_HZ)
    with soundfile.SoundFile(part, "w", RATE_HZ, 1, "PCM_16", format="FLAC") as file:
        for _ in range(round(minutes)):
            file.write(minute)
    store.put(key, {}, flac=part)
    whole = {"recording_id": name, "content_sha256": name, "path": f"{name}.wav", "item": key}
    return whole | {"status": "ok", "rate_hz": RATE_HZ, "n_samples": round(minutes) * 60 * RATE_HZ}


def segment(source: dict, i: int, start_s: float, confidence: float) -> dict:
    start = round(start_s * RATE_HZ)
    row = {name: source[name] for name in ("recording_id", "path", "item", "rate_hz")}
    row |= {"start": start, "end": start + round(LENGTH_S * RATE_HZ), "text": f"{TEXT} {i}"}
    row |= {"segment_id": f"{source['recording_id']}_{start}", "confidence": confidence}
    row |= {"speaker": "anna", "language": "en", "text_source": "hypothesis"}
    return row | {"status": "keep", "split": "train"}


def make(folder: Path, normalized: Store, sources: list[dict], rows: list[dict]) -> Path:
    """The page, by the same calls as the rule."""
    recordings = tables.frame(sources, tables.RECORDINGS)
    listed = facts.worst_first(tables.frame(rows, tables.SEGMENTS))
    content = facts.gather("bench", listed, recordings, [], [], 0.4) | {"digest": "bench"}
    with Store(folder / "store", "review") as store:
        peaks = review_corpus.peaks(listed, recordings, normalized, store, 0.4)
    content["segments"]["peaks"] = peaks
    items = sorted(set(listed["item"]))
    audio.place(folder / "review/audio", [normalized.path(item, ".flac") for item in items])
    target = folder / "review/index.html"
    target.write_text(page.render(content, len(listed)), encoding="utf-8")
    return target


def timed(what: str, call, *arguments):
    began = time.perf_counter()
    result = call(*arguments)
    print(f"{what}: {time.perf_counter() - began:.1f} s")
    return result


def main(n: int) -> None:
    with tempfile.TemporaryDirectory(dir=ROOT / "results") as name:
        folder = Path(name)
        normalized = Store(folder / "store", "normalize")
        count = -(-n // PER_RECORDING)
        sources = [recording(normalized, f"r{i:015}", 12) for i in range(count)]
        rows = [
            segment(sources[i // PER_RECORDING], i, i % PER_RECORDING * EVERY_S, 1 - i / n)
            for i in range(n)
        ]
        html = timed(f"{n} segments, first time", make, folder, normalized, sources, rows)
        timed("made again", make, folder, normalized, sources, rows)
        print(
            f"page: {html.stat().st_size / 2**20:.1f} MiB, {html.stat().st_size / n:.0f} bytes each"
        )
        if executable():
            with Browser(folder / "profile", 1280) as chromium:
                timed("opened in Chromium", chromium.open, html)
                print("rows in the document:", chromium.evaluate("rows.size"))
        long = recording(normalized, "long", 720)
        html = make(folder, normalized, [long], [segment(long, 0, 43100, 0.5)])
        if executable():
            with Browser(folder / "profile", 1280) as chromium:
                chromium.open(html)
                chromium.press("Home")  # browsers play after a gesture
                print(f"12 h recording: its end plays after {chromium.evaluate(PLAYS):.2f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
