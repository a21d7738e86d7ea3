"""Recordings that are named to validate."""

import pytest
from corpus_rows import recording
from split_corpus import check_pinned
from voicekiln.errors import UserError
from voicekiln.store import tables

RECORDINGS = tables.frame(
    [
        recording("a", root="A", path="a.wav", status="bad", reason="empty"),
        recording("b", root="B", path="a.wav"),
        recording("c", path="c.wav", status="copy", reason="byte-equal copy of a.wav"),
    ],
    tables.RECORDINGS,
)


def test_a_pin_that_cannot_hold_is_told():
    check_pinned(RECORDINGS, ["a.wav"])  # that of the other root is used
    with pytest.raises(UserError, match="c.wav is not used .byte-equal copy"):
        check_pinned(RECORDINGS, ["c.wav"])
    with pytest.raises(UserError, match="no recording no/such.wav; .*for example a.wav"):
        check_pinned(RECORDINGS, ["no/such.wav"])
