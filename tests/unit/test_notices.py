"""Warnings of the data steps: kept, gathered over shards, shown once."""

import json
import logging
from pathlib import Path

import pytest
from voicekiln import notices

log = logging.getLogger("library of a step")


@pytest.fixture(autouse=True)
def working_directory(tmp_path, monkeypatch):
    """An empty one; the warnings of this file count as the running script's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [__file__])


class Job:
    """What a job of a rule keeps and shows while the `with` lasts."""

    def __init__(self, rule: str, *wildcards: str):
        self.rule, self.wildcards, self.shown = rule, wildcards, []

    def __enter__(self):
        self.before = list(logging.getLogger().handlers)
        notices.start(self.rule, self.wildcards, self.shown.append)
        return self.shown

    def __exit__(self, *_):
        logging.getLogger().handlers = self.before


def test_a_warning_is_shown_and_kept_once_and_other_lines_are_not():
    with Job("split_corpus", "voice") as shown:
        log.warning("the set is small (%d segments); add recordings", 30)
        log.warning("the set is small (%d segments); add recordings", 30)
        log.info("no matter of the user's")
        log.error("the end")
        logging.getLogger("py.warnings").handle(
            logging.LogRecord("py.warnings", logging.WARNING, "/lib/other.py", 1, "x", (), None)
        )
    assert shown == ["warning: the set is small (30 segments); add recordings"]
    (row,) = notices.of_corpus("voice")
    assert (row["step"], row["n"]) == ("split", 1)
    assert row["texts"] == ["the set is small (30 segments); add recordings"]


def test_of_one_kind_the_terminal_shows_some_and_says_where_the_others_are():
    with Job("correct", "voice") as shown:
        for i in range(20):
            log.warning("%s: %.1f s are missing", f"{i}.wav", i / 10)
        log.warning("another kind")
    assert [line.partition(": ")[2] for line in shown] == [
        "0.wav: 0.0 s are missing",
        "1.wav: 0.1 s are missing",
        "2.wav: 0.2 s are missing",
        "results/warnings/correct/voice.jsonl and the report list more warnings of this kind",
        "another kind",
    ]
    many, one = notices.of_corpus("voice")
    assert (many["n"], len(many["texts"]), one["n"]) == (20, notices.LISTED, 1)
    assert many["file"] == "results/warnings/correct/voice.jsonl"
    assert len(Path(many["file"]).read_text().splitlines()) == 21


@pytest.mark.parametrize("form", ["%s", "format"])
def test_sentences_made_beforehand_are_of_one_kind_if_only_names_and_numbers_differ(form):
    with Job("correct", "voice"):
        for i in range(5):
            text = f"{i}.wav: {i}.5 s are missing"
            log.warning("%s", text) if form == "%s" else log.warning(text)
    assert [row["n"] for row in notices.of_corpus("voice")] == [5]


def test_shards_show_nothing_and_the_merge_repeats_each_warning_once():
    shards = ["000", "001", "002"]
    for shard in shards:
        with Job("segment", "voice", shard) as shown:
            log.warning("%s: times lie after its end", f"{shard}.wav")
            log.warning("the same in all shards")
        assert shown == []
    assert notices.of_corpus("voice") == []
    with Job("check_corpus", "voice") as shown:
        notices.repeat(["normalize", "segment"], "voice", shards, log)
    assert shown == [
        *[f"warning: {shard}.wav: times lie after its end" for shard in shards],
        "warning: the same in all shards",
    ]
    assert [(row["step"], row["n"]) for row in notices.of_corpus("voice")] == [
        ("segment", 3),
        ("segment", 1),
    ]
    # a later step that finds the same thing
    with Job("correct", "voice") as shown:
        log.warning("the same in all shards")
    assert shown == []


def test_the_shards_that_are_gone_are_not_repeated():
    with Job("segment", "voice", "007"):
        log.warning("of a shard that is not there any more")
    with Job("check_corpus", "voice") as shown:
        notices.repeat(["segment"], "voice", ["000"], log)
    assert shown == []


def test_a_job_that_runs_again_forgets_its_old_warnings():
    for n in (2, 1):
        with Job("correct", "voice"):
            for i in range(n):
                log.warning("warning number %d", i)
    assert [row["n"] for row in notices.of_corpus("voice")] == [1]
    with Job("correct", "voice"):
        pass
    assert notices.of_corpus("voice") == []


def test_what_was_warned_while_an_item_was_made_is_told_again_when_it_is_used():
    with Job("normalize", "voice", "000"):
        with notices.collecting(Path("in/a.wav")) as said:
            log.warning("%s: %.1f s are missing", "in/a.wav", 0.5)
        first = notices.path_of("normalize", "voice", "000").read_text()
    said = json.loads(json.dumps(said))  # as in the store
    with Job("normalize", "voice", "000"):
        notices.replay(said, Path("in/a.wav"), log)
        assert notices.path_of("normalize", "voice", "000").read_text() == first
        notices.replay(said, Path("in/a copy.wav"), log)
    with Job("check_corpus", "voice"):
        notices.repeat(["normalize"], "voice", ["000"], log)
    (row,) = notices.of_corpus("voice")
    assert row["texts"] == ["in/a copy.wav: 0.5 s are missing", "in/a.wav: 0.5 s are missing"]


def test_texts_with_odd_characters_survive():
    text = "odd\u2028.wav\x85 \ud800: not used"
    with Job("check_corpus", "voice"):
        log.warning("%s", text)
    (row,) = notices.of_corpus("voice")
    assert row["texts"] == ["odd\u2028.wav\x85 \\ud800: not used"]
