"""The tables (.tsv) beside these modules."""

import csv
from pathlib import Path


def rows(table: Path) -> list[dict[str, str]]:
    """The rows of a table, by the names in its first line; quotation marks are no markup."""
    with open(table, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
