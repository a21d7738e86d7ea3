"""f5-tts's own inference program, also with a CPU build of torch: `f5_tts_infer.py --help`.

torchaudio's wheel needs CUDA libraries to be imported, which a CPU build of torch does not bring;
`voicekiln.upstream` lets it import without them.
"""

import runpy

import voicekiln.upstream  # noqa: F401  (f5_tts can be imported after it)

if __name__ == "__main__":
    runpy.run_module("f5_tts.infer.infer_cli", run_name="__main__")
