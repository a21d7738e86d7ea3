import copy

import pytest
import yaml
from conftest import ROOT
from voicekiln.config import is_file, locate, resolve
from voicekiln.errors import UserError

SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
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
    filled = resolve(config, SCHEMA)
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
    train = resolve(changed("runs.demo_f5.train", given), SCHEMA)["runs"]["demo_f5"]["train"]
    assert (train["save_every"], train["keep"]) == (save_every, keep)
    assert "saving" not in train, "the worker is told numbers"


@pytest.mark.parametrize("train", [{"saving": "slow"}, {"saving": ["fast"]}, "fast", None])
def test_a_way_of_saving_that_there_is_not_is_told(train):
    with pytest.raises(UserError, match="runs.demo_f5.train"):
        resolve(changed("runs.demo_f5.train", train), SCHEMA)


def test_every_property_has_a_description_and_optional_ones_a_default():
    def walk(schema, path, required):
        for name, sub in schema.get("properties", {}).items():
            here = f"{path}.{name}"
            assert sub.get("description"), f"{here} has no description"
            in_base = path.endswith(".base")
            assert "default" in sub or name in required or in_base, f"{here} has no default"
            walk(sub, here, sub.get("required", ()))
        for sub in schema.get("patternProperties", {}).values():
            walk(sub, path + ".*", sub.get("required", ()))

    schema = yaml.safe_load(SCHEMA.read_text())
    walk(schema, "config", schema.get("required", ()))


def test_the_shipped_configuration_and_the_examples_hold():
    files = [ROOT / "config/config.yaml", *sorted((ROOT / "config/examples").glob("*.yaml"))]
    for file in files:
        resolve(yaml.safe_load(file.read_text()), SCHEMA)
    assert len(files) > 1


@pytest.mark.parametrize(
    "path, value, said",
    [
        ("corpora.demo.segmnt", {}, r"corpora\.demo\.segmnt: unknown key; did you mean segment"),
        ("runs.demo_f5.train.epoch", 1, r"train\.epoch: unknown key; did you mean epochs"),
        ("runs.demo_f5.train.learning_rate", "1e-4", r"write 1\.0e-4"),
        ("runs.demo_f5.train.epochs", 0, r"train\.epochs: 0 is less than the minimum of 1"),
        ("corpora.demo.shards", "8", r"shards: '8' is not of type 'integer'"),
        ("corpora.demo.normalize.rate_hz", 8000, r"rate_hz: 8000 is less than the minimum"),
        ("runs.demo_f5.corpus", "x", r"no corpus x is configured \(there is: demo\)"),
        ("runs.demo_f5.base", {"run": "y"}, r"no run y is configured"),
        ("runs.demo_f5.base", {"run": "demo_f5"}, r"cannot start from itself"),
        ("runs.demo_f5.base", {"vocab": "y"}, r"expected either run alone, or checkpoint"),
        ("runs.demo_f5.train.best_by", "mel_ce", r"best_by: mel_ce is no part .* loss, flow"),
        ("corpora.a b", {}, r"a b: a name may hold letters"),
        ("corpora.demo.segment.min_s", 20, r"min_s \(20\) must be below"),
        ("corpora.demo.path_pattern", "(", r"path_pattern: no regular expression"),
        ("corpora.demo.path_pattern", "(?P<who>.)", r"expected a group .*found who"),
    ],
)
def test_mistakes_are_named_with_their_path(path, value, said):
    with pytest.raises(UserError, match=said):
        resolve(changed(path, value), SCHEMA)


def test_all_mistakes_are_told_at_once():
    config = changed("corpora.demo.shards", 0)
    config["runs"]["demo_f5"]["famly"] = "f5"
    with pytest.raises(UserError, match=r"shards(.|\n)*famly"):
        resolve(config, SCHEMA)


def test_what_the_project_ships_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("resources/demo/README.md", ROOT) == str(ROOT / "resources/demo/README.md")
    (tmp_path / "resources/demo").mkdir(parents=True)
    (tmp_path / "resources/demo/README.md").write_text("mine")
    assert locate("resources/demo/README.md", ROOT) == "resources/demo/README.md"
    assert locate("recordings", ROOT) == "recordings"


def test_model_names_and_files_are_told_apart():
    assert is_file("models/large-v3.pt") and is_file("./tiny") and is_file("tiny.pt")
    assert not is_file("large-v3") and not is_file("tiny.en")
