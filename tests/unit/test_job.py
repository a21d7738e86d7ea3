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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("inside", ["", "raise RuntimeError('while saving') from error"])
def test_a_full_disk_is_one_line(inside):
    """Wherever it is met in a job, also below another library's error."""
    script = f"""
import sys
from voicekiln import job
sys.excepthook = job._explain
try:
    with open("/dev/full", "w") as file:
        file.write("x" * 100000)
except OSError as error:
    {inside or "raise"}
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "scripts")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: No space left on device; ") and "run snakemake again" in line


def test_the_time_left_does_not_count_what_came_before_the_first_item(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr(job.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(job, "say", said.append)
    progress = job.Progress(10, "recordings measured", every_s=5.0)
    for at_s in (60.0, 62.0, 64.0, 66.0):  # a minute of imports, then 2 s each
        now[0] = at_s
        progress()
    assert said == ["1/10 recordings measured", "4/10 recordings measured, 12 s left"]
