"""Which segments are kept: the decisions of each step, and `apply`, which joins them.

Steps that process one shard drop segments in their own table (`drop`). `correct` writes the facts
of all segments once. `deduplicate` and `validate` write decisions, one row for each segment they
drop; `split` makes its own in memory and writes the joined table. A decision never changes an
earlier one, so the reason of a segment is that of the first step to drop it.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from voicekiln.errors import UserError
from voicekiln.store import tables

# in their order: steps that refuse recordings, steps that drop segments
OF_RECORDINGS = ("inventory", "normalize")
STEPS = ("segment", "transcribe", "align", "correct", "deduplicate", "validate", "split")
DECIDED = ("step", "reason", "value", "limit")
# drops that a `keep` by hand does not override, because they are not a matter of judgement
FINAL = (
    "no text",
    "nothing is spoken",
    "same audio",
    "copy of a recording",
    "overlaps the previous one",
    "another speaker starts within it",
    "cue starts before 0 s",
    "cue lies beyond the end of the recording",
    "leak into validation",
)


def dropped(step: str, reason: str, value: float | None = None, limit: float | None = None) -> dict:
    """The columns of a dropped segment."""
    return {"status": "drop", "step": step, "reason": reason, "value": value, "limit": limit}


def drop(table: pd.DataFrame, rows, step: str, reason: str, value=None, limit=None) -> None:
    """Drop `rows` of a shard's table, in place.

    Args:
        rows: labels or a mask of kept segments.
        value: what the rule measured, one number or one for each row; None if it measures nothing.
        limit: of the rule.
    """
    for column, content in dropped(step, reason, value, limit).items():
        table.loc[rows, column] = content


class Decider:
    """Collects the decisions of one step about the segments of a table.

    Attributes:
        kept: mask of the segments that neither an earlier step nor this one has dropped. A segment
            that is kept by hand counts as dropped here, so that it is not compared with others.
    """

    def __init__(self, table: pd.DataFrame, step: str):
        self.kept = table["status"].eq("keep").fillna(False).astype(bool)
        self._names = table["segment_id"]
        self._step = step
        self._made = [tables.frame([], tables.DECISIONS)]

    def drop(self, rows: pd.Series, reason, value=None, limit=None) -> None:
        """Drop the kept segments among `rows`, a mask; a null in it drops nothing.

        Args:
            reason, value, limit: one for all, or a series by the table's index.
        """
        rows = self.kept & rows.fillna(False).astype(bool)
        self.kept &= ~rows
        columns = {"reason": reason, "value": value, "limit": limit}
        here = {
            name: content[rows] if isinstance(content, pd.Series) else content
            for name, content in columns.items()
        }
        made = pd.DataFrame({"segment_id": self._names[rows], "step": self._step, **here})
        self._made.append(_typed(made))

    def decisions(self) -> pd.DataFrame:
        """`tables.DECISIONS` in the order of the table."""
        made = pd.concat(self._made, ignore_index=True)
        order = pd.Index(self._names.astype(object)).get_indexer(made["segment_id"].astype(object))
        return made.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def _typed(made: pd.DataFrame) -> pd.DataFrame:
    numbers = {name: made[name].astype(float) for name in ("value", "limit")}
    texts = {name: made[name].astype("string") for name in ("segment_id", "step", "reason")}
    return made.assign(**texts, **numbers)[list(tables.DECISIONS)]


def taken(table: pd.DataFrame) -> pd.DataFrame:
    """The decisions that the steps so far have left in `table` (`tables.DECISIONS`)."""
    return table.loc[table["status"] == "drop", list(tables.DECISIONS)].reset_index(drop=True)


def undone(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with every segment kept."""
    return table.assign(
        status=pd.array(["keep"] * len(table), "string"),
        **{name: pd.Series(pd.NA, table.index, "string") for name in ("step", "reason")},
        **{name: pd.Series(float("nan"), table.index) for name in ("value", "limit")},
    )


def apply(table: pd.DataFrame, *decisions: pd.DataFrame) -> pd.DataFrame:
    """`table` with the segments dropped that these decisions are about.

    The first drop of a segment wins. A segment marked `keep` by hand is dropped only by the rules
    in `FINAL`.

    Args:
        table: `tables.SEGMENTS`.
        decisions: `tables.DECISIONS` of each step, in their order.

    Raises:
        UserError: a decision is about a segment that the table does not have.
    """
    table = table.copy()
    made = pd.concat([tables.frame([], tables.DECISIONS), *decisions], ignore_index=True)
    names = pd.Index(table["segment_id"].astype(object))
    rows = names.get_indexer(made["segment_id"].astype(object))
    if (rows < 0).any():
        unknown = made["segment_id"][rows < 0].iloc[0]
        raise UserError(
            f"segment {unknown}: dropped by the step {made['step'][rows < 0].iloc[0]}, but not in "
            "the table of segments; delete results/corpora/<corpus>/tables and run snakemake again"
        )
    marked = table["marked"].eq("keep").fillna(False).to_numpy(bool)[rows]
    kept = table["status"].eq("keep").fillna(False).to_numpy(bool)[rows]
    made = made.assign(row=rows)[kept & (~marked | made["reason"].isin(FINAL).to_numpy(bool))]
    made = made.drop_duplicates("row")
    at = table.index[made["row"]]
    table.loc[at, "status"] = "drop"
    for name in DECIDED:
        table.loc[at, name] = made[name].array
    return table


def read(facts: Path, decided: Iterable[Path] = ()) -> pd.DataFrame:
    """The segments of a corpus as these steps left them (`tables.SEGMENTS`).

    Args:
        facts: DIGEST.json of the step `correct`.
        decided: DIGEST.json of the steps behind it, in their order. Beside each lie its
            decisions.parquet and, if it has columns of its own, columns.parquet.
    """
    decided = [Path(digest) for digest in decided]
    for digest in (Path(facts), *decided):
        tables.check_digest(digest)
    return read_unchecked(Path(facts).parent, [digest.parent for digest in decided])


def read_unchecked(facts: Path, decided: Iterable[Path] = ()) -> pd.DataFrame:
    """The same as `read`, from folders whose steps may have been stopped by a limit."""
    table = tables.read(facts / "segments.parquet")
    for folder in decided:
        table = apply(table, tables.read(folder / "decisions.parquet"))
        if (own := folder / "columns.parquet").exists():
            columns = tables.read(own).set_index("segment_id")
            for name in columns:
                table[name] = table["segment_id"].map(columns[name]).astype(columns[name].dtype)
    return table
