"""ELAN's .eaf (https://www.mpi.nl/tools/elan/EAFv3.0.xsd): tiers of annotations between time slots.

The XML is parsed by events; document types, and so all entities, are rejected.
"""

from pathlib import Path
from xml.parsers import expat

from voicekiln.corpus.sources.timed.tiers import Tier
from voicekiln.corpus.sources.timed.utterance import MOST, Found, Utterance
from voicekiln.errors import UserError

MOST_TIERS = 1000
DEEPEST = 50


def read(path: Path, text: str) -> tuple[list[Tier], list[str]]:
    """The tiers and their names; dependent annotations of one annotation are joined.

    Raises:
        UserError: the file is not an ELAN document; with the line.
    """
    document = _Document(path)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = document.start
    parser.EndElementHandler = document.end
    parser.CharacterDataHandler = document.characters
    parser.StartDoctypeDeclHandler = document.refuse_doctype
    document.parser = parser
    try:
        parser.Parse(text.lstrip(), True)
    except expat.ExpatError as error:
        why = expat.ErrorString(error.code)
        raise UserError(f"{path}, line {error.lineno}: expected an ELAN document: {why}") from error
    return document.tiers(), [name for name, _, _, _ in document.found]


class _Document:
    """Tiers and time slots, collected from the events of the XML parser."""

    def __init__(self, path):
        self.path, self.parser = path, None
        self.slots: dict[str, float] = {}
        self.found: list[tuple] = []  # tiers: name, speaker, parent, annotations
        self.annotation = None  # the current one: line, attributes
        self.inside = False
        self.text: list[str] = []
        self.depth = self.n = 0

    def refuse_doctype(self, *_):
        raise UserError(
            f"{self.path}, line {self.parser.CurrentLineNumber}: document types are not "
            "supported; ELAN writes none"
        )

    def start(self, name, attributes):
        if self.depth == 0 and name != "ANNOTATION_DOCUMENT":
            raise UserError(
                f"{self.path}, line {self.parser.CurrentLineNumber}: expected an ELAN document, "
                f"found <{name[:40]}>"
            )
        self.depth += 1
        if self.depth > DEEPEST:
            raise UserError(f"{self.path}: elements within more than {DEEPEST} others")
        if name == "TIME_SLOT" and attributes.get("TIME_VALUE", "").strip().isascii():
            value = attributes.get("TIME_VALUE", "").strip()
            if value.lstrip("-").isdigit() and len(value) < 15:
                self.slots[attributes.get("TIME_SLOT_ID", "")] = int(value) / 1000
        elif name == "TIER":
            if len(self.found) == MOST_TIERS:
                raise UserError(f"{self.path}: more than {MOST_TIERS} tiers")
            who = attributes.get("PARTICIPANT", "").strip() or None
            self.found.append(
                (attributes.get("TIER_ID", ""), who, attributes.get("PARENT_REF"), [])
            )
        elif name in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"):
            self.annotation = self.parser.CurrentLineNumber, attributes
        elif name == "ANNOTATION_VALUE":
            self.inside, self.text = True, []

    def end(self, name):
        self.depth -= 1
        if name != "ANNOTATION_VALUE":
            return
        self.inside = False
        if self.annotation and self.found:
            self.n += 1
            if self.n > MOST:
                raise UserError(f"{self.path}: more than {MOST} annotations")
            self.found[-1][3].append((*self.annotation, "".join(self.text)))
        self.annotation = None

    def characters(self, data):
        if self.inside:
            self.text.append(data)

    def tiers(self):
        """The tiers with times in seconds."""
        times = self._times()
        tiers = []
        for name, speaker, parent, annotations in self.found:
            found, own = Found(), {}  # by parent annotation
            for line, attributes, text in annotations:
                key = attributes.get("ANNOTATION_ID", "")
                start_s, end_s = times.get(key, (None, None))
                if start_s is None or end_s is None:
                    if text.strip():
                        found.reject(line, "its time slots have no time", text)
                    continue
                of = attributes.get("ANNOTATION_REF", key)
                if of in own:
                    own[of] = (*own[of][:3], f"{own[of][3]} {text}")
                else:
                    own[of] = (line, start_s, end_s, text)
            for line, start_s, end_s, text in own.values():
                found.add(Utterance(line, start_s, end_s, text))
            tiers.append(Tier(name, found, speaker, dependent=bool(parent)))
        return tiers

    def _times(self):
        """Start and end of each annotation by its id; a dependent one has those of its parent."""
        times, parents = {}, {}
        for _, _, _, annotations in self.found:
            for _, attributes, _ in annotations:
                key = attributes.get("ANNOTATION_ID", "")
                if "ANNOTATION_REF" in attributes:
                    parents[key] = attributes["ANNOTATION_REF"]
                else:
                    slots = attributes.get("TIME_SLOT_REF1"), attributes.get("TIME_SLOT_REF2")
                    times[key] = tuple(self.slots.get(slot) for slot in slots)
        for key in parents:
            above, n = parents[key], 0
            while above not in times and above in parents and n < 20:
                above, n = parents[above], n + 1
            times[key] = times.get(above, (None, None))
        return times
