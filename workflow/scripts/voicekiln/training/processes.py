"""What the processes of one training know together; with one process it costs nothing."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import reduce

Batch = TypeVar("Batch")


def share(batches: Sequence[Batch], accelerator: Accelerator) -> list[tuple[Batch, int]]:
    """This process's batches, each with weight 1.

    Every process gets equally many, so that all take part in what they do together: where there are
    too few, the first batch comes again, with weight 0.
    """
    n = accelerator.num_processes
    mine = [(batch, 1) for batch in batches[accelerator.process_index :: n]]
    if len(mine) < -(-len(batches) // n):
        mine.append((batches[0], 0))
    return mine


def sum_over(value: float, accelerator: Accelerator) -> float:
    """The sum of a number over all processes."""
    if accelerator.num_processes == 1:
        return value
    here = torch.tensor(value, dtype=torch.float64, device=accelerator.device)
    return float(reduce(here, "sum"))


def add_up(
    totals: Iterable[tuple[dict[str, int], int]], accelerator: Accelerator
) -> dict[str, int]:
    """Weighted sums by name, over the list and over all processes."""
    sums: dict[str, int] = {}
    for each, weight in totals:
        for name, value in each.items():
            sums[name] = sums.get(name, 0) + value * weight
    # float64 is exact up to 2 ** 53.
    return {name: int(sum_over(float(sums[name]), accelerator)) for name in sorted(sums)}
