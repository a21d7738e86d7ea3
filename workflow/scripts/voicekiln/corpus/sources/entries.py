"""One line of a list of recordings, and the readers of its fields."""

import math
import re
from dataclasses import dataclass
from typing import Any

from voicekiln.errors import UserError
from voicekiln.text.languages import CODE, short_code

CHANNEL_LETTERS = {"a": 0, "b": 1, "left": 0, "right": 1, "l": 0, "r": 1}
# not ISO 639, but common in lists of Chinese and Japanese voices
OTHER_CODES = {"jp": "ja", "cn": "zh"}
NUMBER = re.compile(r"[+-]?\d{1,15}(?:[.,]\d{0,30})?(?:[eE][+-]?\d{1,3})?|[+-]?[.,]\d{1,30}")
CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d{1,30})?)")


class NoList(UserError):
    """A file that was read as a list and names no recordings."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording, or an utterance of one, with its text."""

    where: str  # file and line
    audio: str  # as the list writes it
    text: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    speaker: str | None = None
    language: str | None = None
    fault: str | None = None  # why the recording cannot be used
    channel: int | None = None  # of the file, counted from 0; None: all of them together


def language_code(code: str | None, where: str) -> str | None:
    """The language of a code or locale: `sv-SE` and `swe` are `sv` to a recogniser.

    Raises:
        UserError: the code is malformed.
    """
    if code is None:
        return None
    code = str(code).strip()
    if not CODE.fullmatch(code):
        raise UserError(f"{where}: expected a language code such as am or en, found {code[:40]!r}")
    language = short_code(code)
    return OTHER_CODES.get(language, language)


def channel_number(value: Any, where: str) -> int | None:
    """A channel counted from 0; `A` and `left` are the first.

    Raises:
        UserError: the value is none of these.
    """
    if value is None:
        return None
    text = str(value).strip().lower()
    if text in CHANNEL_LETTERS:
        return CHANNEL_LETTERS[text]
    if re.fullmatch("[0-9]{1,2}", text):
        return int(text)
    raise UserError(
        f"{where}: expected a channel counted from 0, or A or B, found {str(value)[:40]!r}"
    )


def number(value: Any) -> float | None:
    """A number with a decimal point or comma, or a clock time in seconds; None for other values."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        try:
            found = float(value)
        except OverflowError:
            return None
        return found if math.isfinite(found) else None
    text = str(value).strip()
    if NUMBER.fullmatch(text):
        found = float(text.replace(",", "."))
        return found if math.isfinite(found) else None
    if clock := CLOCK.fullmatch(text):
        hours, minutes, seconds = clock.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))
    return None


def span(start: Any, end: Any, length: Any, scales: dict[str, float], where: str):
    """Start and end of an utterance in seconds; (None, None) for a whole recording.

    Args:
        start, end, length: as the list writes them, or None. An end takes precedence over a length;
            a length without a start is that of the recording.
        scales: seconds per unit of `start`, `end` and `duration`.

    Raises:
        UserError: they are not numbers, negative, or not in order.
    """
    if start is None and end is None:
        return None, None
    name, other = ("end", end) if end is not None else ("duration", length)
    start_s, other_s = number(start), number(other)
    if start_s is not None and (other_s is not None or other is None):
        start_s *= scales["start"]
        end_s = None if other is None else other_s * scales[name]
        end_s = end_s if name == "end" or end_s is None else start_s + end_s
        if 0 <= start_s < (math.inf if end_s is None else end_s):
            return start_s, end_s
    found = f"start {str(start)[:40]!r}" + (
        "" if other is None else f", {name} {str(other)[:40]!r}"
    )
    raise UserError(
        f"{where}: expected times in seconds (start or offset, and end or duration), not "
        f"negative, the end after the start; found {found}"
    )
