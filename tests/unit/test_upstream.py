"""`voicekiln.upstream`: the upstream packages import beside a CPU torch and reach no network."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

# Any attempt to resolve a name or to open a connection ends the process.
NO_NETWORK = """
import os, socket
def refuse(*args, **kwargs):
    print("network:", args); os._exit(3)
socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = socket.socket.connect_ex = refuse
"""


def python(code: str, **environment) -> subprocess.CompletedProcess:
    env = {
        k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "HF_", "TRANSFORMERS"))
    }
    env |= {"PYTHONPATH": str(ROOT / "workflow" / "scripts"), "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)


def test_f5_tts_imports_without_network():
    code = (
        NO_NETWORK
        + "import voicekiln.upstream\n"
        + "import torchaudio, f5_tts.infer.utils_infer\n"
        + "from f5_tts.model import CFM, DiT, Trainer\n"
        + "import torch; x = torchaudio.functional.resample(torch.zeros(1, 480), 48000, 24000)\n"
        + "print(tuple(x.shape))"
    )
    done = python(code)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("(1, 240)")


@pytest.mark.skipif(torch.version.cuda is not None, reason="the fault needs a CPU build of torch")
def test_it_is_needed_and_leaves_a_working_extension_alone():
    bare = python("import torchaudio")
    prepared = python(
        "import voicekiln.upstream, sys; print('torchaudio._extension' in sys.modules)"
    )
    assert prepared.returncode == 0, prepared.stderr
    assert (bare.returncode != 0) == (prepared.stdout.strip() == "True")


def test_a_users_own_setting_is_kept():
    done = python(
        "import voicekiln.upstream, os; print(os.environ['WANDB_MODE'])", WANDB_MODE="offline"
    )
    assert done.stdout.strip() == "offline"


def test_upstreams_program_starts_with_what_is_installed_and_without_network():
    script = ROOT / "workflow/scripts/voicekiln/families/f5/infer.py"
    run = "import runpy, sys; sys.argv = ['f5', '--help']; sys.path.insert(0, '')\n"
    done = python(f"{NO_NETWORK}{run}runpy.run_path({str(script)!r}, run_name='__main__')")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--ref_audio" in done.stdout and "--load_vocoder_from_local" in done.stdout
