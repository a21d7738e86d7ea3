"""Batch sizes: as configured, or with `batch_s: auto` as memory allows.

Memory decides into how many batches an update is divided, never how large an update is: that
belongs to the run like its learning rate. The result is kept in fingerprint.json, so a training
that continues on another machine has the same batches. Sizes are in steps from here on.
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from accelerate.utils import send_to_device

from voicekiln.errors import UserError
from voicekiln.gpu import free
from voicekiln.training.data.clips import BatchRequest, Clips
from voicekiln.training.data.plan import (
    LENGTH_GRID_STEPS,
    Batches,
    BatchSize,
    plan,
    to_steps,
)
from voicekiln.training.log.health import resident_mb
from voicekiln.training.process.collectives import all_max
from voicekiln.training.process.events import ON_TERMINAL
from voicekiln.training.run import Run
from voicekiln.training.settings import AUTO, TrainSettings
from voicekiln.training.step import optimizers
from voicekiln.training.step.ema import Ema
from voicekiln.training.step.objective import means
from voicekiln.training.step.out_of_memory import (
    REMEDIES,
    OutOfMemory,
    out_of_memory_as,
    out_of_memory_error,
)

log = logging.getLogger("train")

# Where the search starts: clips in a batch by usable memory in GB (the largest entry not above it),
# as trainers of models of this size recommend.
CLIPS_BY_GB = ((75, 64), (40, 16), (24, 8), (16, 6), (12, 4), (8, 2), (0, 1))
# Batches are made smaller until at most MAX_PADDING of them is padding, but not smaller than
# MIN_BATCH_S, which would leave a GPU idle.
MIN_BATCH_S, MAX_PADDING = 34.13, 0.05
MAX_USED = 0.9  # fraction of the usable memory: batches differ, and memory fragments


def configured(settings: TrainSettings, processes: int, steps_per_s: float) -> BatchSize | None:
    """The configured size; None for auto."""
    if settings.batch_s == AUTO:
        return None
    steps = to_steps(settings.batch_s, steps_per_s)
    return BatchSize(steps, settings.accumulate * processes)


@dataclass(frozen=True)
class Cuts:
    """Sizes of batches into which an update can be divided.

    Attributes:
        update_steps: steps of an update, over all processes.
        longest: steps of the longest clip; no batch can be smaller.
        processes: number of processes that share the update.
    """

    update_steps: int
    longest: int
    processes: int

    def steps(self, n: int) -> int:
        """Maximum steps of a batch if each process has `n` of them."""
        part = self.update_steps // (self.processes * n)
        return max(part // LENGTH_GRID_STEPS * LENGTH_GRID_STEPS, self.longest)

    @property
    def most(self) -> int:
        """Number of batches per process beyond which batches do not get smaller."""
        return self.update_steps // self.processes // self.longest + 1

    def size(self, n: int) -> BatchSize:
        """Batches of that size, as many as the update has steps for, at least one."""
        steps = self.steps(n)
        return BatchSize(steps, max(1, self.update_steps // steps))


def search(cuts: Cuts, first_steps: int, fits: Callable[[int], bool]) -> int:
    """The lowest number of batches that fit.

    Args:
        cuts: the possible sizes.
        first_steps: size of the first batch to try.
        fits: tries batches of a number of steps; if some fit, smaller ones do.

    Raises:
        UserError: not even the smallest batches fit.
    """
    n = min(cuts.most, max(1, -(-cuts.steps(1) // max(1, first_steps))))
    too_few = 0  # batches that are known not to fit
    while not fits(cuts.steps(n)):
        if n == cuts.most:
            raise UserError(
                f"train.batch_s: auto: a batch of {cuts.steps(n)} steps, with the longest clip, "
                f"does not fit into memory. {REMEDIES}"
            )
        too_few, n = n, min(cuts.most, 2 * n)
    while n - too_few > 1:
        middle = (n + too_few) // 2
        if fits(cuts.steps(middle)):
            n = middle
        else:
            too_few = middle
    return n


def with_less_padding(cuts: Cuts, n: int, padding: Callable[[int], float], min_steps: int) -> int:
    """More, smaller batches than `n` if that leaves less padding; few batches have much of it.

    Args:
        padding: fraction of padding in batches of a number of steps.
        min_steps: batches do not get smaller than this.
    """
    more = n
    while cuts.steps(more) >= min_steps and more <= cuts.most:
        if padding(cuts.steps(more)) <= MAX_PADDING:
            return more
        more += 1
    return n


def probe(run: Run, clips: Clips) -> BatchSize:
    """The size that fits, found by trying updates on the longest batches; changes the weights.

    Args:
        run: the training; its model may have any weights.
        clips: training clips.

    Raises:
        UserError: not even the longest clip fits.
    """
    trial, processes = Trial(run, clips), run.accelerator.num_processes
    longest, steps_per_s = max(clips.n_steps), run.family.STEPS_PER_S
    cuts = Cuts(to_steps(run.settings.update_s, steps_per_s), longest, processes)
    first = longest * next(n for gb, n in CLIPS_BY_GB if trial.usable_mb >= gb * 1000)
    n = search(cuts, first, trial.fits)

    def padding(steps):
        return planned(run, clips, BatchSize(steps, 1)).padding

    n = with_less_padding(cuts, n, padding, to_steps(MIN_BATCH_S, steps_per_s))
    size = cuts.size(n)
    if size.per_update < processes:
        log.warning(
            "train.update_s (%g) is too little for %d GPUs: a batch must hold the longest clip, "
            "%.2f s, and an update has %d of them; from %.2f on all GPUs have work",
            run.settings.update_s,
            processes,
            longest / steps_per_s,
            size.per_update,
            processes * longest / steps_per_s,
        )
    log.info(
        "batch_s: auto gives batches of at most %.2f s, %d per update; %d sizes tried, at most "
        "%.0f of %.0f MB used",
        size.steps / steps_per_s,
        size.per_update,
        trial.n_tried,
        trial.used_mb,
        trial.usable_mb,
        extra=ON_TERMINAL,
    )
    return size


def planned(run: Run, clips: Clips, size: BatchSize) -> Batches:
    """All batches and updates of such a size."""
    s = run.settings
    return plan(
        clips.n_steps,
        clips.ids,
        size.steps,
        s.batch_clips,
        size.per_update,
        s.seed,
        run.family.STEPS_PER_S,
        [row.speaker for row in clips.rows] if s.balance == "speaker" else (),
    )


class Trial:
    """Tries batches: loss, gradients, an optimiser step, with EMA weights in memory.

    Attributes:
        usable_mb: memory for the training, of the GPU or of the host.
        used_mb: maximum used by sizes that fit.
        n_tried: sizes tried.

    Raises:
        UserError: weights, gradients and optimiser alone do not fit.
    """

    def __init__(self, run: Run, clips: Clips):
        self._run, self._clips = run, clips
        self._memory = GpuMemory() if run.device.type == "cuda" else HostMemory()
        self.usable_mb = self._memory.usable_mb
        self.used_mb, self.n_tried = 0.0, 0
        self._mb_per_step = 0.0
        self._state_mb = self._try(())
        if all_max(self._state_mb is None, run.accelerator):
            raise out_of_memory_error("for the model, its gradients and the optimiser alone")

    def fits(self, steps: int) -> bool:
        """Whether batches of this many steps fit, on all processes."""
        self.n_tried += 1
        used_mb = None
        # estimated from smaller ones: where memory is overcommitted, a trial would be killed
        if self._state_mb + self._mb_per_step * steps <= MAX_USED * self.usable_mb:
            used_mb = self._try(self._worst(steps))
        if used_mb is not None:
            self._mb_per_step = max(self._mb_per_step, (used_mb - self._state_mb) / steps)
        fits = used_mb is not None and used_mb <= MAX_USED * self.usable_mb
        if all_max(not fits, self._run.accelerator):
            return False
        self.used_mb = max(self.used_mb, used_mb)
        return True

    def _try(self, groups):
        """MB that an update of such batches takes; None if it runs out of memory."""
        self._memory.reset_peak()
        try:
            with out_of_memory_as(OutOfMemory(BatchRequest((), 0))):
                self._update(groups)
        except OutOfMemory:
            return None
        finally:
            for parameter in self._run.model.parameters():
                parameter.grad = None
            used_mb = self._memory.peak_mb()
            free()
        return used_mb

    def _update(self, groups):
        run = self._run
        ema = Ema(run.model, run.settings)
        optimizer = optimizers.build(
            run.model, run.settings, run.family.no_decay(run.model), run.device.type
        )
        for parameter in run.model.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        optimizer.step()  # creates its state
        for clips in groups:
            batch = send_to_device(self._clips.batch(BatchRequest(clips, 0)), run.device)
            losses = means(run.loss_sums(batch), batch["totals"])
            sum(losses.values()).backward()
        optimizer.step()
        ema.update()

    def _worst(self, steps):
        """The batches that need most memory: longest clips, most clips, most steps."""
        batches = planned(self._run, self._clips, BatchSize(steps, 1))
        members = batches.members
        return {members[-1], max(members, key=len), max(members, key=batches.padded)}


class GpuMemory:
    """Memory of this process's GPU."""

    def __init__(self):
        free_bytes, _ = torch.cuda.mem_get_info()
        self.usable_mb = (free_bytes + torch.cuda.memory_reserved()) / 1e6

    def reset_peak(self) -> None:
        """Start a new peak."""
        torch.cuda.reset_peak_memory_stats()

    def peak_mb(self) -> float:
        """Peak since `reset_peak`."""
        return torch.cuda.max_memory_allocated() / 1e6


class HostMemory:
    """Memory of the host; on Linux with a peak.

    The peak is read from /proc: psutil has none, and `resource`'s cannot be reset.
    """

    def __init__(self):
        self.usable_mb = psutil.virtual_memory().available / 1e6 + resident_mb()

    def reset_peak(self) -> None:
        """Start a new peak (proc(5): 5 resets it)."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def peak_mb(self) -> float:
        """Peak since `reset_peak`, including what the process had before."""
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024 / 1e6
        return resident_mb()
