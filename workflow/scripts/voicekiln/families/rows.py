"""New rows of vocabulary tensors: exact statistics of the old ones, and reproducible noise.

Sums are exact and the noise is uniform, so the rows are the same bits on every machine.
"""

import math
import random

import torch

# Standard deviation of the noise on new rows, as a fraction of that of the base's rows.
NOISE = 0.1


def statistics(rows: torch.Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each column of `[n, D]`, as D numbers each."""
    means, spreads = [], []
    for column in rows.T:
        values = column.double().tolist()
        mean = math.fsum(values) / len(values)
        means.append(mean)
        spreads.append(math.sqrt(math.fsum((x - mean) ** 2 for x in values) / len(values)))
    return means, spreads


def noise(seed: int, token: str, n: int) -> list[float]:
    """`n` uniform draws of mean 0 and variance 1, which depend on seed and token alone."""
    draw = random.Random(f"{seed}:{token}")
    # Uniform on [-sqrt 3, sqrt 3) has variance 1.
    return [math.sqrt(3) * (2 * draw.random() - 1) for _ in range(n)]
