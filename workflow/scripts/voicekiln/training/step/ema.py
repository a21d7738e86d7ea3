"""Exponential moving average of the weights, as ema_pytorch makes it for f5_tts's Trainer.

The average follows the weights exactly for the first updates, then with a decay that grows to its
limit. Only every few updates anything is done at all. Written out here because a resumed run needs
the whole state by value (tensors and one counter), and because one fused call is faster than a
Python loop over the tensors.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class Ema:
    """Moving average of a model's floating-point parameters and buffers.

    Args:
        model: on its final device; the average starts as a copy of it.
        decay: limit of the decay.
        every: updates between two steps of the average.
        follow: updates in which the average is a copy of the weights.
        power: how fast the decay grows: 1 - (1 + n) ** -power after n updates.
    """

    def __init__(self, model: torch.nn.Module, decay: float, every: int, follow: int, power: float):
        self.decay, self.every, self.follow, self.power = decay, every, follow, power
        self.updates = 0
        self._live = {
            name: tensor
            for name, tensor in model.state_dict(keep_vars=True).items()
            if tensor.is_floating_point()
        }
        self._mean = {name: tensor.detach().clone() for name, tensor in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """To be called after every update of the model."""
        n, self.updates = self.updates, self.updates + 1
        if n % self.every:
            return
        mean = list(self._mean.values())
        live = [tensor.detach() for tensor in self._live.values()]
        if n <= self.follow:
            torch._foreach_copy_(mean, live)
        else:
            torch._foreach_lerp_(mean, live, 1.0 - self.decay_after(n))

    def decay_after(self, n: int) -> float:
        """The decay at update `n`, in float32 arithmetic like ema_pytorch's."""
        steps = torch.tensor(float(n - self.follow))
        return (1 - (1 + steps) ** -self.power).clamp(min=0.0, max=self.decay).item()

    def state(self) -> dict[str, torch.Tensor]:
        """The averaged weights by the model's names; not copies."""
        return dict(self._mean)

    @torch.no_grad()
    def load(self, weights: Mapping[str, torch.Tensor], updates: int) -> None:
        """Takes over a saved average."""
        for name, tensor in self._mean.items():
            tensor.copy_(weights[name])
        self.updates = updates

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights inside the `with`; nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for live, mean in zip(self._live.values(), self._mean.values(), strict=True):
            live.data, mean.data = mean.data, live.data
