"""Targets on the command line."""

import difflib
from collections.abc import Iterable, Sequence, Set

from voicekiln.errors import UserError


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
