"""Report every mistake in a configuration with file, line and remedy.

    .venv/bin/python workflow/scripts/check_config.py config/my.yaml

For files that Snakemake refuses, without a line, before VoiceKiln sees them: tabs, wrong
indentation, aliases that contain themselves, a missing file. It starts no job.
"""

import argparse
import sys
from pathlib import Path

from voicekiln.config import yaml_files
from voicekiln.config.resolve import load
from voicekiln.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def main():
    parser = argparse.ArgumentParser(description="Report every mistake in a configuration.")
    parser.add_argument("configfile", type=Path, nargs="+", help="later ones override earlier ones")
    try:
        content, lines = yaml_files.read_all(parser.parse_args().configfile)
        resolved = load(content, ROOT, lines)
    except UserError as error:
        sys.exit(f"Error: {error}")
    corpora, runs = (", ".join(resolved[key]) or "none" for key in ("corpora", "runs"))
    print(f"The configuration is valid. Corpora: {corpora}. Runs: {runs}.")


if __name__ == "__main__":
    main()
