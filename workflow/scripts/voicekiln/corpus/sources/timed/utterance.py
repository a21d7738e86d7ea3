"""Utterances of a timed text, which the readers of all formats return."""

from dataclasses import dataclass, field

MOST = 1_000_000  # utterances of one file
MOST_LINES = 2_000_000
MOST_CHARACTERS = 20_000  # of one utterance, 20 minutes of speech
KEPT = 20  # broken utterances that are reported
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
class Utterance:
    """A span of a recording with its text.

    Attributes:
        line: of the file, from 1, for messages.
        end_s: None: up to the next utterance.
        text: as written, with its line breaks.
        channel: of the recording, from 0; None: all channels.
    """

    line: int
    start_s: float
    end_s: float | None
    text: str
    speaker: str | None = None
    channel: int | None = None


@dataclass
class Found:
    """Content of a file.

    Attributes:
        broken: (line, reason) of utterances that cannot be used, the first `KEPT` of them.
        n_broken: number of utterances that cannot be used.
        notes: other warnings: a message and its values, as for a logger.
    """

    utterances: list[Utterance] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)
    n_broken: int = 0
    notes: list[tuple] = field(default_factory=list)

    def add(self, utterance: Utterance) -> None:
        """Add an utterance unless it is silence; reject impossible times."""
        if utterance.text.strip().lower() in SILENCE:
            return
        why = impossible(utterance.start_s, utterance.end_s)
        if len(utterance.text) > MOST_CHARACTERS:
            why = why or f"more than {MOST_CHARACTERS} characters"
        if why:
            self.reject(utterance.line, why, utterance.text)
        else:
            self.utterances.append(utterance)

    def reject(self, line: int, why: str, text: str = "") -> None:
        """Count an utterance that cannot be used, with the reason."""
        self.n_broken += 1
        if len(self.broken) < KEPT:
            self.broken.append((line, f"{why}: {text.strip()[:SHOWN]!r}" if text else why))


def impossible(start_s: float, end_s: float | None) -> str | None:
    """Why no recording can have this utterance, or None."""
    if not (abs(start_s) <= MOST_S and (end_s is None or abs(end_s) <= MOST_S)):
        return f"a time beyond {MOST_S / 3600:g} hours"  # or not a number
    if start_s < 0:
        return "begins before 0 s"
    if end_s is not None and end_s < start_s:
        return "ends before it begins"
    if end_s is not None and end_s == start_s:
        return "ends where it begins"
    return None
