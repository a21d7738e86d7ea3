"""The families whose trainings `unit/test_training_every_family.py` tests, at small size.

A new family needs one entry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toy_setup import toy_run
from training_setup import tiny_run
from voicekiln.training.settings import RunSettings
from xtts_training import xtts_run


@dataclass(frozen=True)
class SmallFamily:
    """A family's training of about a second.

    Attributes:
        run: writes the files of a run into a folder and returns its settings; takes settings of
            the section `train`, and `model`, `clips` and `added_tokens`.
        smooth: architecture values without dropout, with which split batches give equal updates.
        array: a tensor of a batch, with the clips as first dimension.
        changes: settings that its trainings need.
    """

    run: Callable[..., RunSettings]
    smooth: Mapping[str, Any]
    array: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, folder, **changes) -> RunSettings:
        """Settings of a run in a folder."""
        return self.run(folder, **self.changes | changes)

    def smooth_settings(self, folder, **changes) -> RunSettings:
        """The same without dropout."""
        return self.settings(folder, model=dict(self.smooth), **changes)


SMALL = {
    "toy": SmallFamily(toy_run, {"dropout": 0.0}, "codes"),
    "f5": SmallFamily(tiny_run, {"dropout": 0.0}, "mel", {"clips": 9}),
    "xtts": SmallFamily(xtts_run, {"dropout": 0.0}, "codes"),
}
