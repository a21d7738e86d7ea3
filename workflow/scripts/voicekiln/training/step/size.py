"""How large batches are: as the configuration says, or with `batch_frames: auto` as memory allows.

Memory decides into how many batches an update is cut, never how large an update is: that belongs to
the run like its learning rate. What was found once is kept in fingerprint.json, so a training that
goes on elsewhere has the same batches.
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device

from voicekiln.errors import UserError
from voicekiln.gpu import free
from voicekiln.training.data.clips import BatchRequest, Clips
from voicekiln.training.data.plan import LENGTH_STEP_FRAMES, Batches, BatchSize, plan
from voicekiln.training.process.collectives import highest
from voicekiln.training.process.terminal import SHOWN
from voicekiln.training.settings import AUTO, TrainSettings
from voicekiln.training.step import optimizers
from voicekiln.training.step.ema import Ema
from voicekiln.training.step.out_of_memory import REMEDIES, OutOfMemory, no_help, out_of_memory_is

log = logging.getLogger("train")

# Where the search begins: clips in a batch by the usable memory, GB (largest that is not above
# it), as trainers of models of this size recommend.
CLIPS_BY_GB = ((75, 64), (40, 16), (24, 8), (16, 6), (12, 4), (8, 2), (0, 1))
# Fewer frames leave a GPU idle; until then batches may shrink to hold no more padding than this.
LEAST_FRAMES, PADDING_SHARE = 3200, 0.05
USED_SHARE = 0.9  # of the usable memory: batches differ, and memory comes in pieces


def given(settings: TrainSettings, processes: int) -> BatchSize | None:
    """That of the configuration; None for auto."""
    if settings.batch_frames == AUTO:
        return None
    return BatchSize(settings.batch_frames, settings.accumulate * processes)


@dataclass(frozen=True)
class Cuts:
    """Into which batches an update can be cut.

    Attributes:
        update_frames: of an update, over all processes.
        longest: frames of the longest clip; no batch can be smaller.
        processes: which share it.
    """

    update_frames: int
    longest: int
    processes: int

    def frames(self, n: int) -> int:
        """Most frames of a batch when each process has `n` of them."""
        share = self.update_frames // (self.processes * n)
        return max(share // LENGTH_STEP_FRAMES * LENGTH_STEP_FRAMES, self.longest)

    @property
    def most(self) -> int:
        """Batches of a process from which on more are no smaller."""
        return self.update_frames // self.processes // self.longest + 1

    def size(self, n: int) -> BatchSize:
        """Batches of that size, and as many an update as it has frames for, at least one."""
        frames = self.frames(n)
        return BatchSize(frames, max(1, self.update_frames // frames))


def search(cuts: Cuts, first_frames: int, fits: Callable[[int], bool]) -> int:
    """The fewest batches that fit.

    Args:
        cuts: what there is to choose from.
        first_frames: frames of the first batch to try.
        fits: tries batches of so many frames; when some fit, smaller ones do.

    Raises:
        UserError: not even the smallest batches fit.
    """
    n = min(cuts.most, max(1, -(-cuts.frames(1) // max(1, first_frames))))
    too_few = 0  # batches that are known not to fit
    while not fits(cuts.frames(n)):
        if n == cuts.most:
            raise UserError(
                f"train.batch_frames: auto: a batch of {cuts.frames(n)} frames, with the longest "
                f"clip, is too much for the memory. {REMEDIES}"
            )
        too_few, n = n, min(cuts.most, 2 * n)
    while n - too_few > 1:
        middle = (n + too_few) // 2
        if fits(cuts.frames(middle)):
            n = middle
        else:
            too_few = middle
    return n


def with_less_padding(cuts: Cuts, n: int, padding: Callable[[int], float]) -> int:
    """More batches than `n` where so many hold too much padding, as those of few clips do.

    Args:
        padding: share of padding in batches of so many frames.
    """
    more = n
    while cuts.frames(more) >= LEAST_FRAMES and more <= cuts.most:
        if padding(cuts.frames(more)) <= PADDING_SHARE:
            return more
        more += 1
    return n


def probe(
    family: ModuleType,
    model: torch.nn.Module,
    clips: Clips,
    settings: TrainSettings,
    accelerator: Accelerator,
) -> BatchSize:
    """What fits, by trying updates on the longest batches; the weights come out as they may.

    Args:
        family: the family module.
        model: on its device, with any weights.
        clips: to train on.
        settings: section `train`.
        accelerator: of `accelerator_for`.

    Raises:
        UserError: not even the longest clip fits.
    """
    trial, processes = Trial(family, model, clips, settings, accelerator), accelerator.num_processes
    longest = max(row.n_frames for row in clips.rows)
    cuts = Cuts(settings.update_frames, longest, processes)
    first = longest * next(n for gb, n in CLIPS_BY_GB if trial.usable_mb >= gb * 1000)
    n = search(cuts, first, trial.fits)

    def padding(frames):
        return planned(clips, settings, BatchSize(frames, 1)).padding_share

    n = with_less_padding(cuts, n, padding)
    size = cuts.size(n)
    if size.per_update < processes:
        log.warning(
            "train.update_frames (%d) is too little for %d GPUs: a batch has to hold the longest "
            "clip, %d frames, and an update has %d of them; from %d on all GPUs have work",
            settings.update_frames,
            processes,
            longest,
            size.per_update,
            processes * longest,
        )
    log.info(
        "batch_frames: auto gives batches of at most %d frames, %d an update; %d sizes tried, %.0f "
        "of %.0f MB used at most",
        size.frames,
        size.per_update,
        trial.n_tried,
        trial.used_mb,
        trial.usable_mb,
        extra=SHOWN,
    )
    return size


def planned(clips: Clips, settings: TrainSettings, size: BatchSize) -> Batches:
    """All batches and updates of such a size."""
    lengths, ids = [row.n_frames for row in clips.rows], [row.id for row in clips.rows]
    return plan(lengths, ids, size.frames, settings.batch_clips, size.per_update, settings.seed)


class Trial:
    """Tries batches: loss, gradients, a step of the optimiser, the average beside them.

    Attributes:
        usable_mb: memory for the training, of the GPU or of the host.
        used_mb: the most that was used when it fitted.
        n_tried: sizes tried.

    Raises:
        UserError: no room for weights, gradients and optimiser alone.
    """

    def __init__(
        self,
        family: ModuleType,
        model: torch.nn.Module,
        clips: Clips,
        settings: TrainSettings,
        accelerator: Accelerator,
    ):
        self._family, self._model, self._clips = family, model, clips
        self._settings, self._accelerator = settings, accelerator
        self._memory = GpuMemory() if accelerator.device.type == "cuda" else HostMemory()
        self.usable_mb = self._memory.usable_mb
        self.used_mb, self.n_tried = 0.0, 0
        self._mb_per_frame = 0.0
        self._state_mb = self._try(())
        if highest(self._state_mb is None, accelerator):
            raise no_help("for the model, its gradients and the optimiser, before any batch")

    def fits(self, frames: int) -> bool:
        """Whether batches of so many frames fit, on all processes."""
        self.n_tried += 1
        used_mb = None
        # by what others took: where memory is overcommitted, trying would get us killed
        if self._state_mb + self._mb_per_frame * frames <= USED_SHARE * self.usable_mb:
            used_mb = self._try(self._worst(frames))
        if used_mb is not None:
            self._mb_per_frame = max(self._mb_per_frame, (used_mb - self._state_mb) / frames)
        fits = used_mb is not None and used_mb <= USED_SHARE * self.usable_mb
        if highest(not fits, self._accelerator):
            return False
        self.used_mb = max(self.used_mb, used_mb)
        return True

    def _try(self, groups):
        """MB that an update of such batches takes, None where it is out of memory."""
        self._memory.begin()
        try:
            with out_of_memory_is(OutOfMemory(BatchRequest((), 0))):
                self._update(groups)
        except OutOfMemory:
            return None
        finally:
            for parameter in self._model.parameters():
                parameter.grad = None
            used_mb = self._memory.used_mb()
            free()
        return used_mb

    def _update(self, groups):
        s = self._settings
        averaged = Ema(self._model, s.ema_decay, s.ema_every, s.ema_follow_updates, s.ema_power)
        optimizer = optimizers.build(self._model, s, self._accelerator.device.type)
        for parameter in self._model.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        optimizer.step()  # its state is there from now on
        for clips in groups:
            batch = self._clips.batch(BatchRequest(clips, 0))
            batch = send_to_device(batch, self._accelerator.device)
            with self._accelerator.autocast():
                losses = self._family.loss(self._model, batch, batch["totals"])
            sum(losses.values()).backward()
        optimizer.step()
        averaged.update()

    def _worst(self, frames):
        """The batches that take most: of the longest clips, of most clips, of most frames."""
        batches = planned(self._clips, self._settings, BatchSize(frames, 1))
        lengths, members = batches.frames, batches.members
        padded = [len(clips) * max(lengths[i] for i in clips) for clips in members]
        return {members[-1], max(members, key=len), members[padded.index(max(padded))]}


class GpuMemory:
    """Memory of this process's GPU."""

    def __init__(self):
        free, _ = torch.cuda.mem_get_info()
        self.usable_mb = (free + torch.cuda.memory_reserved()) / 1e6

    def begin(self) -> None:
        """Counts from here."""
        torch.cuda.reset_peak_memory_stats()

    def used_mb(self) -> float:
        """The most since then."""
        return torch.cuda.max_memory_allocated() / 1e6


class HostMemory:
    """Memory of the host, as far as Linux tells of it."""

    def __init__(self):
        ours = psutil.Process().memory_info().rss
        self.usable_mb = (psutil.virtual_memory().available + ours) / 1e6

    def begin(self) -> None:
        """Counts from here (proc(5): 5 resets the peak)."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def used_mb(self) -> float:
        """The most since then, with what the process had before."""
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024 / 1e6
        return psutil.Process().memory_info().rss / 1e6
