"""How long 100 000 corrections of a corpus of a million segments take to apply.

python benchmarks/corrections.py [SEGMENTS] [CORRECTIONS]
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from voicekiln.corpus.corrections import SCORES, Correction, correct  # noqa: E402
from voicekiln.store import tables  # noqa: E402

RATE_HZ, PER_RECORDING, LENGTH_S, EVERY_S = 24000, 50, 3, 4


def main(n: int, n_corrections: int) -> None:
    table = tables.frame([], tables.SEGMENTS).reindex(range(n))
    place = np.arange(n)
    names = np.char.mod("%016x", place // PER_RECORDING)
    table["recording_id"] = pd.array(names, "string")
    table["segment_id"] = pd.array(np.char.mod("%d", place), "string")
    table["start"] = place % PER_RECORDING * EVERY_S * RATE_HZ
    table["end"] = table["start"] + LENGTH_S * RATE_HZ
    table["rate_hz"] = RATE_HZ
    table[["text", "text_source", "status"]] = ["a text", "hypothesis", "keep"]
    table[SCORES] = 0.5
    made = []
    for i in place[:: max(1, n // n_corrections)].tolist():
        start = float(i % PER_RECORDING * EVERY_S)
        status = ("keep", "drop", None)[i % 3]
        made.append(Correction(i, names[i], start, start + LENGTH_S, f"text {i}", status, ""))
    began = time.perf_counter()
    corrected, conflicts = correct(table, made)
    seconds = time.perf_counter() - began
    applied = int((corrected["text_source"] == "corrected").sum())
    print(f"{len(made)} corrections, {n} segments: {seconds:.1f} s, {applied} applied")
    assert applied == len(made) and not conflicts


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (1_000_000, 100_000)))
