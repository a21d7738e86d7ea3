"""The objects that all parts of one training use."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from voicekiln.families import Family
from voicekiln.training.process.stop import Stop
from voicekiln.training.settings import TrainSettings
from voicekiln.training.state.lease import Lease


@dataclass(frozen=True)
class Run:
    """One training: its parts take this instead of a list of arguments.

    Attributes:
        family: the model's family.
        model: on its device, with the base's weights.
        settings: section `train`, with all intervals in updates.
        accelerator: of this process; see `collectives.make_accelerator`.
        directory: of checkpoints, metrics and status.
        identity: sha256 of the run identity, which every checkpoint carries.
        stop: requests to stop; asked between micro-batches.
        lease: of the process that writes; None in all others.
    """

    family: Family
    model: torch.nn.Module
    settings: TrainSettings
    accelerator: Accelerator
    directory: Path
    identity: str
    stop: Stop
    lease: Lease | None

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        return self.accelerator.device

    @property
    def writes(self) -> bool:
        """Whether this process writes files."""
        return self.accelerator.is_main_process

    @property
    def trained(self) -> list[torch.nn.Parameter]:
        """The parameters that are not frozen."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def loss_sums(self, batch: Mapping) -> dict[str, torch.Tensor]:
        """Sums of the loss over the kept elements of a batch, by loss part."""
        with self.accelerator.autocast():
            return self.family.loss(self.model, batch)
