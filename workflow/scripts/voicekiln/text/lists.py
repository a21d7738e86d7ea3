"""Read the tables (.tsv) of this package."""

import csv
from pathlib import Path


def rows(table: Path) -> list[dict[str, str]]:
    """Rows of a table with a header line; quotation marks are ordinary characters."""
    with open(table, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
