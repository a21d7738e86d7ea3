"""Decisions of the steps: the first drop wins, and a manual `keep` overrides all but final ones."""

import pandas as pd
import pytest
from conftest import ROOT
from corpus_rows import segment, table
from voicekiln.config.resolve import resolve
from voicekiln.corpus import decisions
from voicekiln.corpus.decisions import FINAL, STEPS, Decider, apply, taken, undone
from voicekiln.errors import UserError
from voicekiln.store import tables

ROWS = [segment("one", 0), segment("two", 4), segment("three", 8), segment("four", 12)]
NAMES = [row["segment_id"] for row in ROWS]


def decided(step, *drops):
    """`tables.DECISIONS`; each drop is a position in `ROWS`, reason, value and limit."""
    columns = ("segment_id", "step", "reason", "value", "limit")
    rows = [dict(zip(columns, (NAMES[i], step, *rest), strict=False)) for i, *rest in drops]
    return tables.frame(rows, tables.DECISIONS)


def reasons(found):
    return found["reason"].fillna("").tolist()


def test_the_first_drop_of_a_segment_wins():
    segments = table(segment("none", 0) | {"status": "drop", "step": "align"}, *ROWS[1:])
    found = apply(
        segments,
        decided("deduplicate", (0, "same text"), (1, "same text", 0.9, 0.8)),
        decided("validate", (1, "noisy", 3.0, 10.0), (2, "noisy", 4.0, 10.0)),
    )
    assert found["step"].fillna("").tolist() == ["align", "deduplicate", "validate", ""]
    assert reasons(found) == ["", "same text", "noisy", ""]
    assert found["value"].fillna(0).tolist() == [0, 0.9, 4.0, 0]
    assert found["status"].tolist() == ["drop"] * 3 + ["keep"]
    assert segments["status"].tolist() == ["drop"] + ["keep"] * 3, "the facts are as they were"
    assert apply(segments).equals(segments)


def test_a_keep_by_hand_overrides_a_rule_and_not_a_later_fact():
    segments = table(*({**row, "marked": "keep"} for row in ROWS))
    found = apply(segments, decided("deduplicate", (0, "same text"), (1, "same audio")))
    found = apply(found, decided("validate", (0, "noisy"), (2, "no text")))
    assert reasons(found) == ["", "same audio", "no text", ""]
    assert reasons(apply(segments, decided("a", (0, "noisy"), (0, "no text"))))[0] == "no text"
    assert "leak into validation" in FINAL, "nothing by hand leads into validation"


def test_an_index_of_any_kind_will_do():
    segments = table(*ROWS).iloc[[3, 1]]
    assert reasons(apply(segments, decided("validate", (1, "noisy")))) == ["", "noisy"]


def test_a_decision_about_an_unknown_segment_is_an_error_that_names_it():
    with pytest.raises(UserError, match=f"segment {NAMES[3]}: dropped by the step validate"):
        apply(table(*ROWS[:3]), decided("validate", (3, "noisy")))


def test_decisions_are_taken_out_of_a_table_and_applied_again():
    dropped = {"status": "drop", "step": "align", "reason": "word cut at end", "value": 0.5}
    segments = table(ROWS[0], ROWS[1] | dropped, ROWS[2] | dropped | {"value": None})
    whole = undone(segments)
    assert whole["status"].eq("keep").all() and whole[list(decisions.DECIDED)].isna().all(None)
    assert len(taken(segments)) == 2 and taken(whole).empty
    pd.testing.assert_frame_equal(apply(whole, taken(segments)), segments, check_dtype=False)


def test_a_step_drops_what_is_still_kept_and_a_null_drops_nothing():
    segments = table(ROWS[0] | {"status": "drop", "step": "align", "reason": "cut"}, *ROWS[1:])
    decider = Decider(segments, "validate")
    decider.drop(pd.Series([True, True, pd.NA, False]), "noisy", pd.Series([1.0, 2, 3, 4]), 5)
    decider.drop(pd.Series([True, True, False, True]), pd.Series(list("abcd")))
    assert decider.kept.tolist() == [False, False, True, False]
    made = decider.decisions()
    assert made["segment_id"].tolist() == [NAMES[1], NAMES[3]]
    assert made["reason"].tolist() == ["noisy", "d"]
    assert made["value"].fillna(0).tolist() == [2, 0] and made["limit"][0] == 5
    assert list(made) == list(tables.DECISIONS)


def test_shard_steps_drop_in_their_table():
    segments = table(*ROWS)
    decisions.drop(segments, [1], "align", "word cut at end", 0.5, 0.25)
    decisions.drop(segments, segments["text"] == "three", "transcribe", "no reference text")
    assert segments["status"].tolist() == ["keep", "drop", "drop", "keep"]
    row = decisions.dropped("align", "word cut at end", 0.5, 0.25)
    assert segments.loc[1, list(row)].to_dict() == row
    assert pd.isna(segments["value"][2])


def test_the_steps_left_their_records_and_are_read_together(tmp_path):
    def record(step, **files):
        folder = tmp_path / step
        for name, (rows, schema) in files.items():
            tables.write(rows, folder / f"{name}.parquet", schema)
        tables.write_digest(folder / "DIGEST.json", [folder / f"{name}.parquet" for name in files])
        return folder / "DIGEST.json"

    facts = record("correct", segments=(table(*ROWS), tables.SEGMENTS))
    one = record("one", decisions=(decided("deduplicate", (1, "same text")), tables.DECISIONS))
    distances = table(*ROWS[::-1]).assign(speaker_distance=[4.0, None, 2.0, 1.0])
    two = record(
        "two",
        decisions=(decided("validate", (1, "noisy"), (3, "noisy")), tables.DECISIONS),
        columns=(distances, tables.VALIDATED),
    )
    assert decisions.read(facts).equals(table(*ROWS))
    found = decisions.read(facts, [one, two])
    assert reasons(found) == ["", "same text", "", "noisy"]
    assert found["speaker_distance"].fillna(0).tolist() == [1, 2, 0, 4]
    two.with_name("decisions.parquet").unlink()
    with pytest.raises(UserError, match=r"decisions\.parquet: missing"):
        decisions.read(facts, [one, two])


def test_every_step_that_drops_has_a_limit_and_no_other_has():
    corpora = resolve({"corpora": {"a": {"audio": "in", "language": "en"}}})["corpora"]
    assert set(corpora["a"]["max_loss"]) == {*STEPS, "total"}


def test_reasons_that_keep_cannot_override_are_those_that_steps_give():
    """A reworded reason would silently become one that `keep` overrides."""
    library = ROOT / "workflow/scripts/voicekiln"
    sources = [path for path in library.rglob("*.py") if path.name != "decisions.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    for reason in decisions.FINAL:
        assert reason in text, reason
