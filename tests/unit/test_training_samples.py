"""What a training speaks at its validations: heard, seen, and of no effect on it."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_children import final, in_child, metrics, same
from training_setup import tiny_run
from voicekiln import families
from voicekiln.training.data.clips import Row
from voicekiln.training.log.records import EXIT_FINISHED, EXIT_STOPPED
from voicekiln.training.step import samples

F5 = families.get("f5")

RUN = {"clips": 25, "epochs": 3}  # 12 updates


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    """A training that speaks no samples."""
    settings = tiny_run(tmp_path_factory.mktemp("silent"), **RUN)
    assert in_child(settings) == EXIT_FINISHED
    return settings


def curves(settings):
    events = EventAccumulator(str(settings.directory / "tensorboard"), {"audio": 0, "images": 0})
    return events.Reload()


def instead_of_speaking(what):
    """Preparation of a child: `speak` does this."""

    def prepare():
        F5.speak = what

    return prepare


def row(name, n_frames, speaker="a", language="en"):
    return Row(name, "text", speaker, language, n_frames, n_frames / 93.75, name, "pack", "00")


def test_samples_are_there_and_the_weights_are_the_same(silent, tmp_path, capfd):
    settings = tiny_run(tmp_path, **RUN, samples=2)
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(silent))
    assert metrics(settings, "validation") == metrics(silent, "validation")
    assert metrics(settings, "train") == metrics(silent, "train")
    seen = curves(settings)
    for n in (0, 1):
        heard = seen.Audio(f"sample_{n}/speech")
        assert [one.step for one in heard] == [0, 4, 8, 12]
        assert {one.sample_rate for one in heard} == {F5.RATE_HZ}
        assert len({one.encoded_audio_string for one in heard}) == 4, "the voice changes"
        pictures = seen.Images(f"sample_{n}/mel")
        assert [one.step for one in pictures] == [0, 4, 8, 12]
        assert {one.height for one in pictures} == {2 * 2 * 100 + samples.GAP_PX}


def test_a_killed_training_with_samples_ends_bit_equal(silent, tmp_path):
    settings = tiny_run(tmp_path, **RUN, samples=1, keep=1)
    speak, calls = F5.speak, []

    def die_in_the_second(*args, **more):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return speak(*args, **more)

    assert in_child(settings, instead_of_speaking(die_in_the_second)) == -signal.SIGKILL
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(silent))


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), ValueError("bad\nthing"), ValueError()]
)
def test_what_goes_wrong_with_a_sample_is_a_warning(error, silent, tmp_path, capfd):
    def fail(model, *_, **__):
        model.eval()
        raise error

    settings = tiny_run(tmp_path, **RUN, samples=1)
    assert in_child(settings, instead_of_speaking(fail)) == EXIT_FINISHED
    same(final(settings), final(silent))
    assert "sample_0/speech" not in curves(settings).Tags()["audio"]


def test_a_request_to_stop_is_seen_between_two_samples(silent, tmp_path):
    speak, told = F5.speak, tmp_path / "spoken"

    def stop_in_the_first(*args, **more):
        with open(told, "a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGTERM)
        return speak(*args, **more)

    settings = tiny_run(tmp_path, **RUN, samples=4)
    assert in_child(settings, instead_of_speaking(stop_in_the_first)) == EXIT_STOPPED
    assert told.read_text() == "x"
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(silent))


def test_their_time_counts_for_no_update(tmp_path):
    def slow(*_, **__):
        samples.time.sleep(0.5)
        return np.zeros(F5.RATE_HZ, np.float32)

    settings = tiny_run(tmp_path, **RUN | {"epochs": 1}, samples=1, log_every=1)
    assert in_child(settings, instead_of_speaking(slow)) == EXIT_FINISHED
    lines = (settings.directory / "metrics.jsonl").read_text().splitlines()
    assert max(json.loads(line)["seconds"] for line in lines) < 0.5


def test_clips_of_typical_length_are_spoken_after_others_of_their_speaker():
    rows = [row("a", 900), row("b", 300), row("c", 320), row("d", 290, "x"), row("e", 100)]
    assert samples.choose_pairs(rows, 1) == [(1, 2)]
    assert samples.choose_pairs(rows[::-1], 1) == [(3, 2)], "whatever their order"
    assert samples.choose_pairs(rows, 9) == [(1, 2), (2, 1), (4, 1), (0, 1), (3, 1)]
    assert samples.choose_pairs(rows[:1], 1) == [(0, 0)] and samples.choose_pairs(rows, 0) == []


def test_a_text_is_spoken_after_a_clip_of_its_language():
    rows = [row("en", 50), row("de", 51, language="de"), row("de of b", 60, "b", "de")]
    rows += [row("en again", 70)]
    assert dict(samples.choose_pairs(rows, 9)) == {0: 3, 3: 0, 1: 2, 2: 1}


def test_the_picture_has_the_original_above():
    original = torch.linspace(-10, 0, 4).expand(6, 4)  # louder in higher bands
    shown = samples.picture({"mel": original}, {"mel": torch.full((9, 4), -10.0)})
    assert shown.dtype == np.uint8 and shown.shape == (2 * 8 + samples.GAP_PX, 9)
    assert (
        (shown[0, :6] == 0).all() and (shown[7, :6] == 255).all() and (shown[:8, 6:] == 255).all()
    )
    assert (shown[-8:] == 255).all()
    codes = {"codes": torch.zeros(5, dtype=torch.int16)}
    assert samples.picture(codes, codes) is None, "nothing to draw"
