"""What is said of a training while it runs."""

import os
import signal

import pytest
from training_setup import LETTERS, tiny_run
from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.features.packs import PackReader
from voicekiln.training.data import Clips, Request, load, read_rows
from voicekiln.training.signs import LOOKS, Signs, host_mb


def row(loss=1.0, seconds=10.0, wait_s=0.0, **more):
    return {"loss": loss, "seconds": seconds, "wait_s": wait_s, **more}


def test_waiting_for_batches_is_said_once():
    signs = Signs(workers=2, before=[])
    assert signs.of(row(wait_s=1.9)) == []
    (said,) = signs.of(row(wait_s=4.3))
    assert "43% of the time" in said and "train.workers (now 2)" in said
    assert signs.of(row(wait_s=9.0)) == []
    assert Signs(0, []).of(row(seconds=0.1, wait_s=0.09)) == [], "nobody minds a tenth of a second"


def test_memory_that_only_grows_is_said():
    signs = Signs(0, [])
    steady = [signs.of(row(host_mb=2000 + n % 2)) for n in range(3 * LOOKS)]
    assert not any(steady)
    said = [line for n in range(LOOKS) for line in signs.of(row(host_mb=2000 + 100 * n))]
    assert len(said) == 1 and "to 3900 MB" in said[0]


def test_little_memory_of_the_gpu_is_said():
    (said,) = Signs(0, []).of(row(free_mb=300))
    assert "300 MB of the GPU are free" in said
    assert Signs(0, []).of(row(free_mb=900)) == []


def test_a_sudden_rise_of_the_gpus_memory_is_said():
    signs = Signs(0, [])
    levels = [4000, 9000, 9500, 10_000, 11_000, 10_900]
    assert [signs.of(row(used_mb=mb)) for mb in levels] == [[]] * len(levels), "it finds its level"
    (said,) = signs.of(row(used_mb=13_700))
    assert "rose from 10900 to 13700 MB" in said
    assert signs.of(row(used_mb=20_000)) == []
    small = Signs(0, [])
    assert not any(small.of(row(used_mb=mb)) for mb in [500, 500, 500, 500, 1400])


def test_a_spike_after_going_on_is_said_with_what_was_before():
    before = [1.0 + n % 3 / 100 for n in range(30)]
    (said,) = Signs(0, before).of(row(loss=1.9))
    assert "1.9 after going on, and was 1.01" in said
    signs = Signs(0, before)
    assert signs.of(row(loss=1.05)) == [] and signs.of(row(loss=1.9)) == []
    assert Signs(0, [1.0]).of(row(loss=9.0)) == []


def test_the_memory_of_this_process_is_known():
    assert 10 < host_mb() < 100_000


def test_a_loader_process_that_was_killed_ends_with_what_helps(tmp_path):
    settings = tiny_run(tmp_path)
    family = families.get("f5")
    rows = read_rows(settings.train_rows)
    vocab = {letter: i for i, letter in enumerate(LETTERS)}
    tokens = family.tokens([r.text for r in rows], vocab, [r.id for r in rows])

    class Deadly(Clips):
        def batch(self, request):
            os.kill(os.getpid(), signal.SIGKILL)

    clips = Deadly(family, rows, tokens, PackReader(), 0, drops=True)
    with pytest.raises(UserError, match="loads batches is gone.*fewer train.workers"):
        list(load(clips, [Request((0,), 0)], 1, 2, pin=False))
