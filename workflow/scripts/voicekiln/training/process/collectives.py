"""What the processes of one training know together; with one process it costs nothing.

Counts and flags go over a group of their own on the CPU, so that no process has to wait for its
GPU to tell them.
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

Batch = TypeVar("Batch")
PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def accelerator_for(precision: str) -> Accelerator:
    """An Accelerator on the GPU if there is one.

    Raises:
        UserError: fp16 without a GPU.
    """
    cpu = not torch.cuda.is_available()
    if cpu and precision == "fp16":
        raise UserError("train.precision: fp16 needs a GPU; on a CPU use fp32 or bf16")
    return Accelerator(cpu=cpu, mixed_precision=PRECISION[precision])


def share(batches: Sequence[Batch], accelerator: Accelerator) -> list[tuple[Batch, int]]:
    """This process's batches, each with weight 1.

    Every process gets equally many, so that all know the names of the losses: where there are too
    few, the first batch comes again, with weight 0.
    """
    n = accelerator.num_processes
    mine = [(batch, 1) for batch in batches[accelerator.process_index :: n]]
    if len(mine) < -(-len(batches) // n):
        mine.append((batches[0], 0))
    return mine


def is_peer_failure(error: BaseException) -> bool:
    """Whether an error says that another process does not answer any more."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and "gloo" in str(error)  # gloo's are plain ones


def all_sum(value: float, accelerator: Accelerator) -> float:
    """The sum of a number over all processes."""
    return _reduced(value, distributed.ReduceOp.SUM, accelerator)


def highest(value: float, accelerator: Accelerator) -> float:
    """The highest of all processes' numbers."""
    return _reduced(value, distributed.ReduceOp.MAX, accelerator)


def first_not_none(value: str | None, accelerator: Accelerator) -> str | None:
    """What the first process that knows something says."""
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
    # float64 is exact up to 2 ** 53.
    return {name: int(all_sum(float(sums[name]), accelerator)) for name in sorted(sums)}


def agree(splitter: BatchSplitter, accelerator: Accelerator) -> None:
    """All cut as the one with the least memory has to, so that checkpoints hold what fits all."""
    fits = -highest(-(splitter.fits or math.inf), accelerator)
    splitter.fits = None if math.isinf(fits) else int(fits)


def all_reduce_gradients(
    parameters: Sequence[torch.nn.Parameter], accelerator: Accelerator
) -> None:
    """Replaces each gradient by its sum over all processes."""
    if accelerator.num_processes == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    sent = [distributed.all_reduce(p.grad, async_op=True) for p in parameters]
    for each in sent:
        each.wait()
