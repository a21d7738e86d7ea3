"""f5-tts's own inference program, also with a CPU build of torch: `infer.py --help`.

torchaudio's wheel needs CUDA libraries to be imported, which a CPU build of torch does not bring;
`voicekiln.upstream` lets it import without them.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[3])  # for the library
    import voicekiln.upstream  # noqa: F401  (f5_tts can be imported after it)

    runpy.run_module("f5_tts.infer.infer_cli", run_name="__main__")
