"""Remove what is written but not spoken: events, lyrics, speaker labels, markup, emoji.

Each kind is recognised by rules (`KINDS`). Square and curly brackets hold events. Round brackets
may hold a spoken aside, so they are removed only if they hold a known event word or capitals, or
stand where a stage direction does: before a sentence, or as the whole text. The words come from
unspoken.tsv: `event` (laughs, Musik), `heading` (spoken words before a colon, as in "Note: ...")
and `opening` (first words of an aside, as in "(which was red)").
"""

import html
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

from voicekiln.text import lists

TABLE = Path(__file__).with_name("unspoken.tsv")
KINDS = {  # kind: its name in messages
    "events": "bracketed events",
    "lyrics": "lyrics",
    "labels": "speaker labels and turn marks",
    "markup": "tags, entities and other markup",
    "emoji": "emoji",
}
Removed = dict[str, list]  # by kind: count, and the first example

INLINE = "i|b|u|s|em|strong|small|big|sub|sup|font|span|ruby|rt|rp|c|v|lang|br|p|div|tt|code|a"
VALUE = r"(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+)"
TAGS = re.compile(
    rf"</?(?:{INLINE})(?:\.[\w-]*)*\s*/?>"  # <i>, </font>, <c.yellow>, <br/>
    rf"|<(?:{INLINE})(?:\s+[\w:-]+\s*=\s*{VALUE})+\s*/?>"  # <font color="red">
    r"|<(?:v|lang)(?:\.[\w-]*)*[ \t][^<>]*>"  # <v Anna>
    r"|<\d{1,3}:[\d:.,]*>"  # <00:00:01.500>
    r"|<!--[^<>]*-->|\{\\[^{}]*\}",  # {\an8}
    re.IGNORECASE,
)
BBCODE = re.compile(r"\[(b|i|u|s|url)(?:=[^\[\]]{0,200})?\]([^\[\]]{0,500})\[/\1\]", re.IGNORECASE)
BREAKS = re.compile(r"</?(?:br|p|div)\b", re.IGNORECASE)
MARKER = re.compile(r"<([A-Za-z][A-Za-z_-]{1,20})>")  # <laugh>, <unk>
ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});")
STARRED = re.compile(r"(?<![\w*])(\*{1,3})(?![\s*])([^*]{1,120}?)(?<![\s*])\1(?![\w*])")
SQUARE = re.compile(r"[\[［【〔]([^\[\]［］【】〔〕]{0,120})[\]］】〕]|\{[^{}\\]{0,120}\}")
IN_WORD = re.compile(r"(?<=\w)\[([a-z]{1,3})\]|(?<!\w)\[(\w)\](?=\w)")  # walk[ed], [T]he
ROUND = re.compile(r"[(（]([^()（）]{1,120})[)）]")
LANGUAGE_NOTE = re.compile(r"(?:in|auf|en|em|på|на|по)[ -][^\W\d_]{4,}")  # (in French)
NOTES = "♩♪♫♬\U0001f3b5\U0001f3b6"
LYRICS = re.compile(
    rf"[{NOTES}][^{NOTES}]*[{NOTES}]+|[{NOTES}][^{NOTES}\n]*"
    r"|^\s*([#*])\s[^#*]+\s\1\s*$"  # # la la #
)
TURN = re.compile(r"(?:^|(?<=\s))>{2,3}(?:\s+|(?=[^\W\d_]))")
DASH = re.compile(r"^\s*[-–—―]\s*(?=[^\W\d_]|[\"'“‘«„¿¡(\[])")
LABEL = re.compile(
    r"^\s*([^\W\d_][\w.'’&#/ -]{0,40}?)\s*(?:[(\[（][^()\[\]（）]{1,30}[)\]）])?"
    r"\s*(?::\s+|[：፦]\s*)(?=\S)"
)
BRACKETED = re.compile(  # [SPEAKER_00] Hello, [Anna]: Hello
    r"^\s*[\[(（【]\s*([^\W\d_][\w.'’&#/ -]{0,40}?)\s*[\])）】]\s*([:：]?)\s*(?=\S)"
)
BEFORE_CJK = re.compile(
    r"^\s*[（(]([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af・ー ]{2,8})[)）]\s*(?=\S)"
)
ROLE = re.compile(  # and roles, which are neither a name nor spoken before a colon
    r"(?:speaker|spk|sprecher|sprecherin|locuteur|orador|hablante|говорящий)"
    r"(?:[ _-]?\d{1,3}|[ _-][a-z])"
    r"|(?:(?:young|old|older) )?(?:man|woman|boy|girl|male|female|narrator|announcer|interviewer"
    r"|interviewee|reporter|moderator)(?:[ _-]?\d{1,3})?",
    re.IGNORECASE,
)
PICTURES = (
    "\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff"
    "\u2600-\u2668\u2670-\u27bf\u23e9-\u23fa\u231a\u231b\u2328\u23cf"
    "\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u24c2\u3030\u303d\u3297\u3299"
)
FLAGS = "\U0001f1e6-\U0001f1ff"
# emoji only if followed by U+FE0F: (c), (r), tm, arrows, shapes
EMOJI_IF_SELECTED = "\u00a9\u00ae\u2122\u2139\u203c\u2049\u2194-\u21aa\u2934\u2935\u25aa-\u25fe"
EMOJI = re.compile(
    rf"(?:[{FLAGS}]{{1,2}}|[0-9#*]\ufe0f?\u20e3|[{PICTURES}]|[{EMOJI_IF_SELECTED}]\ufe0f)"
    rf"(?:[\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\u200d[{PICTURES}])*"
    r"|(?<!\S)[:;=]['’]?-?[)(DPp](?!\S)|(?<!\S)<3(?!\S)"
)
ANY = re.compile(rf"[<>&\[［【〔{{(（*{NOTES}#:：፦=;]|^\s*[-–—―]|\u20e3|\ufe0f|[{FLAGS}{PICTURES}]")
LEADING = re.compile(r"^[\s.,;:!?…،؛]+")
SPACE_BEFORE = re.compile(r"\s+(?=[.,;:!?…](?:\s|$))")
EVENT_WORDS = re.compile(r"[^\W\d_と和]+(?:['’-][^\W\d_]+)*")  # と and 和 mean "and"
ROUNDS = 8


def strip(
    text: str,
    keep: Collection[str] = (),
    removed: Removed | None = None,
    names: Collection[str] = (),
) -> str:
    """`text` without its unspoken parts; "" if nothing else remains.

    Args:
        text: one line, or the lines of one subtitle.
        keep: kinds of `KINDS` that are not removed.
        removed: updated with the count and an example of each removed kind.
        names: see `label`.
    """
    if not ANY.search(text):
        return text
    removed = {} if removed is None else removed
    original, before = text, None
    for _ in range(ROUNDS):  # a removal may uncover more
        if text == before:
            break
        before = text
        if "markup" not in keep:
            text = _markup(text, removed)
        if "lyrics" not in keep:
            text = LYRICS.sub(_counting(removed, "lyrics", " "), text)
        if "labels" not in keep:
            text = label(text, removed, names)[0]
        if "events" not in keep:
            text = _events(text, removed, names)
        if "emoji" not in keep:
            text = EMOJI.sub(_counting(removed, "emoji", " "), text)
        if text != original and not LEADING.match(original):
            text = LEADING.sub("", text)
    if text == original:
        return text
    text = SPACE_BEFORE.sub("", " ".join(text.split()))
    return text if any(c.isalnum() for c in text) else ""


def without_markup(text: str) -> str:
    """`text` without tags and with entities decoded."""
    return ENTITY.sub(lambda match: html.unescape(match[0]), TAGS.sub("", text))


def count(removed: Removed, kind: str, what: str, n: int = 1) -> None:
    """Record in `removed` that `n` items of a kind were removed; `what` is an example."""
    found = removed.setdefault(kind, [0, " ".join(what.split())[:60]])
    found[0] += n


def merge(removed: Removed, more: Removed) -> None:
    """Add the counts of `more` to `removed`."""
    for kind, (n, example) in more.items():
        count(removed, kind, example, n)


def label(
    text: str, removed: Removed | None = None, names: Collection[str] = ()
) -> tuple[str, str | None]:
    """`text` without turn marks and speaker label, and that speaker or None.

    Args:
        names: known speakers. Other labels count if they are in capitals, are numbered (Speaker 1)
            or follow `>>`.
    """
    removed = {} if removed is None else removed
    text, n_turns = TURN.subn(_counting(removed, "labels", ""), text)
    text = DASH.sub(_counting(removed, "labels", ""), text)
    found = LABEL.match(text)
    name = found[1].strip() if found else ""
    if not (name in names or is_label(name) or (n_turns and is_name(name))):
        found = _bracketed(text, names)
        name = found[1].strip() if found else ""
    if found is None:
        return text, None
    count(removed, "labels", found[0])
    return text[found.end() :], name


def _bracketed(text, names):
    """Match of a bracketed label before the text, or None."""
    found = BRACKETED.match(text)
    if found:
        name = found[1].strip()
        if ROLE.fullmatch(name) or (found[2] and (name in names or is_label(name))):
            return found
    found = BEFORE_CJK.match(text)
    return found if found and is_name(found[1]) else None


def is_label(name: str) -> bool:
    """Whether the text before a colon has the form of a speaker label."""
    if ROLE.fullmatch(name):
        return True
    cased = [c for c in name if c.isupper() or c.islower()]
    capitals = all(c.isupper() for c in cased) and re.search(r"[^\W\d_]{3}", name)
    return bool(cased and capitals) and is_name(name)


def is_name(name: str) -> bool:
    """Whether the text before a colon may be a speaker's name."""
    words = name.casefold().split()
    others = _words("heading") | _words("event")
    return 0 < len(words) <= 4 and not any(word in others for word in words)


def _markup(text, removed):
    text = TAGS.sub(lambda match: _tag(removed, match), text)
    text = ENTITY.sub(lambda match: _unescaped(removed, match), text)
    text = BBCODE.sub(lambda match: _without_marks(removed, match[0], match[2]), text)
    text = IN_WORD.sub(lambda match: _without_marks(removed, match[0], match[1] or match[2]), text)
    return STARRED.sub(
        lambda match: (
            match[0] if _is_event(match[2]) else _without_marks(removed, match[0], match[2])
        ),
        text,
    )


def _events(text, removed, names):
    labelled = _bracketed(text, names)  # a label that is kept
    start = labelled.end() if labelled else 0

    def without(is_event):
        return lambda match: _remove_event(removed, match) if is_event(match) else match[0]

    for pattern in (STARRED, MARKER):
        text = pattern.sub(without(lambda match: _is_event(match[match.lastindex])), text)
    text = SQUARE.sub(
        without(
            lambda match: match.start() >= start and not IN_WORD.match(match.string, match.start())
        ),
        text,
    )
    return ROUND.sub(without(lambda match: match.start() >= start and _is_direction(match)), text)


def _is_event(words):
    """Whether a few words contain an event word."""
    words = EVENT_WORDS.findall(words.casefold())
    if not words or len(words) > 4 or words[0] in _words("opening"):
        return False
    return any(word in _words("event") for word in words)


def _is_direction(match):
    """Whether round brackets hold an event rather than a spoken aside."""
    words, before = match[1].strip(), match.string[: match.start()].rstrip()
    after = match.string[match.end() :].strip()
    starts_sentence = not before or before[-1] in ".?!…"
    if starts_sentence and LANGUAGE_NOTE.fullmatch(words):
        return True
    if not words or words.casefold().split()[0] in _words("opening"):
        return False
    n_words = len(words.split())
    if n_words <= 3 and _is_event(words):
        return True
    cased = [c for c in words if c.isupper() or c.islower()]
    capitals = all(c.isupper() for c in cased) and (len(cased) > 4 or (n_words > 1 and cased))
    if capitals:
        return True
    if re.search(r"[.?!,;]", words) or not any(c.isalpha() for c in words):
        return False
    if not before and not after:
        return n_words <= 8
    small = words[0].islower() and n_words <= 4
    if starts_sentence and after:
        return small and (after[0].isupper() or after[0] in "\"'“¿¡[")
    ends = words.split()[0], words.split()[-1]
    return starts_sentence and small and any(end.endswith(("s", "ing")) for end in ends)


def _remove_event(removed, match):
    count(removed, "events", match[0])
    return " "


def _tag(removed, match):
    count(removed, "markup", match[0])
    return " " if BREAKS.match(match[0]) else ""


def _without_marks(removed, marked, words):
    count(removed, "markup", marked)
    return words


def _unescaped(removed, match):
    sign = html.unescape(match[0])
    if sign == match[0]:
        return sign
    count(removed, "markup", match[0])
    return " " if sign in "\u00a0\u00ad\n\r\t" else sign


def _counting(removed, kind, instead):
    def replace(match):
        count(removed, kind, match[0])
        return instead

    return replace


@cache
def _words(kind):
    """Words of a kind, in all languages."""
    rows = (row["words"].split() for row in lists.rows(TABLE) if row["kind"] == kind)
    return frozenset(word for words in rows for word in words)
