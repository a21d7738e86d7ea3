"""The loss that is minimised: the parts of a family's loss, each by its weight."""

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")  # a number or a tensor


def weighted(parts: Mapping[str, Value], weights: Mapping[str, float]) -> Value:
    """Sum of the parts; a part without a weight counts once."""
    return sum(part * weights[name] if name in weights else part for name, part in parts.items())
