"""What a job knows of the Snakemake above it, and of the terminal."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from voicekiln import job

JOB = """
import sys, time
from pathlib import Path
from voicekiln import job
job._starters = job.starters()
Path(sys.argv[1], "began").touch()
while not job.abandoned():
    time.sleep(0.05)
Path(sys.argv[1], "abandoned").touch()
"""


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"no {path.name}")


@pytest.mark.parametrize("command", ['"$@"; true', 'exec "$@"'], ids=["in a shell", "directly"])
def test_a_job_notices_that_its_snakemake_is_gone(command, tmp_path):
    shell = ["bash", "-c", command, "bash", sys.executable, "-c", JOB, str(tmp_path)]
    snakemake = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({shell!r})"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "scripts")},
    )
    wait_for(tmp_path / "began")
    time.sleep(0.3)
    assert not (tmp_path / "abandoned").exists()
    snakemake.send_signal(signal.SIGKILL)
    snakemake.wait()
    wait_for(tmp_path / "abandoned")


def test_a_closed_terminal_ends_nothing(monkeypatch):
    reads, writes = os.pipe()
    os.close(reads)
    terminal = os.fdopen(writes, "w", buffering=1)
    monkeypatch.setattr(job, "_terminal", terminal)
    job.say("nobody reads this")
    job.say("nor this")
    with pytest.raises(BrokenPipeError):
        terminal.close()
