"""Time of the search for the likeliest CTC path: 30 s of audio at 50 frames a second, 400 letters.

    .venv/bin/python benchmarks/alignment.py

The acoustic model is left out: its time depends on its size alone, and none is shipped.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
from voicekiln.ctc.viterbi import best_path

FRAMES, LETTERS, VOCABULARY, RUNS = 1500, 400, 40, 7


def main():
    """Print the median time."""
    rng = np.random.default_rng(0)
    log_probs = np.log(rng.dirichlet([0.1] * VOCABULARY, FRAMES) + 1e-9).astype(np.float32)
    letters = rng.integers(1, VOCABULARY, LETTERS).tolist()
    times = []
    for _ in range(RUNS):
        begin = time.process_time()
        best_path(log_probs, letters, 0)
        times.append(time.process_time() - begin)
    print(f"{np.median(times):.3f} s of CPU for {FRAMES} frames and {LETTERS} letters")


if __name__ == "__main__":
    main()
