"""The optimiser of a run, frozen parameters and frozen rows."""

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from voicekiln.errors import UserError
from voicekiln.training.settings import TrainSettings


def build(
    model: torch.nn.Module, settings: TrainSettings, no_decay: Collection[str], device: str
) -> torch.optim.Optimizer:
    """The optimiser over the trained parameters.

    `adamw` decays weights separately from the gradient (Loshchilov and Hutter 2019); with the
    others `weight_decay` is the gradient of an L2 penalty.

    Args:
        no_decay: names of the parameters that `decay: upstream` excludes (`Family.no_decay`).
        device: type of the device.

    Raises:
        UserError: the optimiser is not available on this device.
    """
    s = settings
    groups = decay_groups(model, s.decay, s.weight_decay, no_decay)
    adam = {"lr": s.learning_rate, "betas": s.betas}
    moving = {"lr": s.learning_rate, "momentum": s.momentum}
    if s.optimizer == "adamw":
        return torch.optim.AdamW(groups, **adam, fused=True)
    if s.optimizer == "adam":
        return torch.optim.Adam(groups, **adam, fused=True)
    if s.optimizer == "sgd":
        return torch.optim.SGD(groups, **moving, fused=True)
    if s.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, **moving)
    return _adamw_8bit(groups, adam, device)


def decay_groups(
    model: torch.nn.Module, decay: str, weight_decay: float, no_decay: Collection[str]
) -> list[dict[str, Any]]:
    """The trained parameters in one group with weight decay and one without; none is empty.

    Args:
        decay: `all`; `matrices`, which excludes biases, norms and all else that has at most one
            dimension longer than 1; or `upstream`, which excludes `no_decay`.
        weight_decay: of the first group.
        no_decay: names of parameters.
    """
    parameters = dict(model.named_parameters())
    if unknown := set(no_decay) - set(parameters):
        raise RuntimeError(f"no_decay has names of no parameter: {', '.join(sorted(unknown))}")
    decays = {
        "all": lambda name: True,
        "matrices": lambda name: _is_matrix(parameters[name]),
        "upstream": lambda name: name not in no_decay,
    }[decay]
    trained = {name: p for name, p in parameters.items() if p.requires_grad}
    groups = [
        {
            "params": [p for name, p in trained.items() if decays(name) == decayed],
            "weight_decay": weight_decay if decayed else 0.0,
        }
        for decayed in (True, False)
    ]
    return [group for group in groups if group["params"]]


def _is_matrix(parameter):
    return sum(length > 1 for length in parameter.shape) > 1


def _adamw_8bit(groups, options, device):
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise UserError(
            "train.optimizer: adamw_8bit needs a package that is not installed; run "
            "`pip install bitsandbytes==0.48.2`, or set adamw"
        ) from error
    if device != "cuda":
        raise UserError("train.optimizer: adamw_8bit needs an NVIDIA GPU; set adamw")
    return AdamW8bit(groups, **options)


def state_bytes(model: torch.nn.Module, settings: TrainSettings) -> int:
    """Size of the optimiser's state."""
    moving = settings.momentum > 0
    bytes_a_value = {  # moments in float32, or in 8 bits
        "adamw": 8,
        "adam": 8,
        "sgd": 4 * moving,
        "rmsprop": 4 + 4 * moving,
        "adamw_8bit": 2,
    }[settings.optimizer]
    return bytes_a_value * sum(p.numel() for p in model.parameters() if p.requires_grad)


def freeze(model: torch.nn.Module, patterns: Sequence[str], presets: Mapping[str, list]) -> None:
    """Exclude parameters from the training.

    Args:
        patterns: names of parameters, `*` allowed, or of the family's presets.
        presets: patterns by name.

    Raises:
        UserError: a pattern matches no parameter; nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    for wanted in patterns:
        names = [
            name
            for pattern in presets.get(wanted, [wanted])
            for name in fnmatch.filter(parameters, pattern)
        ]
        if not names:
            raise UserError(
                f"train.freeze: {wanted} matches no parameter of the model; parameters are, for "
                f"example, {', '.join(list(parameters)[:3])}; presets are {', '.join(presets)}"
            )
        for name in names:
            parameters[name].requires_grad_(False)
    if not any(p.requires_grad for p in parameters.values()):
        raise UserError("train.freeze: no parameter is left to train")


class FrozenRows:
    """Rows of the base's tokens, which stay bit-identical.

    Zero gradients are not enough: weight decay changes rows without any. So the rows are restored
    after each step, with any optimiser.

    Args:
        model: with the base's weights.
        rows: number of rows from the first, by name of the tensor.
    """

    def __init__(self, model: torch.nn.Module, rows: Mapping[str, int]):
        tensors = model.state_dict(keep_vars=True)
        self._rows = [(tensors[name], n) for name, n in rows.items()]
        self._kept = [tensor.detach()[:n].clone() for tensor, n in self._rows]

    @torch.no_grad()
    def zero_gradients(self) -> None:
        """Call this before gradients are clipped, so that these do not count."""
        for tensor, n in self._rows:
            if tensor.grad is not None:
                tensor.grad[:n] = 0

    @torch.no_grad()
    def restore(self) -> None:
        """Call this after each step."""
        for (tensor, n), kept in zip(self._rows, self._kept, strict=True):
            tensor[:n] = kept
