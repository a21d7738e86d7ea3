"""Whisper models from Hugging Face: logits and tokens equal those of transformers."""

import json

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from test_transcribe import clips
from voicekiln import upstream
from voicekiln.asr import engines, hugging_face
from voicekiln.asr.convert import convert
from voicekiln.asr.hypothesis import Clip
from voicekiln.asr.whisper import WhisperRecogniser, load
from voicekiln.config import resolve, whisper_models
from voicekiln.errors import UserError

upstream.prepare()  # lets transformers import torchaudio
transformers = pytest.importorskip("transformers")

TINY = {
    "vocab_size": 51865, "num_mel_bins": 80, "d_model": 32, "encoder_layers": 2,
    "encoder_attention_heads": 2, "encoder_ffn_dim": 128, "decoder_layers": 2,
    "decoder_attention_heads": 2, "decoder_ffn_dim": 128, "max_source_positions": 1500,
    "max_target_positions": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    """A small random model of transformers'."""
    torch.manual_seed(1)
    made = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**TINY))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


def saved(model, folder, how):
    if how in ("safetensors", "shards"):
        model.save_pretrained(folder, max_shard_size="3MB" if how == "shards" else "1GB")
    else:
        model.config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return hugging_face.weights_file(folder)


@pytest.fixture
def folder(model, tmp_path):
    saved(model, tmp_path, "safetensors")
    return tmp_path


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ("safetensors", "model.safetensors"),
        ("shards", "model.safetensors.index.json"),
        ("pickle", "pytorch_model.bin"),
    ],
)
@torch.inference_mode()
def test_logits_and_tokens_equal_those_of_transformers(model, tmp_path, how, name):
    weights = saved(model, tmp_path, how)
    assert weights.name == name and hugging_face.is_model_file(weights)
    ours = load(weights, "cpu")
    mel = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(2))
    tokens = torch.tensor(
        [[50258, 50259, 50359, 50363, 11, 22], [50258, 50260, 50359, 50363, 3, 4]]
    )
    theirs = model(input_features=mel, decoder_input_ids=tokens).logits
    logits = ours(mel, tokens)
    torch.testing.assert_close(logits, theirs, atol=1e-4, rtol=1e-4)
    said = tokens[:, :4]
    for _ in range(8):  # greedily, by each on its own text
        said = torch.cat([said, ours(mel, said)[:, -1:].argmax(-1)], 1)
    others = tokens[:, :4]
    for _ in range(8):
        step = model(input_features=mel, decoder_input_ids=others).logits
        others = torch.cat([others, step[:, -1:].argmax(-1)], 1)
    assert said.tolist() == others.tolist()


def test_both_engines_transcribe_with_it(folder, tmp_path_factory):
    clip = Clip(clips()[0].samples[:32_000], "en")
    original = engines.load(folder / "model.safetensors", 1, "cpu", word_times=False)
    [heard] = original.transcribe([clip], 1)
    made = tmp_path_factory.mktemp("converted")
    convert(folder / "model.safetensors", made, "float32")
    [again] = engines.load(made / "model.bin", 1, "cpu", word_times=False).transcribe([clip], 1)
    assert again.text == heard.text
    assert again.avg_logprob == pytest.approx(heard.avg_logprob, abs=1e-3)
    (likely,) = original.language_probabilities([clip])
    assert sum(likely.values()) == pytest.approx(1, abs=1e-3) and "am" in likely


def test_the_digest_covers_every_file(model, tmp_path):
    weights = saved(model, tmp_path, "shards")
    before = engines.digest(weights)
    shard = sorted(tmp_path.glob("model-*.safetensors"))[-1]
    section = settings(tmp_path)["corpora"]["a"]["transcribe"]
    assert str(shard) in whisper_models.input_parts(section, ROOT)
    tensors = load_file(shard)
    name = sorted(tensors)[0]
    save_file(tensors | {name: tensors[name] + 1}, shard)
    assert engines.digest(weights) != before


def settings(folder, engine="whisper"):
    return resolve.resolve(
        {
            "corpora": {
                "a": {
                    "audio": str(folder),
                    "language": "en",
                    "transcribe": {"model": str(folder), "engine": engine},
                }
            },
            "runs": {},
        },
    )


def test_a_folder_can_be_named(folder):
    found = settings(folder)
    resolve.load(found, ROOT)
    section = found["corpora"]["a"]["transcribe"]
    assert whisper_models.input_file(section, "model", ROOT) == str(folder / "model.safetensors")
    assert whisper_models.converted_name(section, ROOT) is None
    assert engines.title(folder / "model.safetensors") == str(folder)
    section = settings(folder, "faster-whisper")["corpora"]["a"]["transcribe"]
    assert whisper_models.converted_name(section, ROOT).startswith(f"{folder.name}-")
    assert whisper_models.find(section, "model", ROOT).parts == [str(folder / "config.json")]
    assert whisper_models.input_parts(section, ROOT) == []


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: change(f, model_type="wav2vec2"), "model_type is 'wav2vec2', expected whisper"),
        (
            lambda f: change(f, vocab_size=51900),
            "vocab_size is 51900, expected that of a Whisper tokenizer",
        ),
        (lambda f: change(f, d_model=None), "d_model is missing or not a whole number"),
        (
            lambda f: change(f, d_model=10**9),
            "d_model is 1000000000, not valid for a Whisper model",
        ),
        (lambda f: change(f, decoder_attention_heads=0), "decoder_attention_heads is 0, not valid"),
        (lambda f: change(f, encoder_attention_heads=5), "encoder_attention_heads is 5, not valid"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read as JSON"),
        (lambda f: (f / "config.json").unlink(), "it has no config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "it has no tensors; expected one of"),
        (
            lambda f: (
                (f / "model.safetensors").rename(f / "adapter_model.safetensors")
                and (f / "adapter_config.json").write_text("{}")
            ),
            "it has only a LoRA adapter",
        ),
    ],
)
def test_defects_of_a_folder_are_reported_before_any_job(folder, spoil, said):
    spoil(folder)
    with pytest.raises(UserError) as refused:
        resolve.load(settings(folder), ROOT)
    assert said in str(refused.value) and "corpora.a.transcribe.model" in str(refused.value)


def test_a_missing_shard_is_reported(model, tmp_path):
    saved(model, tmp_path, "shards")
    shard = sorted(tmp_path.glob("model-*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(
        UserError, match=rf"{shard.name}: missing, but listed in model.safetensors.index.json"
    ):
        resolve.load(settings(tmp_path), ROOT)


def test_tensors_with_wrong_shapes_are_reported(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.encoder.conv1.weight"]
    save_file(tensors, path)
    with pytest.raises(UserError, match="tensors do not match the dimensions .*conv1.weight"):
        load(path, "cpu")


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_precisions_on_a_cpu(folder, precision):
    one = WhisperRecogniser(folder / "model.safetensors", 2, "cpu", False, precision)
    wanted = {"bfloat16": torch.bfloat16, "float32": torch.float32}[precision]
    assert one.model.encoder.conv1.weight.dtype == wanted
    heard = one.transcribe([Clip(np.zeros(16_000, np.float32), "en")], 1)
    assert np.isfinite(heard[0].avg_logprob)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings_of_hypothesis(max_examples=60, deadline=None)
@given(
    values=st.dictionaries(st.sampled_from([*TINY, "model_type"]), JSON, max_size=4),
    content=st.none() | st.binary(max_size=64),
)
def test_any_configuration_is_read_or_rejected(tmp_path_factory, values, content):
    path = tmp_path_factory.getbasetemp() / "fuzz-config.json"
    path.write_text(json.dumps(TINY | {"model_type": "whisper"} | values))
    if content is not None:
        path.write_bytes(content)
    try:
        hugging_face.dimensions(path)
    except UserError as refused:
        assert str(path) in str(refused)
