"""A batch that does not fit into memory is halved, with the same texts."""

import pytest
import torch
from test_transcribe import DEMO, clips
from voicekiln.asr import engines
from voicekiln.asr.memory import OomSafeRecogniser
from voicekiln.asr.transcriber import Transcriber, TranscriberSettings
from voicekiln.asr.whisper import WhisperRecogniser, dtype_of
from voicekiln.errors import UserError

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


class LittleMemory(WhisperRecogniser):
    """The demo's Whisper on a device on which `room` clips fit, fewer with more beams."""

    def __init__(self, room, error=FULL, batch=8):
        super().__init__(DEMO / "whisper.pt", batch, "cpu", word_times=False)
        self.room, self.error, self.tried = room, error, []
        self.retry_batch = batch

    def transcribe(self, clips, size, temperature=0.0, beams=1):
        self.tried.append(size)
        if size * beams > self.room:
            raise self.error
        return super().transcribe(clips, size, temperature, beams)


def texts(heard):
    return [one.text for one in heard]


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        RuntimeError("CUDA failed with error out of memory"),  # CTranslate2's
        MemoryError(),
    ],
)
def test_the_batch_is_halved_and_remembered(caplog, error):
    many = clips() * 2
    plenty = WhisperRecogniser(DEMO / "whisper.pt", 8, "cpu", word_times=False)
    little = LittleMemory(2, error)
    fitting = OomSafeRecogniser(little, "models/large.pt")
    expected = plenty.transcribe(many, 8)
    assert texts(fitting.transcribe(many, 8)) == texts(expected)
    assert little.tried == [8, 4, 2, 2, 2, 2]
    assert texts(fitting.transcribe(many[:3], 8)) == texts(expected[:3])
    assert little.tried[6:] == [2, 2], "what fits is remembered"
    assert "models/large.pt: a batch of 8 segments does not fit into" in caplog.text
    assert (
        "continuing with 2 at a time, with the same texts; set transcribe.batch to 2" in caplog.text
    )


def test_the_limit_depends_on_the_number_of_beams():
    little = LittleMemory(8)
    fitting = OomSafeRecogniser(little, "m")
    fitting.transcribe(clips(), 4, beams=5)
    assert little.tried == [4, 2, 1, 1, 1, 1]
    fitting.transcribe(clips(), 4)
    assert little.tried[6:] == [4]


def test_a_single_segment_that_does_not_fit_is_a_user_error():
    with pytest.raises(UserError) as ended:
        OomSafeRecogniser(LittleMemory(0), "models/large.pt").transcribe(clips(), 4)
    for word in ("models/large.pt: a single segment", "memory", "precision", "transcribe.model"):
        assert word in str(ended.value)


@pytest.mark.parametrize(
    ("device", "precision", "memory"),
    [("cpu", "bfloat16", "use memory"), ("cuda", "float16", "GPU")],
)
def test_the_advice_suits_the_device(device, precision, memory):
    little = LittleMemory(0)
    little.device = device
    with pytest.raises(UserError) as ended:
        OomSafeRecogniser(little, "m").transcribe(clips(), 4)
    assert f"transcribe.precision to {precision} (int8" in str(ended.value)
    assert str(ended.value).endswith(memory)
    dtype_of(precision, device)


def test_other_errors_pass_through():
    little = LittleMemory(0, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        OomSafeRecogniser(little, "m").transcribe(clips(), 4)
    assert little.tried == [4]


def test_all_passes_end_with_the_same_records():
    """First decodes, fallbacks, second opinions and third ones."""
    way = TranscriberSettings((0.0, 0.4), "all", 1.0)
    plenty = WhisperRecogniser(DEMO / "whisper.pt", 4, "cpu", word_times=False)
    little = OomSafeRecogniser(LittleMemory(2, batch=4), "m")
    for ours, theirs in zip(
        Transcriber(little, None, way)(clips()),
        Transcriber(plenty, None, way)(clips()),
        strict=True,
    ):
        assert ours["text"] == theirs["text"] and ours["again"] == theirs["again"]
        assert ours["avg_logprob"] == pytest.approx(theirs["avg_logprob"], abs=1e-4)


def test_engines_are_wrapped():
    one = engines.load(DEMO / "whisper.pt", 3, "cpu", word_times=False)
    assert isinstance(one, OomSafeRecogniser) and (one.batch, one.retry_batch) == (3, 1)


def test_bfloat16_returns_the_texts_of_float32():
    texts_of = {}
    for precision in ("float32", "bfloat16"):
        one = WhisperRecogniser(DEMO / "whisper.pt", 2, "cpu", True, precision)
        assert one.model.decoder.blocks[0].attn.query.weight.dtype == dtype_of(precision, "cpu")
        heard = one.transcribe(clips()[:2], 2)
        texts_of[precision] = texts(heard)
        assert all(one.words[-1][2] <= 6 for one in heard)
    assert texts_of["bfloat16"] == texts_of["float32"]


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        ("auto", "cpu", torch.float32),
        ("auto", "cuda", torch.float16),
        ("float32", "cuda", torch.float32),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float16", "cuda", torch.float16),
        ("float16", "cpu", "float16 needs a GPU"),
        ("int8", "cuda", "int8 needs engine: faster-whisper"),
    ],
)
def test_precision_of_a_device(precision, device, expected):
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            dtype_of(precision, device)
    else:
        assert dtype_of(precision, device) == expected
