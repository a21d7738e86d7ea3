"""Alignment of texts to audio by a CTC model: the path, the letters, the files, the words."""

import itertools
import json
from types import SimpleNamespace

import align as script
import numpy as np
import pytest
import soundfile
import tone_speech as tones
import torch
from conftest import ROOT
from corpus_rows import recording, segment
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from voicekiln import extras, gpu
from voicekiln.config import resolve as config
from voicekiln.corpus import acoustic
from voicekiln.corpus.confidence import score as confidence_of
from voicekiln.corpus.segments.reading import distribute
from voicekiln.ctc import files, viterbi, vocabulary
from voicekiln.ctc.aligner import align
from voicekiln.ctc.aligner import score as lowest
from voicekiln.ctc.model import AcousticModel
from voicekiln.errors import UserError
from voicekiln.store import tables
from voicekiln.store.files import no_space
from voicekiln.store.items import Store

BLANK = 0


@pytest.fixture(scope="module")
def trained():
    return tones.trained()


@pytest.fixture(scope="module")
def shared(trained, tmp_path_factory):
    """The trained model's folder; tests leave it as it is."""
    return tones.save(trained, tmp_path_factory.mktemp("ctc"))


@pytest.fixture
def folder(trained, tmp_path):
    return tones.save(trained, tmp_path / "ctc")


@pytest.fixture(scope="module")
def model(shared):
    return AcousticModel(shared, ("am",), "cpu")


# --- the path ---------------------------------------------------------------------------------


def collapsed(labels):
    """What CTC makes of a labelling: repeats become one, blanks vanish."""
    return [k for k, _ in itertools.groupby(labels) if k != BLANK]


def best_by_trial(log_probs, tokens):
    """The highest log-probability of all labellings that mean these tokens, by trying all."""
    n_frames, n_labels = log_probs.shape
    totals = [
        sum(log_probs[t, label] for t, label in enumerate(labels))
        for labels in itertools.product(range(n_labels), repeat=n_frames)
        if collapsed(labels) == tokens
    ]
    return max(totals, default=None)


@given(
    st.integers(1, 6),
    st.lists(st.integers(1, 2), max_size=4),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 8, viterbi.MAX_CELLS]),
)
@settings_of_hypothesis(max_examples=60)
def test_the_path_is_the_likeliest_of_all(n_frames, tokens, seed, max_cells):
    log_probs = np.log(np.random.default_rng(seed).dirichlet([0.5] * 3, n_frames) + 1e-12)
    expected = best_by_trial(log_probs, tokens)
    path = viterbi.best_path(log_probs, tokens, BLANK, max_cells)
    if expected is None:
        assert path is None and viterbi.least_frames(tokens) > n_frames
        return
    labels = np.full(2 * len(tokens) + 1, BLANK)
    labels[1::2] = tokens
    assert collapsed(labels[path]) == tokens
    assert log_probs[np.arange(n_frames), labels[path]].sum() == pytest.approx(expected)


def test_a_long_path_is_the_same_with_little_memory():
    rng = np.random.default_rng(3)
    log_probs = np.log(rng.dirichlet([0.3] * 6, 900)).astype(np.float32)
    tokens = rng.integers(1, 6, 120).tolist()
    whole = viterbi.best_path(log_probs, tokens, BLANK)
    np.testing.assert_array_equal(viterbi.best_path(log_probs, tokens, BLANK, 1), whole)


@pytest.mark.parametrize(("tokens", "least"), [([], 0), ([1], 1), ([1, 2], 2), ([1, 1, 1], 5)])
def test_frames_that_a_text_needs(tokens, least):
    assert viterbi.least_frames(tokens) == least
    log_probs = np.log(np.full((max(least, 1), 3), 1 / 3))
    assert viterbi.best_path(log_probs, tokens, BLANK) is not None
    assert viterbi.best_path(log_probs[: max(least, 1) - 1], tokens, BLANK) is None


# --- letters ----------------------------------------------------------------------------------


def letters(*tokens, delimiter=None):
    return vocabulary.Vocabulary({t: 1 + i for i, t in enumerate(tokens)}, 0, delimiter, 9)


def test_words_take_the_models_case_and_lose_punctuation():
    upper = letters("A", "B", "E", "'", delimiter=8)
    spelled = upper.spell("“Ab, — é'b!”")
    assert spelled.words == ["“Ab,", "é'b!”"] and spelled.unknown == ""
    assert spelled.tokens == [[1, 2], [3, 4, 2]]
    assert upper.sequence(spelled) == ([1, 2, 8, 3, 4, 2], [(0, 2), (3, 6)])


def test_what_has_no_token_is_counted_and_a_word_of_it_alone_may_be_any_sound():
    spelled = letters("a", "b").spell("a7b 19 ?")
    assert spelled.words == ["a7b", "19"] and spelled.unknown == "719"
    assert spelled.tokens == [[1, 2], [9]]


def test_other_scripts_are_romanised_for_a_latin_model_only():
    romanize = {"ሰላም": "salam"}.get
    latin = letters("s", "a", "l", "m")
    assert latin.latin and latin.spell("ሰላም", romanize).tokens == [[1, 2, 3, 2, 4]]
    ethiopic = letters("ሰ", "ላ")
    assert not ethiopic.latin
    spelled = ethiopic.spell("ሰላም", romanize)
    assert spelled.tokens == [[1, 2]] and spelled.unknown == "ም"


def test_the_score_is_that_of_the_worst_second():
    values = np.zeros(200)
    values[90:100] = -5.0
    assert lowest(values, 50) == -1.0
    assert lowest(values[95:100], 50) == -5.0


# --- words in time ----------------------------------------------------------------------------


def test_words_are_found_where_they_are_and_a_wrong_word_shows(model):
    rng = np.random.default_rng(7)
    for seed in range(5):
        text = tones.some_text(rng)
        samples, where = tones.spoken(text, 1000 + seed)
        [log_probs] = model([samples])
        found = align(log_probs, model.vocabulary.spell(text), model.vocabulary, model.frame_s)
        assert [word for word, *_ in found.words] == text.split()
        for (_, start_s, end_s, probability), times in zip(
            found.words, tones.word_times(text, where), strict=True
        ):
            assert (start_s, end_s) == pytest.approx(times, abs=0.04)
            assert probability > 0.5
        spelled = model.vocabulary.spell(tones.some_text(rng))
        wrong = align(log_probs, spelled, model.vocabulary, model.frame_s)
        assert wrong.score < 2 * found.score
    [log_probs] = model([tones.spoken("abc dec bad", 1)[0]])
    right, wrong = (
        align(log_probs, model.vocabulary.spell(text), model.vocabulary, model.frame_s).score
        for text in ("abc dec bad", "abc hgf bad")
    )
    assert wrong < 2 * right


def test_an_unknown_word_takes_its_place_and_no_evidence(model):
    text = "abc dec bad fed"
    samples, where = tones.spoken(text, 5)
    [log_probs] = model([samples])
    spelled = model.vocabulary.spell("abc 1984 bad fed")
    found = align(log_probs, spelled, model.vocabulary, model.frame_s)
    times = tones.word_times(text, where)
    assert found.words[1][3] is None and spelled.unknown == "1984"
    for word in (0, 2, 3):
        assert tuple(found.words[word][1:3]) == pytest.approx(times[word], abs=0.04)
    assert align(log_probs, model.vocabulary.spell("1984"), model.vocabulary, 0.02).score is None


def test_a_text_that_is_too_long_is_not_aligned(model):
    [log_probs] = model([np.zeros(3200, np.float32)])
    spelled = model.vocabulary.spell("abcdefgh" * 9)
    assert align(log_probs, spelled, model.vocabulary, model.frame_s) is None


# --- outputs ----------------------------------------------------------------------------------


def clips_of(*lengths):
    return [tones.spoken("abc dec bad fed cab deaf", seed=n)[0][:n] for n in lengths]


def test_a_padded_batch_changes_no_result(model, monkeypatch):
    clips = clips_of(16000, 9000, 30000, 12345, 500)
    alone = model(clips)
    monkeypatch.setattr(model, "batched", True)
    together = model(clips)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    spelled = model.vocabulary.spell("abc dec")
    for one, other in list(zip(alone, together, strict=True))[:4]:
        first = align(one, spelled, model.vocabulary, model.frame_s)
        assert first == align(other, spelled, model.vocabulary, model.frame_s)


def test_memory_that_runs_out_halves_the_batch(model, monkeypatch):
    clips = clips_of(16000, 9000, 12000, 8000, 7000)
    alone, whole, sizes = model(clips), model._padded, []

    def padded(part):
        sizes.append(len(part))
        if len(part) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole(part)

    monkeypatch.setattr(model, "batched", True)
    monkeypatch.setattr(model, "_padded", padded)
    for one, other in zip(alone, model(clips), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert sizes == [5, 2, 3, 1, 2]
    monkeypatch.setattr(model, "_padded", lambda part: whole(None) if not part else fail())
    with pytest.raises(UserError, match="a single segment does not fit into"):
        model(clips)


@pytest.mark.parametrize("batched", [False, True])
def test_an_error_of_the_device_stays_what_it_is(model, monkeypatch, batched):
    def broken(_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(model, "batched", batched)
    monkeypatch.setattr(model, "_padded", broken)
    monkeypatch.setattr(model, "_outputs", broken)
    with pytest.raises(RuntimeError, match="illegal memory access") as error:
        model(clips_of(9000, 8000))
    assert error.value.__cause__ is None
    assert no_space(error.value) is None


def fail():
    raise torch.OutOfMemoryError("out of memory")


def test_a_long_clip_is_computed_in_windows(model, monkeypatch):
    clip = np.tile(clips_of(30000)[0], 6)
    [whole] = model([clip])
    monkeypatch.setattr("voicekiln.ctc.model.WINDOW_S", 3.0)
    monkeypatch.setattr("voicekiln.ctc.model.CONTEXT_S", 1.0)
    [parts] = model([clip])
    assert parts.shape == whole.shape
    assert (parts.argmax(axis=1) == whole.argmax(axis=1)).mean() > 0.97


# --- files ------------------------------------------------------------------------------------


def test_outputs_are_those_of_transformers(trained, model):
    [clip] = clips_of(12345)
    normal = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7)
    with torch.inference_mode():
        logits = trained(torch.from_numpy(normal.astype(np.float32))[None]).logits[0]
    np.testing.assert_allclose(model([clip])[0], logits.log_softmax(-1), atol=1e-4)
    assert model.frame_s == 0.02 and model.masked


def test_names_of_older_checkpoints_are_read(folder, model):
    path = folder / "model.safetensors"
    for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
        tensors = load_file(path)
        renamed = {k.replace(f"parametrizations.weight.{new}", old): v for k, v in tensors.items()}
        assert renamed.keys() != tensors.keys()
        save_file(renamed, path)
    [clip] = clips_of(9000)
    older = AcousticModel(folder, (), "cpu")
    np.testing.assert_array_equal(older([clip])[0], model([clip])[0])


def test_the_other_classes_are_read(tmp_path):
    from transformers import (
        HubertConfig,
        HubertForCTC,
        SeamlessM4TFeatureExtractor,
        Wav2Vec2BertConfig,
        Wav2Vec2BertForCTC,
    )

    torch.manual_seed(2)
    hubert = tones.save(HubertForCTC(HubertConfig(**tones.CONFIG)), tmp_path / "hubert")
    bert = Wav2Vec2BertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        vocab_size=10, pad_token_id=0, feature_projection_input_dim=160,
    )  # fmt: skip
    bands = tones.save(Wav2Vec2BertForCTC(bert), tmp_path / "bert")
    SeamlessM4TFeatureExtractor().save_pretrained(bands)
    [clip] = clips_of(16000)
    for made in (hubert, bands):
        assert files.problem(made, "de") is None
        one = AcousticModel(made, (), "cpu")
        [log_probs] = one([clip])
        assert log_probs.shape[1] == 10 and one.frame_s == 0.02
        assert 48 <= len(log_probs) <= 50


def test_an_adapter_is_chosen_by_language(tmp_path):
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(3)
    made = Wav2Vec2ForCTC(Wav2Vec2Config(**tones.CONFIG, adapter_attn_dim=4))
    vocab = {"amh": {"<pad>": 0, "ሰ": 1, "ላ": 2}, "eng": tones.VOCAB}
    folder = tones.save(made, tmp_path, vocab)
    adapter = {
        k: v + 1 for k, v in load_file(folder / "model.safetensors").items() if "adapter" in k
    }
    save_file(
        adapter | {"lm_head.weight": torch.ones(3, 32), "lm_head.bias": torch.zeros(3)},
        folder / "adapter.amh.safetensors",
    )
    assert files.files(folder, "am")[-1].name == "adapter.amh.safetensors"
    amharic = AcousticModel(folder, files.codes("am"), "cpu")
    assert set(amharic.vocabulary.ids) == {"ሰ", "ላ"}
    assert amharic(clips_of(9000))[0].shape[1] == 3
    name = "wav2vec2.encoder.layers.0.adapter_layer.linear_1.weight"
    torch.testing.assert_close(amharic.model.state_dict()[name], adapter[name])
    with pytest.raises(UserError, match="has vocabularies for amh, eng, none for fra"):
        files.files(folder, "fr")
    with pytest.raises(UserError, match="none for texts without a language"):
        files.files(folder, None)
    with pytest.raises(
        UserError, match=r"has no adapter\.eng\.safetensors, which the language eng"
    ):
        AcousticModel(folder, files.codes("en"), "cpu")


def test_an_adapter_outside_the_folder_is_refused(folder):
    (folder / "vocab.json").write_text(json.dumps({"amh-/../../x": tones.VOCAB}))
    for read in (
        lambda: files.files(folder, "am"),
        lambda: AcousticModel(folder, ("amh",), "cpu"),
    ):
        with pytest.raises(UserError, match="expected an adapter in the same folder"):
            read()


def changed(folder, name, **values):
    found = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(found | values))


def without(folder, name):
    (folder / name).unlink()


def pickled(folder):
    without(folder, "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def truncated(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


def headless(folder):
    path = folder / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if "lm_head" not in k}, path)


BAD = {
    "no vocabulary": (lambda f: without(f, "vocab.json"), "vocab.json"),
    "no configuration": (lambda f: without(f, "config.json"), "config.json"),
    "no preprocessor": (lambda f: without(f, "preprocessor_config.json"), "preprocessor_config"),
    "a pickle": (pickled, "a pickle, which could run code; expected model.safetensors"),
    "no tensors": (lambda f: without(f, "model.safetensors"), "has no model.safetensors"),
    "half a file": (truncated, "model.safetensors"),
    "an encoder alone": (headless, "has no output layer"),
    "code": (
        lambda f: changed(f, "config.json", auto_map={"AutoModel": "own.Model"}),
        "names code of its own",
    ),
    "code of a preprocessor": (
        lambda f: changed(f, "preprocessor_config.json", auto_map={"a": "b.C"}),
        "names code of its own",
    ),
    "another class": (
        lambda f: changed(f, "config.json", architectures=["WhisperForConditionalGeneration"]),
        "expected one of Wav2Vec2ForCTC",
    ),
    "another type": (lambda f: changed(f, "config.json", model_type="hubert"), "model_type is"),
    "a huge layer": (lambda f: changed(f, "config.json", hidden_size=10**9), "hidden_size is"),
    "other sizes": (lambda f: changed(f, "config.json", hidden_size=64), "tensors do not fit"),
    "words for numbers": (
        lambda f: changed(f, "config.json", hidden_size="many"),
        "not a configuration of Wav2Vec2ForCTC",
    ),
    "no blank": (lambda f: changed(f, "config.json", pad_token_id=None), "pad_token_id is None"),
    "a foreign vocabulary": (lambda f: changed(f, "vocab.json", z=99), "expected distinct numbers"),
    "pieces of words": (
        lambda f: (f / "vocab.json").write_text('{"<pad>": 0, "the": 1, "ing": 2, "a": 3}'),
        "not pieces of words",
    ),
    "another extractor": (
        lambda f: changed(f, "preprocessor_config.json", feature_extractor_type="Own"),
        "needs Wav2Vec2FeatureExtractor",
    ),
    "no rate": (
        lambda f: changed(f, "preprocessor_config.json", sampling_rate="16k"),
        "sampling_rate is '16k'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_folder_that_does_not_fit_is_refused_in_one_line(folder, case):
    spoil, message = BAD[case]
    spoil(folder)
    with pytest.raises(UserError, match=message) as error:
        files.digest(folder, "am")
        AcousticModel(folder, ("amh",), "cpu")
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def several_languages(folder, *adapters):
    """Make the folder one of a model with an adapter for each language, as MMS has."""
    codes = ("amh", "eng", "fra", "deu", "spa", "ita")
    (folder / "vocab.json").write_text(json.dumps({code: tones.VOCAB for code in codes}))
    for code in adapters:
        (folder / f"adapter.{code}.safetensors").touch()


def ethiopic(folder):
    letters = {c: i for c, i in zip("ሀለሐመ", range(2, 6), strict=True)}
    (folder / "vocab.json").write_text(json.dumps({"<pad>": 0, "|": 1} | letters))


# for each: what is wrong, the language, and the message after the folder
BEFORE_JOBS = {
    "no adapter": (
        lambda f: several_languages(f, "eng"), "de",
        " has no adapter.deu.safetensors, which the language deu needs; download it from the same "
        "repository into this folder",
    ),
    "no vocabulary of the language": (
        several_languages, "sw",
        "/vocab.json has vocabularies for amh, eng, fra, deu, spa, ..., none for swa; take "
        "vocab.json of the original repository, or another model",
    ),
    "several vocabularies": (
        lambda f: changed(f, "vocab.json", **{"uzb-a": tones.VOCAB, "uzb-b": tones.VOCAB}), "uz",
        "/vocab.json has several vocabularies for uzb (uzb-a, uzb-b)",
    ),
    "an encoder alone": (
        lambda f: (
            without(f, "vocab.json"),
            changed(f, "config.json", architectures=["Wav2Vec2ForPreTraining"]),
        ), "de",
        "/config.json: architectures is ['Wav2Vec2ForPreTraining'], expected one of",
    ),
    "another type": (
        lambda f: changed(f, "config.json", model_type="hubert"), "de",
        "/config.json: model_type is 'hubert', expected wav2vec2 for Wav2Vec2ForCTC",
    ),
    "code": (
        lambda f: changed(f, "preprocessor_config.json", auto_map={"a": "b.C"}), "de",
        "/preprocessor_config.json: names code of its own",
    ),
    "no rate": (
        lambda f: changed(f, "preprocessor_config.json", sampling_rate=16), "de",
        "/preprocessor_config.json: sampling_rate is 16, expected Hz",
    ),
    "no tensors": (
        lambda f: without(f, "model.safetensors"), "de", " has no model.safetensors; download",
    ),
    "no preprocessor": (
        lambda f: without(f, "preprocessor_config.json"), "de", " has no preprocessor_config.json;",
    ),
    "another script": (
        lambda f: None, "am",
        "/vocab.json has only Latin letters, and am is written in Ethiopic script; install uroman, "
        "which romanises the texts (pip install uroman)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BEFORE_JOBS)
def test_a_folder_that_no_job_could_use_stops_the_configuration(folder, monkeypatch, case):
    spoil, language, message = BEFORE_JOBS[case]
    monkeypatch.setattr(extras, "missing", lambda name: f"pip install {name}")
    spoil(folder)
    monkeypatch.chdir(folder.parent)
    with pytest.raises(UserError) as error:
        config.load(of_corpus("ctc", language), ROOT, {("corpora", "c"): "c.yaml:1"})
    [line] = str(error.value).splitlines()[1:]
    assert line.strip().startswith(f"corpora.c.align.acoustic_model: ctc{message}")
    assert line.endswith("[c.yaml:1]") and line.count("ctc") == 1


def of_corpus(model, language="de"):
    corpus = {"audio": ".", "language": language, "align": {"acoustic_model": model}}
    return {"corpora": {"c": corpus | {"transcribe": {"model": None}}}, "runs": {}}


def test_a_model_of_many_languages_needs_only_the_adapter_of_the_corpus(folder):
    several_languages(folder, "deu")
    assert files.problem(folder, "de") is None


def test_scripts_that_the_model_can_read_need_no_uroman(folder, monkeypatch):
    monkeypatch.setattr(extras, "missing", lambda name: f"pip install {name}")
    assert files.problem(folder, "de") is None and files.problem(folder, "sr") is None
    assert files.problem(folder, "xx") is None, "a language whose script is unknown"
    assert files.problem(folder, "am") is not None
    monkeypatch.setattr(extras, "missing", lambda name: None)
    assert files.problem(folder, "am") is None
    monkeypatch.undo()
    ethiopic(folder)
    assert files.problem(folder, "am") is None


def test_what_is_no_folder_has_its_own_message(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    where = "corpora.c.align.acoustic_model: "
    for model, message in (
        ("facebook/mms-1b-all", "facebook/mms-1b-all does not exist; names of models are not down"),
        ("ctc/model.safetensors", "ctc/model.safetensors is a file; give its folder, ctc"),
        ("ctc/typo", "ctc/typo does not exist (relative"),
        ("models/mms/typo", "models/mms/typo does not exist (relative"),
    ):
        with pytest.raises(UserError) as error:
            config.load(of_corpus(model), ROOT)
        [line] = str(error.value).splitlines()[1:]
        assert line.strip().startswith(f"{where}{message}")


def test_names_of_other_models_are_not_downloaded_either(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    whole = of_corpus("ctc")
    section = {"model": "openai/whisper-large-v3.5", "second": "all", "second_model": "own/b.pt"}
    whole["corpora"]["c"] |= {"audio": "recordings/de", "transcribe": section}
    with pytest.raises(UserError) as error:
        config.load(whole, ROOT)
    audio, model, second = str(error.value).splitlines()[1:]
    assert "whisper-large-v3.5 does not exist; names of models are not downloaded" in model
    assert all("does not exist (relative" in line for line in (audio, second))


def test_a_whisper_folder_is_named_once(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    whole = of_corpus("ctc")
    whole["corpora"]["c"] |= {"transcribe": {"model": "./ctc"}, "align": {}}
    with pytest.raises(UserError, match="model_type is 'wav2vec2'") as error:
        config.load(whole, ROOT)
    assert str(error.value).count("ctc") == 1
    without(folder, "config.json")
    with pytest.raises(UserError, match="transcribe.model: ctc: it has no config.json"):
        config.load(whole, ROOT)


def test_a_wrong_folder_is_found_before_any_job(folder):
    corpus = {"audio": str(folder), "language": "de", "align": {"acoustic_model": str(folder)}}
    corpus["transcribe"] = {"model": None}
    whole = {"corpora": {"c": corpus}, "runs": {}}
    config.load(whole, ROOT)
    pickled(folder)
    with pytest.raises(UserError, match=r"corpora\.c\.align\.acoustic_model: .*a pickle"):
        config.load(whole, ROOT)
    del corpus["align"]
    corpus["validate"] = {"min_acoustic_score": -2.0}
    with pytest.raises(UserError, match=r"validate\.min_acoustic_score is set, but"):
        config.load(whole, ROOT)


# --- tables -----------------------------------------------------------------------------------


def recorded(tmp_path, *texts):
    """A store with one recording that holds these texts, and the rows of its segments."""
    audio = Store(tmp_path, "normalize")
    parts = [tones.spoken(text, seed)[0] for seed, text in enumerate(texts)]
    path = audio.path("item", ".flac")
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.concatenate(parts), tones.RATE_HZ)
    audio.put("item", {})
    rows, at = [], 0
    for text, part in zip(texts, parts, strict=True):
        rows.append(
            segment(text, recording="r0", item="item", start=at, end=at + len(part))
            | {"rate_hz": tones.RATE_HZ, "language": "am", "text_source": "reference"}
        )
        at += len(part)
    return audio, rows


def aligned(rows, audio, folder, computed):
    table = tables.frame(rows, tables.TRANSCRIBED)
    store = Store(audio.folder.parent, "acoustic", acoustic.basis(folder, ["am"]))
    one = acoustic.Aligner(folder, "cpu")

    def make(blocks):
        computed.extend(block.key for block in blocks)
        yield from ((block.key, one(block, audio)) for block in blocks)

    with store:
        return acoustic.align(table, table["status"] == "keep", store, make)


def test_segments_get_words_and_a_score_once(shared, tmp_path):
    audio, rows = recorded(tmp_path, "abc dec", "fed b cab", "bad deaf", "cab ace")
    rows[1]["text"] = "fed 7 cab"
    rows[2]["text"] = "abcdefgh" * 40
    rows[3]["text"] = "hgh fgf"
    computed = []
    table = aligned(rows, audio, shared, computed)
    assert [word for word, *_ in json.loads(table["words"][0])] == ["abc", "dec"]
    assert table["acoustic_score"].notna().tolist() == [True, True, False, True]
    assert table["acoustic_score"][3] < table["acoustic_score"][0] - 0.2
    assert [None if tables.missing(u) else u for u in table["unaligned"]] == [
        None, "7", rows[2]["text"], None,
    ]  # fmt: skip
    assert tables.missing(table["words"][2])
    again = aligned(rows, audio, shared, computed)
    assert len(computed) == 1 and again.equals(table)
    rows[0]["text"] = "abc deaf"
    aligned(rows, audio, shared, computed)
    assert len(computed) == 2
    lines = list(acoustic.concerns(table, "am"))
    assert len(lines) == 2
    assert lines[0].startswith("corpus am: 1 kept segment could not be aligned")
    assert "its text has more letters" in lines[0] and "check its text" in lines[0]
    assert lines[1].startswith("corpus am: 1 kept segment has characters")
    assert "no token" in lines[1] and "7 (1)" in lines[1]
    for line in lines:
        assert "first: r0.wav, " in line
        assert "column `unaligned` in results/corpora/am/segments.parquet" in line


def unaligned(text, characters, **more):
    return segment(text, unaligned=characters, acoustic_score=-0.5, **more)


def warnings(*rows):
    return list(acoustic.concerns(tables.frame(list(rows), tables.SEGMENTS), "c"))


def test_numbers_that_were_spelled_later_are_not_reported():
    spelled = unaligned("twelve percent", "12%")
    number_alone = segment("twelve", unaligned="12")
    assert not warnings(spelled, number_alone)
    [line] = warnings(spelled, unaligned("room 12", "12"), unaligned("x² 3", "٣"))
    assert line.startswith("corpus c: 2 kept segments have characters")
    assert "1 (1), 2 (1), ٣ (1)" in line and "first: r0.wav, 0.00 s, 'room 12'" in line
    [line] = warnings(unaligned("straße 7", "ß7"), unaligned("sieben ß", "7ß"))
    assert "ß (2), 7 (1)" in line


def test_warnings_about_another_script_name_uroman(monkeypatch):
    rows = segment("ሰላም", unaligned="ሰላም"), unaligned("abc ሰ", "ሰ")
    for line in warnings(*rows, rows[0]):
        assert line.endswith(extras.NEEDS["uroman"][1]) == bool(extras.missing("uroman"))
    monkeypatch.setattr(extras, "missing", lambda name: f"pip install {name}")
    lines = warnings(*rows, rows[0])
    assert len(lines) == 2 and "2 kept segments could" in lines[0] and "their texts" in lines[0]
    assert all(line.endswith("romanises the texts: pip install uroman") for line in lines)
    [line] = warnings(unaligned("abcß", "ß"))
    assert "uroman" not in line
    monkeypatch.setattr(extras, "missing", lambda name: None)
    assert not any("uroman" in line for line in warnings(*rows))


def test_a_segment_is_independent_of_those_beside_it(shared, tmp_path):
    audio, rows = recorded(tmp_path, "abc dec", "fed cab", "bad deaf ace")
    whole = aligned(rows, audio, shared, [])
    columns = ["words", "acoustic_score"]
    for i, row in enumerate(rows):
        alone = aligned([row], audio, shared, [])
        assert alone[columns].iloc[0].tolist() == whole[columns].iloc[i].tolist()


def test_the_text_of_a_long_reading_is_placed_without_a_recogniser(shared, tmp_path):
    """The reader skips a sentence of the page; the last segment is not on it."""
    said = ["abc dec fed cab", "bad deaf ace hgf", "gag hed bead fab", "dab hag bec cafe"]
    audio, rows = recorded(tmp_path, *said)
    for row in rows:
        row |= {"text": None, "text_source": None}
    table = aligned(rows, audio, shared, [])
    assert set(table["text_source"]) == {"hypothesis"} and table["acoustic_score"].isna().all()
    for words, text in zip(table["words"], table["text"], strict=True):
        assert " ".join(word for word, *_ in json.loads(words)) == text
    text = "Abc dec: fed cab. Bad deaf ace; hgf! Chchch ebebe fcfcf. Gag hed bead fab?"
    known = json.dumps([{"start_s": None, "end_s": None, "text": text}])
    recordings = tables.frame([recording(reference_texts=known)], tables.RECORDINGS)
    table, unsaid = distribute(table, recordings, 0.35, acoustic.speller(shared))
    kept = table[table["status"] == "keep"]
    assert list(kept["text"]) == [
        "Abc dec: fed cab.", "Bad deaf ace; hgf!", "Gag hed bead fab?",
    ]  # fmt: skip
    assert list(table["reason"].dropna()) == ["not in the reference text"]
    assert [gap["text"] for gap in unsaid] == ["Chchch ebebe fcfcf."]


def test_pages_in_another_script_are_spelled_as_the_model_does(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "missing", lambda name: None)
    monkeypatch.setattr(acoustic, "_uroman", lambda: lambda word, language: "sa-lam")
    spell = acoustic.speller(shared)
    assert spell("ሰላም!", "am") == "salam" and spell("Abc", "am") == "abc"


def test_another_model_computes_again(shared, folder, tmp_path):
    first = acoustic.basis(shared, ["am"])
    assert acoustic.basis(folder, ["am"]) == first
    changed(folder, "preprocessor_config.json", do_normalize=False)
    assert acoustic.basis(folder, ["am"]) != first


def test_confidence_of_a_reference_text_follows_its_score():
    rows = [
        segment("abc", text_source="reference", acoustic_score=s) for s in (-0.1, -2.0, -5.0, None)
    ]
    confidence = confidence_of(tables.frame(rows, tables.SEGMENTS))["confidence"]
    assert confidence.tolist()[:3] == pytest.approx([0.975, 0.5, 0.0]) and confidence.isna()[3]


def test_uroman_is_part_of_the_key(shared, monkeypatch):
    monkeypatch.setattr(extras, "version", lambda name: "9.9")
    assert acoustic.basis(shared, ["am"])["uroman"] == "9.9"
    assert not gpu.is_out_of_memory(ValueError("other"))


def test_a_shard_without_segments_needs_no_language(folder, tmp_path, monkeypatch):
    """A model with an adapter for each language is not asked for one."""
    (folder / "vocab.json").write_text(json.dumps({"amh": tones.VOCAB}))
    (folder / "adapter.amh.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(script.job, "start", lambda smk: None)
    tables.write(tables.frame([], tables.TRANSCRIBED), tmp_path / "in.parquet", tables.TRANSCRIBED)
    empty = tables.frame([], tables.RECORDINGS)
    tables.write(empty, tmp_path / "recordings.parquet", tables.RECORDINGS)
    corpus = {"audio": "a", "language": "am", "transcripts": "sidecar"}
    whole = config.resolve({"corpora": {"c": corpus}})["corpora"]["c"]
    script.main(
        SimpleNamespace(
            input=SimpleNamespace(
                table="in.parquet",
                recordings="recordings.parquet",
                model=[str(path) for path in files.files(folder, "am")],
            ),
            output=SimpleNamespace(table="out.parquet", unsaid="unsaid.jsonl"),
            params=SimpleNamespace(
                settings={"align": whole["align"], "segment": whole["segment"]},
                model=str(folder),
                decodes=True,
            ),
            wildcards=SimpleNamespace(corpus="c"),
            threads=1,
        )
    )
    assert len(tables.read(tmp_path / "out.parquet")) == 0
