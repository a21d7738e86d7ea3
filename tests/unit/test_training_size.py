"""`batch_s: auto`: what is tried, what is chosen, and that it is chosen once."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_children import at_call, final, in_child, same
from training_setup import tiny_run
from voicekiln.config.resolve import resolve
from voicekiln.errors import UserError
from voicekiln.training import loop
from voicekiln.training.data.plan import BatchSize
from voicekiln.training.log.records import EXIT_FINISHED, EXIT_USER_ERROR
from voicekiln.training.run import Run
from voicekiln.training.step import size

# clips of 10 to 40 frames; an update of 480 frames is 40 % of them
RUN = {"clips": 50, "epochs": 2, "batch_s": "auto", "update_s": 5.12, "accumulate": 1}
RUN |= {"batch_clips": 0, "model": {"dropout": 0.0}}


FRAMES = st.integers(1, 100_000)


@given(st.integers(50, 100_000), st.integers(10, 3000), st.integers(1, 8), FRAMES, FRAMES)
def test_the_fewest_batches_that_fit(update_frames, longest, processes, first, room):
    cuts, tried = size.Cuts(update_frames, longest, processes), []

    def fits(frames):
        tried.append(frames)
        return frames <= room

    try:
        n = size.search(cuts, first, fits)
    except UserError as error:
        assert longest > room and str(longest) in str(error)
        return
    found = cuts.size(n)
    assert longest <= found.steps <= room
    assert n == 1 or cuts.steps(n - 1) > room, "one batch fewer would not have fitted"
    assert len(tried) <= 2 * (n.bit_length() + cuts.most.bit_length())
    # no more than was asked for, and less by a batch or the grid of lengths at most
    frames = found.per_update * found.steps
    assert frames <= max(update_frames, longest)
    assert frames > update_frames - found.steps


def test_batches_of_few_clips_shrink_until_they_hold_little_padding():
    cuts = size.Cuts(38_400, 1200, 1)
    padding = {38_400: 0.21, 19_200: 0.11, 12_800: 0.049, 9600: 0.02}
    assert size.with_less_padding(cuts, 1, lambda steps: padding.get(steps, 0.0), 3200) == 3
    assert size.with_less_padding(cuts, 2, lambda steps: 0.01, 3200) == 2
    # where it does not help they stay as large as memory lets them
    assert size.with_less_padding(cuts, 2, lambda steps: 0.2, 3200) == 2


def room_for(frames):
    """Preparation of a child: batches with more frames than this are out of memory."""

    def prepare():
        trial, sums = size.Trial._update, Run.loss_sums

        def update(self, groups):
            for clips in groups:
                if len(clips) * max(self._clips.rows[i].n_steps for i in clips) > frames:
                    raise torch.OutOfMemoryError("CUDA out of memory")
            return trial(self, groups)

        def checked(self, batch):
            n_clips, n_frames, _ = batch["mel"].shape
            assert not self.model.training or n_clips * n_frames <= frames, "it was tried before"
            return sums(self, batch)

        size.Trial._update, Run.loss_sums = update, checked

    return prepare


def kept(settings):
    identity = json.loads((settings.directory / "fingerprint.json").read_text())["identity"]
    return BatchSize(identity["batch_frames"], identity["batches per update"])


@pytest.mark.parametrize("room, expected", [(1000, (480, 1)), (300, (240, 2)), (90, (80, 6))])
def test_a_training_has_the_batches_that_fit(room, expected, tmp_path):
    """And is the training that has them by its configuration, to the last bit."""
    ours = tiny_run(tmp_path / "auto", **RUN)
    assert in_child(ours, room_for(room)) == EXIT_FINISHED
    assert kept(ours) == BatchSize(*expected)
    fixed = RUN | {"batch_s": expected[0] / 93.75, "accumulate": expected[1]}
    theirs = tiny_run(tmp_path / "fixed", **fixed)
    assert in_child(theirs) == EXIT_FINISHED
    same(final(ours), final(theirs))


def test_what_was_found_is_kept_where_there_is_other_room(tmp_path):
    settings = tiny_run(tmp_path / "a", **RUN)
    killed = at_call(loop.Training, "backward", 7)
    assert in_child(settings, lambda: (room_for(300)(), killed())) < 0

    def no_probe():
        size.probe = None

    assert in_child(settings, no_probe) == EXIT_FINISHED
    assert kept(settings) == BatchSize(240, 2)
    whole = tiny_run(tmp_path / "b", **RUN)
    assert in_child(whole, room_for(300)) == EXIT_FINISHED
    same(final(settings), final(whole))
    # of another run nothing is kept
    other = tiny_run(tmp_path / "a", **RUN | {"seed": 8})
    assert in_child(other, room_for(1000)) == EXIT_FINISHED
    assert kept(other) == BatchSize(480, 1)


def test_no_room_for_the_longest_clip_is_said_before_anything_starts(tmp_path):
    settings = tiny_run(tmp_path, **RUN)
    assert in_child(settings, room_for(30)) == EXIT_USER_ERROR
    reason = json.loads((settings.directory / "status.json").read_text())["reason"]
    assert "batch_s: auto: a batch of 40 steps" in reason and "segment.max_s" in reason
    assert not (settings.directory / "checkpoints").exists()


def test_memory_that_is_measured_counts_and_not_only_errors(tmp_path):
    """On a host that promises more memory than it has an error never comes."""

    class Memory:
        usable_mb = 100.0

        def reset_peak(self):
            self.frames = 0

        def peak_mb(self):
            return 40.0 + 0.2 * self.frames  # 90 MB are 250 frames

    tried = tmp_path / "tried"

    def prepare():
        memory, update = Memory(), size.Trial._update

        def counted(self, groups):
            rows = self._clips.rows
            sizes = [len(clips) * max(rows[i].n_steps for i in clips) for clips in groups]
            memory.frames = max(sizes, default=0)
            with tried.open("a") as file:
                file.write(f"{memory.frames}\n")
            return update(self, groups)

        size.HostMemory = lambda: memory
        size.Trial._update = counted

    settings = tiny_run(tmp_path, **RUN | {"epochs": 1})
    assert in_child(settings, prepare) == EXIT_FINISHED
    assert kept(settings) == BatchSize(240, 2)
    assert max(map(int, tried.read_text().split())) <= 250, "what smaller ones took told enough"


def test_accumulate_beside_auto_is_refused():
    run = {"corpus": "c", "family": "f5", "base": {"checkpoint": "a", "vocab": "b", "model": "c"}}
    run["train"] = {"batch_s": "auto", "accumulate": 2}
    content = {"corpora": {"c": {"audio": "x", "language": "en"}}, "runs": {"r": run}}
    with pytest.raises(UserError, match="accumulate is computed from update_s"):
        resolve(content)
