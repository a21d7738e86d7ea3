"""The minimised loss: a weighted sum of the family's loss parts, each a mean over the update."""

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")  # a number or a tensor


def means(sums: Mapping[str, Value], totals: Mapping[str, int]) -> dict[str, Value]:
    """Each part's sum over kept elements, divided by the elements of the whole update."""
    return {name: value / totals[name] for name, value in sums.items()}


def weighted(losses: Mapping[str, Value], weights: Mapping[str, float]) -> Value:
    """Weighted sum of the loss parts."""
    return sum(value * weights[name] for name, value in losses.items())
