"""Predicted opinion scores of a clip by DNSMOS, whose weights come with the package speechmos.

Three scores of ITU-T P.835, each from 1 (bad) to 5 (excellent): of the speech alone, of the
background (5: no noise can be heard), and overall. The network was trained on listeners' ratings of
noisy and denoised speech in a few languages. Its scores rank clips of one speaker; across
languages, speakers and microphones they are not comparable. It takes an offset for noise, so it
must be removed before, as `normalize` does.
Reddy, Gopal, Cutler, "DNSMOS P.835: A Non-Intrusive Perceptual Objective Speech Quality Metric to
Evaluate Noise Suppressors" (ICASSP 2022).

Only the weights are taken from the package. The package itself is not imported: it needs librosa,
computes a fourth score for every window, and by a rounding error leaves out the windows that start
at 7 to 23 s.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soxr

from voicekiln.errors import UserError

VERSION = 1  # of what is done around the network; raise it if a score changes
SCORES = ("mos_signal", "mos_background", "mos_overall")
RATE_HZ = 16_000
WINDOW = 144_160  # samples, 9.01 s, the only length that the network takes
MAX_WINDOWS = 3  # of a clip, evenly spaced: all of them rarely change a score by more than 0.04
# Of each score, a polynomial of what the network gives, highest power first. It maps onto the
# scale of the listeners; the numbers are those that were published with the weights.
CALIBRATION = np.array(
    [
        [-0.08397278, 1.22083953, 0.0052439],
        [-0.13166888, 1.60915514, -0.39604546],
        [-0.06766283, 1.11546468, 0.04602535],
    ]
)


def weights_path() -> Path:
    """The network's file in the installed package.

    Raises:
        UserError: the package is not installed here.
    """
    spec = find_spec("speechmos")
    if spec is None:
        raise UserError(
            "measure.mos is true and speechmos is installed where Snakemake runs, but the job's "
            "environment lacks it: add speechmos to envs/audio.yaml, or set measure.mos: false"
        )
    return Path(spec.submodule_search_locations[0]) / "dnsmos_models" / "sig_bak_ovr.onnx"


class Rater:
    """Predicted opinion scores of a clip; one object may be used by several threads."""

    def __init__(self, max_windows: int | None = MAX_WINDOWS):
        """
        Args:
            max_windows: that are rated of a clip; None: all.
        """
        path = weights_path()
        import onnxruntime  # takes a while, and only few corpora need it

        # One thread for each call: measure.py rates several recordings at a time, and the sums do
        # not depend on the number of threads then.
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._max_windows = max_windows

    def __call__(self, samples: np.ndarray, rate_hz: int) -> dict[str, float | None]:
        """`SCORES` of the clip; None if it is empty.

        Args:
            samples: `[n]` float32, full scale 1.
        """
        samples = soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ").astype(np.float32)
        if not len(samples):
            return dict.fromkeys(SCORES)
        samples, starts = windows(samples)
        if self._max_windows and len(starts) > self._max_windows:
            chosen = np.linspace(0, len(starts) - 1, self._max_windows).round().astype(int)
            starts = [starts[i] for i in chosen]
        # windows in one batch take as long and more memory
        raw = [
            self._session.run(None, {"input_1": samples[None, start : start + WINDOW]})[0][0]
            for start in starts
        ]
        each = [[np.polyval(c, x) for c, x in zip(CALIBRATION, row, strict=True)] for row in raw]
        mean = np.mean(each, axis=0)
        return {name: round(float(value), 3) for name, value in zip(SCORES, mean, strict=True)}


def windows(samples: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """A clip at `RATE_HZ`, doubled until it fills a window, and where its windows start.

    They start a second apart; a part of a second at the end belongs to no further window.
    """
    while len(samples) < WINDOW:
        samples = np.concatenate([samples, samples])
    n_windows = max(1, len(samples) // RATE_HZ - 9)  # 9.01 s of each whole number of seconds
    return samples, [i * RATE_HZ for i in range(n_windows)]
