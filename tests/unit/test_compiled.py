"""librosa's compiled functions survive that several processes compile them at the same time."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

CODE = """
import numpy as np
from voicekiln.audio.pitch import voiced_pitch_hz

tone = np.sin(np.arange(24000) * (2 * np.pi * 200 / 24000)).astype(np.float32)
assert abs(np.median(voiced_pitch_hz(tone, 24000)) - 200) < 5
"""


@pytest.mark.slow
def test_shards_that_start_together_in_a_new_environment_leave_working_files(tmp_path):
    for trial in range(2):
        environment = os.environ | {
            "NUMBA_CACHE_DIR": str(tmp_path / str(trial)),
            "PYTHONPATH": str(ROOT / "workflow/scripts"),
        }

        def start(environment=environment):
            return subprocess.Popen([sys.executable, "-c", CODE], env=environment)

        together = [start() for _ in range(3)]
        assert [process.wait() for process in together] == [0, 0, 0]
        assert start().wait() == 0
