"""The tiers of an annotation file that contain speech, and their speakers."""

import bisect
import heapq
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from zlib import crc32

from voicekiln.corpus.sources.timed.utterance import Found
from voicekiln.corpus.sources.timed.words import are_phones, in_order
from voicekiln.errors import UserError
from voicekiln.text.clean import letters

# parts of a tier's name that describe its content and name nobody
WORDS = r"words?|wrd|ort-mau|mots?|wörter|wort|palabras?|parole|слова|слово"
TEXT = (
    rf"{WORDS}|utterances?|utt|sentences?|sents?|text|texts|txt|transcripts?|transcriptions?|"
    r"transcrip\w*|trans|trs|trn|tro|tx|orthograph\w*|ortho?|default|default-lt|tier|"
    r"tier ?\d+|speech|phrases?|turns?|segments?|lines?|satz|sätze|äußerungen|"
    r"frases?|oración|oraciones|frasi|фразы"
)
PHONES = r"phones?|phonemes?|phonetic\w*|phono\w*|phn|phon|mau|kan-mau|kan|ipa|sampa|segs?"
OTHER = (
    r"syll\w*|tones?|tobi|breaks?|break.?ind\w*|pitch|stress|notes?|comments?|kommentare?|remarks?|"
    r"gloss\w*|translations?|transl|übersetzung|traduc\w*|pos|lemmas?|morph\w*|gestures?|"
    r"gestik|gaze|noises?|events?|clicks?|silences?|vad|misc|kinds?"
)
KINDS = rf"(?P<what>{TEXT}|{PHONES}|{OTHER})"
ALONE = re.compile(KINDS, re.IGNORECASE)
AFTER = re.compile(rf"(?P<who>.*?)(?:\s*[-–:@/|_.]\s*|\s+){KINDS}", re.IGNORECASE)  # Anna - words
BEFORE = re.compile(rf"{KINDS}\s*[-–:@/|]\s*(?P<who>.+)", re.IGNORECASE)  # text@Anna
SAME = 0.8  # of the letters or the times, from which two tiers have the same content
COMPARED = 20_000  # letters
SAMPLE = 100  # elements of a set that are compared first


class _Set:
    """A set that is compared with many others, few of which are alike.

    Attributes:
        elements: the set.
        sample: those of its elements with the lowest hashes, which two sets share to about the same
            fraction as all.
    """

    def __init__(self, elements: Iterable[str]):
        self.elements = frozenset(elements)
        self.sample = frozenset(
            heapq.nsmallest(SAMPLE, self.elements, key=lambda one: (crc32(one.encode()), one))
        )

    def may_be(self, other: "_Set") -> bool:
        """Whether the sets may share `SAME` of the larger one; false for nearly all others."""
        small, large = sorted((len(self.elements), len(other.elements)))
        shared = len(self.sample & other.sample)
        return small >= SAME * large and 2 * shared >= min(len(self.sample), len(other.sample))


@dataclass(frozen=True)
class Tier:
    """A tier: its name, content, and speaker if the file names one.

    Attributes:
        dependent: it annotates another tier.
    """

    name: str
    found: Found
    speaker: str | None = None
    dependent: bool = False

    @property
    def parts(self) -> tuple[str | None, str | None]:
        """Speaker and content: `Anna - words` is (Anna, words), `Anna` is (Anna, None)."""
        name = " ".join(self.name.split())[:200]
        if match := ALONE.fullmatch(name):
            return None, match["what"].lower()
        if match := AFTER.fullmatch(name) or BEFORE.fullmatch(name):
            return match["who"] or None, match["what"].lower()
        return name or None, None

    @cached_property
    def sounds(self) -> _Set:
        """Every five letters in a row."""
        text = letters(" ".join(s.text for s in self.found.utterances))[:COMPARED]
        return _Set(text[i : i + 5] for i in range(max(1, len(text) - 4)))

    @cached_property
    def times(self) -> _Set:
        """Start and end of every utterance."""
        return _Set(f"{s.start_s:.2f} {s.end_s:.2f}" for s in self.found.utterances)

    def holds(self, kinds: str) -> bool:
        what = self.parts[1]
        return what is not None and re.fullmatch(kinds, what) is not None


def choose(path: Path, tiers: Sequence[Tier], names: Sequence[str], wanted: str | None) -> Found:
    """The utterances of the tiers that contain speech, in the order of time, with their speakers.

    Args:
        names: of all tiers, for messages.
        wanted: the tier to read: its name, or the part of the name that describes its content; None
            reads all tiers that contain speech, but the same speech once.

    Raises:
        UserError: there is no such tier, or none contains speech.
    """
    result = Found()
    if wanted is not None:
        chosen = _wanted(tiers, wanted)
        left = []
    else:
        chosen, left = _speech(tiers)
    if not chosen and (wanted is not None or not tiers or any(t.found.utterances for t in tiers)):
        called = f" called {wanted}" if wanted is not None else " that contains words"
        raise UserError(
            f"{path}: no tier of intervals{called}; there is: {', '.join(names) or 'nothing'}"
        )
    if left:
        result.notes.append(
            (
                "these tiers are not read: %s; if that is wrong, set textgrid_tier to the one to "
                "read",
                ", ".join(tier.name for tier in left),
            )
        )
    speakers = _speakers(tiers, chosen)
    for tier, speaker in zip(chosen, speakers, strict=True):
        result.broken += tier.found.broken
        result.n_broken += tier.found.n_broken
        utterances = in_order(tier.found.utterances, words=tier.holds(WORDS))
        result.utterances += [replace(utterance, speaker=speaker) for utterance in utterances]
    result.utterances.sort(key=lambda s: (s.start_s, s.line))
    return result


def _wanted(tiers, wanted):
    for same in (
        lambda tier: tier.name == wanted,
        lambda tier: tier.name.strip().casefold() == wanted.strip().casefold(),
        lambda tier: tier.parts[1] == wanted.strip().casefold(),
        lambda tier: wanted.strip().casefold() in re.split(r"\s*[@:/|]\s*", tier.name.casefold()),
    ):
        if chosen := [tier for tier in tiers if same(tier)]:
            return chosen
    return []


def _speech(tiers):
    """The tiers that contain speech, without repetitions; and those that may and are not read."""
    filled = [
        tier
        for tier in tiers
        if (tier.found.utterances or tier.found.n_broken)
        and not tier.holds(PHONES)
        and not are_phones(tier.found.utterances)
    ]
    own = [tier for tier in filled if not tier.dependent]
    named = [tier for tier in own if not tier.holds(OTHER)] or own
    # the longest utterances first: sentences before the words they are made of
    order = sorted(named, key=lambda tier: len(tier.found.utterances))
    kept: list[Tier] = []
    repeated: list[Tier] = []
    for tier in order:
        levels = [other for other in kept if _same_speech(other, tier)]
        twins = [other for other in kept if _same_times(other, tier)]
        if levels:
            repeated.append(tier)
        elif not twins:
            kept.append(tier)
    chosen = [tier for tier in tiers if any(tier is other for other in kept)]
    aside = [tier for tier in filled if not any(tier is other for other in [*chosen, *repeated])]
    return chosen, aside


def _same_speech(a, b):
    """Whether a tier of sentences and one of words contain the same speech at the same times."""
    if not a.sounds.may_be(b.sounds):
        return False
    first, second = a.sounds.elements, b.sounds.elements
    if len(first & second) < SAME * len(first | second):
        return False
    spans = sorted((s.start_s, s.end_s) for s in a.found.utterances)
    middles = [(s.start_s + s.end_s) / 2 for s in b.found.utterances]
    at = (bisect.bisect(spans, (middle, float("inf"))) - 1 for middle in middles)
    inside = sum(i >= 0 and middle <= spans[i][1] for i, middle in zip(at, middles, strict=True))
    return inside >= SAME * len(middles)


def _same_times(a, b):
    """Whether two tiers have the same times, as a text and its translation do."""
    if not a.times.may_be(b.times):
        return False
    first, second = a.times.elements, b.times.elements
    return len(first & second) >= SAME * max(len(first), len(second))


def _speakers(tiers, chosen):
    """The speaker of each chosen tier; the name of a single tier is not taken for a speaker's."""
    people = {tier.parts[0] for tier in tiers if not tier.dependent and not tier.holds(OTHER)}
    several = len(people - {None}) > 1

    def speaker(tier):
        who, what = tier.parts
        return tier.speaker or (who if several or (who and what) else None)

    return [speaker(tier) for tier in chosen]
