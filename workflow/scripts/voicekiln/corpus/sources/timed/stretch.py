"""What the readers of all formats return: stretches of a recording with a text."""

from dataclasses import dataclass, field

MOST = 1_000_000  # stretches of one file
MOST_LINES = 2_000_000
MOST_CHARACTERS = 20_000  # of one stretch, 20 minutes of speech
KEPT = 20  # broken ones
MOST_S = 48 * 3600.0  # the longest recording that is read
SHARED = (
    "%d cues contain words of several speakers, the first in line %d; they are assigned to the "
    "recording's own speaker unless you split them"
)
SHOWN = 60  # characters of a broken line in a message
SILENCE = frozenset(
    "sil sp spn pau h# # _ - xxx ... <sil> <p:> <p> <eps> <usb> <nib> <s> </s> [sil]".split()
) | {""}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a recording.

    Attributes:
        line: of the file, from 1, for messages.
        text: as it is written; lines are kept apart.
        end_s: None: up to the next one.
        channel: of the recording, from 0; None: all together.
    """

    line: int
    start_s: float
    end_s: float | None
    text: str
    speaker: str | None = None
    channel: int | None = None


@dataclass
class Found:
    """What a file holds.

    Attributes:
        broken: (line, why) of what cannot be used, the first of them.
        n_broken: how many there are.
        notes: what the user should know besides: a message and its values, as for a logger.
    """

    stretches: list[Stretch] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)
    n_broken: int = 0
    notes: list[tuple] = field(default_factory=list)

    def add(self, stretch: Stretch) -> None:
        """Take a stretch, unless it is silence; with impossible times it is broken."""
        if stretch.text.strip().lower() in SILENCE:
            return
        why = impossible(stretch.start_s, stretch.end_s)
        if len(stretch.text) > MOST_CHARACTERS:
            why = why or f"more than {MOST_CHARACTERS} characters"
        if why:
            self.reject(stretch.line, why, stretch.text)
        else:
            self.stretches.append(stretch)

    def reject(self, line: int, why: str, text: str = "") -> None:
        """Note that something in a line cannot be used."""
        self.n_broken += 1
        if len(self.broken) < KEPT:
            self.broken.append((line, f"{why}: {text.strip()[:SHOWN]!r}" if text else why))


def impossible(start_s: float, end_s: float | None) -> str | None:
    """Why no recording can have this stretch; None where one can."""
    if not (abs(start_s) <= MOST_S and (end_s is None or abs(end_s) <= MOST_S)):
        return f"a time beyond {MOST_S / 3600:g} hours"  # or not a number
    if start_s < 0:
        return "begins before 0 s"
    if end_s is not None and end_s < start_s:
        return "ends before it begins"
    if end_s is not None and end_s == start_s:
        return "ends where it begins"
    return None
