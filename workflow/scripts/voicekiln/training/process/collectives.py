"""Collectives over the training processes; no-ops with one process.

Counts and flags use a process group on the CPU, so that no process waits for its GPU to send them.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeVar

import torch
from accelerate import Accelerator
from torch import distributed

from voicekiln.errors import UserError
from voicekiln.training.step.out_of_memory import BatchSplitter

Item = TypeVar("Item")
PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def make_accelerator(precision: str) -> Accelerator:
    """An Accelerator on the GPU if there is one.

    Raises:
        UserError: fp16 without a GPU.
    """
    cpu = not torch.cuda.is_available()
    if cpu and precision == "fp16":
        raise UserError("train.precision: fp16 needs a GPU; on a CPU use fp32 or bf16")
    return Accelerator(cpu=cpu, mixed_precision=PRECISION[precision])


def own_share(items: Sequence[Item], accelerator: Accelerator) -> list[tuple[Item, int]]:
    """This process's items, each with weight 1.

    Every process gets equally many, so that all know the names of the loss parts; if there are too
    few, the first item is repeated with weight 0.
    """
    n = accelerator.num_processes
    mine = [(item, 1) for item in items[accelerator.process_index :: n]]
    if len(mine) < -(-len(items) // n):
        mine.append((items[0], 0))
    return mine


def is_peer_failure(error: BaseException) -> bool:
    """Whether an error means that another process no longer answers."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and "gloo" in str(error)  # gloo raises plain ones


def all_sum(value: float, accelerator: Accelerator) -> float:
    """Sum of a number over all processes."""
    return _reduced(value, distributed.ReduceOp.SUM, accelerator)


def all_max(value: float, accelerator: Accelerator) -> float:
    """Maximum of a number over all processes."""
    return _reduced(value, distributed.ReduceOp.MAX, accelerator)


def first_not_none(value: str | None, accelerator: Accelerator) -> str | None:
    """First value that is not None, by rank."""
    if accelerator.num_processes == 1:
        return value
    values: list[str | None] = [None] * accelerator.num_processes
    distributed.all_gather_object(values, value, group=_on_cpu())
    return next((known for known in values if known is not None), None)


def _reduced(value, operation, accelerator):
    if accelerator.num_processes == 1:
        return value
    here = torch.tensor(value, dtype=torch.float64)
    distributed.all_reduce(here, operation, group=_on_cpu())
    return float(here)


@cache
def _on_cpu():
    return distributed.new_group(backend="gloo")


def sum_totals(
    totals: Iterable[tuple[dict[str, int], int]], accelerator: Accelerator
) -> dict[str, int]:
    """Weighted sums by name, over the list and over all processes."""
    sums: dict[str, int] = {}
    for each, weight in totals:
        for name, value in each.items():
            sums[name] = sums.get(name, 0) + value * weight
    # float64 is exact up to 2 ** 53
    return {name: int(all_sum(float(sums[name]), accelerator)) for name in sorted(sums)}


def share_limit(splitter: BatchSplitter, accelerator: Accelerator) -> None:
    """Give all processes the lowest limit, so that a checkpoint's limit fits all of them."""
    lowest = -all_max(-(splitter.max_steps or math.inf), accelerator)
    splitter.max_steps = None if math.isinf(lowest) else int(lowest)


def all_reduce_gradients(
    parameters: Sequence[torch.nn.Parameter], accelerator: Accelerator
) -> None:
    """Replace each gradient by its sum over all processes."""
    if accelerator.num_processes == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    sent = [distributed.all_reduce(p.grad, async_op=True) for p in parameters]
    for each in sent:
        each.wait()
