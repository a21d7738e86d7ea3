"""Makes the upstream packages importable here: import this before `torchaudio` or `f5_tts`.

* torchaudio's wheel on the package index is linked against CUDA. With a CPU build of torch its
  extension cannot be loaded and `import torchaudio` ends in an OSError. torchaudio has a state
  "extension not there", in which all that is written in Python works (resampling, mel
  spectrograms, filters); it is put into that state without touching its files.
* wandb, transformers, datasets and huggingface_hub, which f5_tts imports, are told to stay off
  the network.
"""

import importlib.util
import logging
import os
import sys
import types
from pathlib import Path

import torch

log = logging.getLogger(__name__)

OFFLINE = {
    "WANDB_MODE": "disabled",
    "WANDB_SILENT": "true",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}


def stay_offline() -> None:
    """Tells the packages behind f5_tts to reach no network; a variable already set is kept."""
    for name, value in OFFLINE.items():
        os.environ.setdefault(name, value)


def torchaudio_extension_loads() -> bool:
    """True unless torchaudio brings a compiled extension that the installed torch cannot load."""
    spec = importlib.util.find_spec("torchaudio")
    if spec is None or spec.origin is None:
        return True
    for library in Path(spec.origin).parent.glob("lib/_torchaudio*.so"):
        try:
            torch.ops.load_library(library)
        except OSError:
            return False
    return True


def bypass_torchaudio_extension() -> None:
    """Puts a stand-in for `torchaudio._extension` in place that says: no extension here."""

    def fail_if_no_align(function):
        def unavailable(*args, **kwargs):
            raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension")

        return unavailable

    extension = types.ModuleType("torchaudio._extension")
    extension._IS_TORCHAUDIO_EXT_AVAILABLE = False
    extension._IS_ALIGN_AVAILABLE = False
    extension.fail_if_no_align = fail_if_no_align
    sys.modules["torchaudio._extension"] = extension
    log.debug("torchaudio's extension needs CUDA libraries; using its Python parts only")


def prepare() -> None:
    """Does all of the above that is necessary; runs when this module is imported."""
    stay_offline()
    # With a CUDA build of torch this is a fault of the installation and must be seen.
    if torch.version.cuda is None and "torchaudio" not in sys.modules:
        if not torchaudio_extension_loads():
            bypass_torchaudio_extension()


prepare()
