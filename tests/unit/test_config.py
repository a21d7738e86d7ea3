import copy
import datetime
import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from toy_setup import toy_family
from voicekiln.config import explain, files, hypotheses, schema, targets
from voicekiln.config.paths import locate
from voicekiln.config.resolve import resolve
from voicekiln.config.whisper_models import Form, Model, conflicts, conversions, find, is_path
from voicekiln.errors import UserError

MINIMAL = {"corpora": {"c": {"audio": "a", "language": "en", "transcripts": "sidecar"}}}


def demo() -> dict:
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def changed(path: str, value) -> dict:
    """The demo's configuration with one key set."""
    config = demo()
    *parents, last = path.split(".")
    section = config
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = value
    return config


def test_defaults_are_filled_in_at_every_level_and_the_input_stays():
    config = copy.deepcopy(MINIMAL)
    filled = resolve(config)
    assert filled["corpora"]["c"]["normalize"]["rate_hz"] == 24000
    assert filled["runs"] == {}
    assert config == MINIMAL


@pytest.mark.parametrize(
    "given, save_every, keep",
    [
        ({}, 200, 3),
        ({"saving": None}, 200, 3),
        ({"saving": "fast"}, 1000, 1),
        ({"saving": "balanced"}, 500, 3),
        ({"saving": "production"}, 500, 10),
        ({"saving": "very_long"}, 2000, 5),
        ({"saving": "production", "keep": 4}, 500, 4),
        ({"saving": "production", "save_every": 50}, 50, 10),
    ],
)
def test_how_checkpoints_are_saved_has_names_and_what_is_given_wins(given, save_every, keep):
    train = resolve(changed("runs.demo_f5.train", given))["runs"]["demo_f5"]["train"]
    assert (train["save_every"], train["keep"]) == (save_every, keep)
    assert "saving" not in train, "the worker is told numbers"


@pytest.mark.parametrize("train", [{"saving": "slow"}, {"saving": ["fast"]}, "fast"])
def test_a_way_of_saving_that_there_is_not_is_told(train):
    with pytest.raises(UserError, match="runs.demo_f5.train"):
        resolve(changed("runs.demo_f5.train", train))


def test_every_property_has_a_description_and_optional_ones_a_default():
    def walk(section, path, required):
        for name, sub in section.get("properties", {}).items():
            here = f"{path}.{name}"
            assert sub.get("description"), f"{here} has no description"
            in_base = path.endswith(".base")
            assert "default" in sub or name in required or in_base, f"{here} has no default"
            walk(sub, here, sub.get("required", ()))
        for sub in section.get("patternProperties", {}).values():
            walk(sub, path + ".*", sub.get("required", ()))

    walk(schema.whole(), "config", ())


def test_the_shipped_configuration_and_the_examples_hold():
    files = [ROOT / "config/config.yaml", *sorted((ROOT / "config/examples").glob("*.yaml"))]
    for file in files:
        resolve(yaml.safe_load(file.read_text()))
    assert len(files) > 1


@pytest.mark.parametrize(
    "path, value, said",
    [
        ("corpora.demo.segmnt", {}, r"corpora\.demo\.segmnt: unknown key; did you mean segment"),
        ("corpora.demo.audios", "a", r"audios: unknown key; did you mean audio\?"),
        (
            "runs.demo_f5.train.epoch",
            1,
            r"epoch: unknown key; did you mean epochs\? .*README.*tr",
        ),
        (
            "runs.demo_f5.train.batch_frames",
            2000,
            r"train.batch_frames: this key was replaced; write `batch_s: 21.33` instead",
        ),
        (
            "runs.demo_f5.train.update_frames",
            3200,
            r"update_frames: this key was replaced; write `update_s: 34.13` instead",
        ),
        (
            "corpora.demo.transcript_column",
            2,
            r"transcript_column: this key was replaced; write `columns: \{text: 2\}` instead",
        ),
        ("runs.demo_f5.train.batch_frames", 3200.0, r"write `batch_s: 34.13` instead"),
        ("runs.demo_f5.train.batch_frames", "auto", r"write `batch_s: auto` instead"),
        ("runs.demo_f5.train.batch_frames", None, r"this key was replaced; remove it"),
        (
            "runs.demo_f5.evaluate.steps",
            16,
            r"this key was replaced; write `speak: \{steps: 16\}` in the run instead",
        ),
        ("corpora.demo.transcribe.check_known", True, r"write `check_reference: true` instead"),
        ("corpora.demo.align.min_acoustic_score", -2, r"it belongs in corpora\.<name>\.validate"),
        ("runs.demo_f5.train.batch_s", 3200, r"3200 frames are 34\.13"),
        ("runs.demo_f5.train.update_s", 38400, r"38400 frames are 409\.6"),
        ("corpora.demo.xyzzy", 1, r"unknown key \(its keys are .* section corpora.<corpus>"),
        ("corpora.demo.min_chars_per_s", 1, r"it belongs in corpora\.<name>\.validate"),
        ("runs.demo_f5.train.learning_rate", "1e-4", r"write 1\.0e-4"),
        ("runs.demo_f5.train.learning_rate", "2.5e5", r"write 2\.5e\+5"),
        (
            "runs.demo_f5.train.learning_rate",
            "0,001",
            r"use a decimal point: 0\.001",
        ),
        ("runs.demo_f5.train.epochs", 0, r"train\.epochs: 0 is out of range; expected at least 1"),
        ("runs.demo_f5.train.epochs", "ten", r'epochs: expected a whole number, found "ten"'),
        (
            "corpora.demo.shards",
            "8",
            r'shards: expected a whole number or auto, found "8"; .* quotes: 8',
        ),
        ("corpora.demo.shards", 1000, r"expected at least 1 and at most 999"),
        (
            "corpora.demo.normalize.rate_hz",
            8000,
            r"8000 is out of range; .*at least 16000",
        ),
        ("corpora.demo.segment.pad_s", "0.2 s", r"remove the unit s"),
        ("corpora.demo.text.normalize", "True", r"remove the quotes: true"),
        ("corpora.demo.speaker", 12, r'speaker: .*YAML reads this as a number: quote it, "12"'),
        ("corpora.demo.speaker", True, r"YAML reads yes, on and true as true: quote"),
        ("corpora.demo.language", False, r'language: .*YAML reads no, off .* quote the word: "no"'),
        ("corpora.demo.language", ["en"], r"language: expected text, found a list"),
        ("corpora.demo.language", None, r"language: expected text, found null"),
        (
            "corpora.demo.language",
            "amharic",
            r'"amharic" is not a language code; .* mean am\?',
        ),
        ("corpora.demo.language", "English", r"did you mean en\?"),
        ("corpora.demo.language", "español", r"did you mean es\?"),
        ("corpora.demo.language", "klingon!", r"not a language code; expected one such as"),
        ("corpora.demo.transcribe.sha256", "abc", r"sha256: .*expected a SHA-256, 64 hexadecimal"),
        (
            "corpora.demo.segment.engine",
            "silera",
            r"did you mean silero\? expected",
        ),
        ("corpora.demo.audio", 5, r"audio: expected text or a list, found 5"),
        ("corpora.demo.audio", [5], r"audio\.0: expected text, found 5"),
        ("corpora.demo.audio", [], r"audio: expected at least one"),
        (
            "runs.demo_f5.family",
            "indextts2",
            r"family: indextts2 is planned and not available yet; expected f5 or xtts",
        ),
        ("runs.demo_f5.family", "F5", r'family: "F5" is not an allowed value; did you mean f5'),
        ("runs.demo_f5.corpus", "x", r"there is no corpus x; the configuration has: demo"),
        ("runs.demo_f5.base", {"run": "y"}, r"there is no run y"),
        ("runs.demo_f5.base", {"run": "demo_f5"}, r"cannot start from itself"),
        ("runs.demo_f5.base", {"vocab": "y"}, r"expected either run alone, or checkpoint"),
        ("runs.demo_f5.base.checkpoint_sha256", "abc", r"expected a SHA-256, 64 hex"),
        ("runs.demo_f5.vocoder_sha256", "0" * 64, r"vocoder_sha256 is set, but vocoder is not"),
        ("corpora.demo.measure.speaker_model_sha256", "0" * 64, r"speaker_model is not a file"),
        (
            "runs.demo_f5.train.loss_weights",
            {"mel": 2.0},
            r"mel is not a loss part of F5-TTS",
        ),
        ("runs.demo_f5.train.loss_weights", {"flow": 0}, r"loss_weights.flow: 0 is out of range"),
        (
            "runs.demo_f5.train.best_by",
            "mel_ce",
            r"mel_ce is not a loss part .* loss, flow",
        ),
        ("runs.demo_f5.train.save_every", "2 epoks", r'save_every: .* "2 epochs"'),
        (
            "runs.demo_f5.train.learning_rate",
            float("nan"),
            r"nan is not a usable number",
        ),
        (
            "runs.demo_f5.train.learning_rate",
            float("inf"),
            r"inf is not a usable number",
        ),
        ("corpora.a b", {}, r"a b: a name may have letters"),
        ("corpora.-a", {}, r"-a: a name may have letters.* start with a letter"),
        ("corpora.demo.segment.min_s", 20, r"min_s \(20\) must be below"),
        ("corpora.demo.path_pattern", "(", r"path_pattern: not a valid regular expression"),
        ("corpora.demo.path_pattern", "(?P<who>.)", r"expected a group .*found who"),
        ("corpora.demo.speaker", "a\0b", r"speaker: the character U\+0000"),
        ("corpora.demo.speaker", "\ud800", r"speaker: the character U\+D800"),
        ("corpora.demo.text.abbreviations", {"a\ud800": "b"}, r"U\+D800"),
    ],
)
def test_mistakes_are_named_with_their_path(path, value, said):
    with pytest.raises(UserError, match=said) as error:
        resolve(changed(path, value))
    assert "Traceback" not in str(error.value) and "^[" not in str(error.value)


def test_runs_that_start_from_each_other_are_named():
    config = demo()
    config["runs"] |= {
        name: config["runs"]["demo_f5"] | {"base": {"run": base}}
        for name, base in (("a", "b"), ("b", "a"), ("c", "a"), ("d", "demo_f5"))
    }
    with pytest.raises(UserError) as error:
        resolve(config)
    message = str(error.value)
    for name, chain in (("a", "a, b"), ("b", "b, a"), ("c", "a, b")):
        assert f"runs.{name}.base.run: these runs start from each other: {chain}" in message
    assert "runs.d." not in message


def test_keys_of_a_section_are_those_of_the_runs_family():
    """The sampling of F5-TTS has moved from evaluate to its own section."""
    with pytest.raises(
        UserError, match=r"evaluate.steps: .*write `speak: \{steps: 4\}` in the run"
    ):
        resolve(changed("runs.demo_f5.evaluate", {"steps": 4}))
    with pytest.raises(UserError, match=r"speak.temperature: unknown key"):
        resolve(changed("runs.demo_f5.speak", {"temperature": 1}))
    found = resolve(changed("runs.demo_f5.speak", {"steps": 4}))["runs"]["demo_f5"]
    assert found["speak"] == {"steps": 4, "cfg_strength": 2.0}
    with toy_family():
        run = {"corpus": "demo", "family": "toy", "base": {"folder": "toy"}}
        found = resolve(demo() | {"runs": {"t": run}})["runs"]["t"]
        assert found["speak"] == {"samples_per_token": 800}
        assert found["train"]["learning_rate"] == 1e-3, "the family's own default"
        with pytest.raises(UserError, match=r"runs.t.vocoder: Toy has its own vocoder"):
            resolve(demo() | {"runs": {"t": run | {"vocoder": "x"}}})
        with pytest.raises(UserError, match=r"runs.a.base.run: t is of the family toy"):
            resolve(
                demo()
                | {
                    "runs": {
                        "t": run,
                        "a": changed(
                            "runs.a", {"corpus": "demo", "family": "f5", "base": {"run": "t"}}
                        )["runs"]["a"],
                    }
                }
            )


def test_each_missing_key_is_named_once():
    config = demo()
    for key in ("family", "base"):
        del config["runs"]["demo_f5"][key]
    with pytest.raises(UserError) as error:
        resolve(config)
    assert [str(error.value).count(f"{key} is missing") for key in ("family", "base")] == [1, 1]


@pytest.mark.parametrize("name", [2024, 1.5, None, True, datetime.date(2024, 1, 2)])
@pytest.mark.parametrize("section", ["corpora", "runs"])
def test_a_name_that_yaml_does_not_read_as_text_is_to_be_quoted(name, section):
    config = demo()
    config[section][name] = config[section].pop(next(iter(config[section])))
    with pytest.raises(UserError, match=rf'{section}\.{name}: .* quote it: "{name}"'):
        resolve(config)


def test_lines_that_are_not_indented_are_one_mistake():
    for text, where in (
        ("corpora:\n my_voice:\n audio: a\n language: en\n segment: {}\n", "corpora.my_voice"),
        ("corpora:\nmy_voice:\n  audio: a\n  language: en\n", "corpora"),
        ("corpora:\n v:\n  audio: a\n  language: en\n  segment:\n  min_s: 1\n", "v.segment"),
    ):
        with pytest.raises(UserError, match=f"{where}: the lines of this section are") as error:
            resolve(yaml.safe_load(text))
        assert len(str(error.value).splitlines()) == 2, error.value


def test_what_stands_below_a_line_that_is_not_indented_is_checked_too():
    text = "corpora:\n my_voice:\n audio: a\n language: english\n"
    with pytest.raises(UserError, match="(?s)not indented.*my_voice.language: .*did you mean en"):
        resolve(yaml.safe_load(text))


def test_an_empty_section_stands_for_its_defaults():
    text = "corpora:\n v:\n  audio: a\n  language: en\n  segment:\nruns:\n"
    resolved = resolve(yaml.safe_load(text))
    assert resolved["corpora"]["v"]["segment"]["min_s"] == 1.0 and resolved["runs"] == {}


def test_a_corpus_named_like_a_key_is_a_corpus():
    config = {"corpora": {"text": {"audio": "a", "language": "en"}}}
    assert list(resolve(config)["corpora"]) == ["text"]


def bomb(levels: int) -> list:
    """A list that holds two values, each given twice, and so on."""
    value: list = ["x"] * 9
    for _ in range(levels):
        value = [value] * 9
    return value


@pytest.mark.parametrize(
    "path", ["corpora.demo.audio", "corpora", "corpora.demo.text.abbreviations", "corpora.demo"]
)
def test_aliases_without_end_are_refused(path):
    with pytest.raises(UserError, match="aliases"):
        resolve(changed(path, {"a": bomb(12)}))
    loop: dict = {}
    loop["c"] = loop
    with pytest.raises(UserError, match="contains itself"):
        resolve(changed(path, loop))


def test_a_line_of_the_file_is_named():
    config = changed("runs.demo_f5.train.epoch", 1)
    lines = {
        ("runs",): "my.yaml, line 9",
        ("runs", "demo_f5", "train", "epoch"): "my.yaml, line 12",
    }
    del config["runs"]["demo_f5"]["family"]
    with pytest.raises(UserError) as error:
        resolve(config, lines)
    assert re.search(r"epoch: unknown key; .* \[my.yaml, line 12\]$", str(error.value), re.M)
    assert re.search(r"demo_f5: family is missing .* \[my.yaml, line 9\]$", str(error.value), re.M)


def test_every_pattern_of_the_schema_is_explained():
    def patterns(section):
        if isinstance(section, dict):
            if isinstance(section.get("pattern"), str):
                yield section["pattern"]
            for key, sub in section.items():
                if key not in ("pattern", "default", "patternProperties"):
                    yield from patterns(sub)
            yield from patterns(list(section.get("patternProperties", {}).values()))
        elif isinstance(section, list):
            for sub in section:
                yield from patterns(sub)

    found = set(patterns(schema.whole()))
    language = {p for p in found if "{2,3}" in p}  # explained by name
    assert len(language) == 1 and found - language <= set(explain.PATTERNS)


def test_all_mistakes_are_told_at_once():
    config = changed("corpora.demo.shards", 0)
    config["runs"]["demo_f5"]["famly"] = "f5"
    with pytest.raises(UserError, match=r"shards(.|\n)*famly"):
        resolve(config)


def test_what_the_project_ships_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("resources/demo/README.md", ROOT) == str(ROOT / "resources/demo/README.md")
    (tmp_path / "resources/demo").mkdir(parents=True)
    (tmp_path / "resources/demo/README.md").write_text("mine")
    assert locate("resources/demo/README.md", ROOT) == "resources/demo/README.md"
    assert locate("recordings", ROOT) == "recordings"


def test_model_names_and_files_are_told_apart():
    assert is_path("models/large-v3.pt") and is_path("./tiny") and is_path("tiny.pt")
    assert not is_path("large-v3") and not is_path("tiny.en")


def test_a_model_is_classified_once(tmp_path):
    hugging_face, converted = tmp_path / "hf", tmp_path / "ct2"
    for folder, names in (
        (hugging_face, ("config.json", "model.safetensors")),
        (converted, ("config.json", "model.bin")),
    ):
        folder.mkdir()
        for name in names:
            (folder / name).touch()

    def of(name):
        return find({"model": name}, "model", ROOT)

    assert of(None) is None
    assert of("tiny") == Model(Form.RELEASED, Path("results/models/whisper/tiny.pt"))
    assert of("resources/demo/whisper.pt").form is Form.CHECKPOINT
    assert of(str(hugging_face)) == Model(Form.HUGGING_FACE, hugging_face)
    assert of(str(hugging_face)).file == hugging_face / "model.safetensors"
    assert of(str(converted)) == Model(Form.CTRANSLATE2, converted)
    assert of(str(converted)).file == converted / "model.bin"
    assert of(str(converted)).parts == [str(converted / "config.json")]


def test_the_home_folder_can_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "takes").mkdir()
    assert locate("~/takes", ROOT) == str(tmp_path / "takes")
    assert locate("takes~", ROOT) == "takes~"


def test_the_targets_of_a_command_are_found():
    assert targets.of(["/usr/bin/snakemake", "gc", "--cores", "2"]) == ["gc"]
    assert targets.of(["/usr/bin/pytest", "gc"]) == []
    assert targets.read_input([]) and targets.read_input(["gc", "dataset"])
    assert not targets.read_input(["gc"]) and not targets.read_input(["gc", "review_so_far"])


def test_an_unknown_target_is_named_with_a_similar_one():
    rules, offered = {"all", "dataset", "split_corpus"}, ["all", "dataset"]
    targets.check(["dataset", "split_corpus", "results/x.json"], rules, offered)
    with pytest.raises(UserError, match=r"no target datset; did you mean dataset\? \(targets: all"):
        targets.check(["datset"], rules, offered)


def test_models_to_convert_are_listed_once(tmp_path):
    section = {"engine": "faster-whisper", "model": str(tmp_path / "a.pt"), "sha256": None}
    other = section | {"model": str(tmp_path / "b.pt"), "sha256": "0" * 64}
    plain = other | {"engine": "whisper"}
    corpora = {str(i): {"transcribe": s} for i, s in enumerate((section, section, other, plain))}
    found = conversions(corpora, ROOT)
    assert [name[:2] for name in found] == ["a-", "b-"]
    assert list(found.values())[1] == {
        "file": str(tmp_path / "b.pt"),
        "parts": [],
        "sha256": "0" * 64,
    }


def test_every_expected_hash_of_a_shared_model_is_checked(tmp_path):
    section = {"engine": "faster-whisper", "model": str(tmp_path / "a.pt"), "sha256": None}
    one, other = ({"transcribe": section | {"sha256": digit * 64}} for digit in "01")
    corpora = {"a": {"transcribe": section}, "b": one, "c": one}
    assert [c["sha256"] for c in conversions(corpora, ROOT).values()] == ["0" * 64]
    assert list(conflicts(corpora, ROOT)) == []
    [problem] = conflicts(corpora | {"d": other}, ROOT)
    assert problem.startswith(f"corpora.d.transcribe.sha256: {'1' * 64} differs from {'0' * 64} of")


def test_a_folder_without_tensors_stands_for_no_ctranslate2_model(tmp_path):
    section = {"model": str(tmp_path), "second_model": None}
    assert find(section, "model", ROOT).file == tmp_path / "model.safetensors"


@pytest.mark.parametrize(
    ("model", "acoustic", "by_acoustic", "exist"),
    [
        ("a.pt", None, False, True),
        ("a.pt", "ctc", False, True),
        (None, "ctc", True, True),
        (None, None, False, False),
    ],
)
def test_what_transcribes_a_corpus(model, acoustic, by_acoustic, exist):
    corpus = {"transcribe": {"model": model}, "align": {"acoustic_model": acoustic}}
    assert hypotheses.by_acoustic_model(corpus) == by_acoustic
    assert hypotheses.exist(corpus) == exist


def test_corrections_may_be_missing(tmp_path):
    path = tmp_path / "mine.jsonl"
    assert files.corrections(None, ROOT) == files.corrections(str(path), ROOT) == []
    path.touch()
    assert files.corrections(str(path), ROOT) == [str(path)]
