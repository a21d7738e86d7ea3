"""Targets on the command line."""

import difflib
from collections.abc import Iterable, Sequence, Set
from pathlib import Path

from voicekiln.errors import UserError

# targets that read only results/, so that recordings and models may be missing
NO_INPUT = {"gc", "review_so_far"}


def of(argv: Sequence[str]) -> list[str]:
    """Targets in the arguments of a `snakemake` command; [] for any other program."""
    from snakemake.cli import get_argument_parser

    if Path(argv[0]).stem not in ("snakemake", "__main__"):
        return []
    return get_argument_parser().parse_known_args(argv[1:])[0].targets


def read_input(targets: Sequence[str]) -> bool:
    """Whether any of these targets (none: the default target) reads recordings or models."""
    return not targets or not NO_INPUT.issuperset(targets)


def check(targets: Iterable[str], rules: Set[str], offered: Sequence[str]) -> None:
    """Stop if a word on the command line is not a target.

    Args:
        targets: words on the command line.
        rules: names of all rules.
        offered: names for the message.

    Raises:
        UserError: naming the word, and a similar target.
    """
    for target in targets:
        if target not in rules and "/" not in target:
            close = difflib.get_close_matches(target, offered, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UserError(
                f"there is no target {target}{hint} (targets: {', '.join(offered)}, or a file "
                "below results/)"
            )
