"""Report every mistake in a configuration with file, line and remedy.

    .venv/bin/python workflow/scripts/check_config.py config/my.yaml

For files that Snakemake refuses, without a line, before VoiceKiln sees them: tabs, wrong
indentation, aliases that contain themselves, a missing file. It starts no job.
"""

import argparse
import sys
from copy import deepcopy
from pathlib import Path

from voicekiln.config import yaml_files
from voicekiln.config.resolve import load
from voicekiln.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def main():
    parser = argparse.ArgumentParser(description="Report every mistake in a configuration.")
    parser.add_argument("configfile", type=Path, nargs="+", help="later ones override earlier ones")
    try:
        whole, lines = {}, {}
        for path in parser.parse_args().configfile:
            content, where = yaml_files.read(path)
            merge(whole, content)
            lines |= where
        resolved = load(whole, ROOT, lines)
    except UserError as error:
        sys.exit(f"Error: {error}")
    corpora, runs = (", ".join(resolved[key]) or "none" for key in ("corpora", "runs"))
    print(f"The configuration is valid. Corpora: {corpora}. Runs: {runs}.")


def merge(below, above):
    """Put the values of `above` into `below`, as Snakemake merges configuration files."""
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            merge(below[key], value)
        else:
            below[key] = deepcopy(value)


if __name__ == "__main__":
    main()
