"""Exponential moving average of the weights, computed as ema_pytorch does for f5_tts's Trainer.

The EMA weights equal the weights for the first updates, then follow them with a decay that grows to
its limit; only every few updates anything is computed. Written here because a resumed run needs the
whole state by value (tensors and one counter), and because one fused call is faster than a Python
loop over the tensors.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from voicekiln.training.settings import TrainSettings


class Ema:
    """Moving average of a model's floating-point parameters and buffers.

    With a decay of 0 they are the model's own tensors: no copy is kept, and no step lags behind.

    Args:
        model: on its final device; the EMA weights start as a copy.
        settings: `ema_decay` is the limit of the decay, which grows as 1 - (1 + n) ** -`ema_power`
            after n updates; `ema_every` the updates between two steps; for `ema_follow_updates`
            updates the EMA weights are a copy of the weights.

    Attributes:
        updates: calls of `update`.
    """

    def __init__(self, model: torch.nn.Module, settings: TrainSettings):
        self._settings = settings
        self.updates = 0
        self._live = {
            name: tensor
            for name, tensor in model.state_dict(keep_vars=True).items()
            if tensor.is_floating_point()
        }
        self._averages = settings.ema_decay > 0
        self._average = {
            name: tensor.detach().clone() if self._averages else tensor.detach()
            for name, tensor in self._live.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take a step; call this after every update of the model."""
        n, self.updates = self.updates, self.updates + 1
        if not self._averages or n % self._settings.ema_every:
            return
        average = list(self._average.values())
        live = [tensor.detach() for tensor in self._live.values()]
        if n <= self._settings.ema_follow_updates:
            torch._foreach_copy_(average, live)
        else:
            torch._foreach_lerp_(average, live, 1.0 - self.decay_after(n))

    def decay_after(self, n: int) -> float:
        """The decay at update `n`, in float32 arithmetic like ema_pytorch's."""
        s = self._settings
        steps = torch.tensor(float(n - s.ema_follow_updates))
        return (1 - (1 + steps) ** -s.ema_power).clamp(min=0.0, max=s.ema_decay).item()

    def state(self) -> dict[str, torch.Tensor]:
        """The EMA weights by the model's names; not copies."""
        return dict(self._average)

    @torch.no_grad()
    def load(self, weights: Mapping[str, torch.Tensor], updates: int) -> None:
        """Take over saved EMA weights."""
        for name, tensor in self._average.items():
            tensor.copy_(weights[name])
        self.updates = updates

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the EMA weights inside the `with`; nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        if not self._averages:
            return
        for live, average in zip(self._live.values(), self._average.values(), strict=True):
            live.data, average.data = average.data, live.data
