import inspect
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
import reset_checkpoint
import soundfile
import torch
from conftest import ROOT
from safetensors.torch import save_file
from toy_setup import toy_family
from voicekiln import families, provenance
from voicekiln.audio.span import load_span, resampled_length
from voicekiln.errors import UserError
from voicekiln.families import facts
from voicekiln.provenance import code_digest
from voicekiln.store.items import Store

SCRIPTS = ROOT / "workflow" / "scripts"
CONSTANTS = {"int": int, "float": float, "bool": bool, "tuple[float, float, float, float]": tuple}


def functions() -> dict[str, inspect.Signature]:
    """Signature of each function of the interface, without `self`."""
    found = {}
    for name, function in inspect.getmembers(families.Family, inspect.isfunction):
        if not name.startswith("_"):
            signature = inspect.signature(function)
            found[name] = signature.replace(parameters=list(signature.parameters.values())[1:])
    return found


def missing_of(family) -> list[str]:
    """How a family differs from the interface: constants, functions, and their parameters."""
    problems = []
    for name, kind in families.Family.__annotations__.items():
        if not isinstance(getattr(family, name, None), CONSTANTS[kind]):
            problems.append(f"{name}: expected {kind}")
    for name, expected in functions().items():
        function = getattr(family, name, None)
        if function is None:
            problems.append(f"{name}: missing")
            continue
        own = inspect.signature(function).parameters
        wanted = [p for p in expected.parameters if p != "settings" or name != "speak"]
        if list(own)[: len(wanted)] != wanted:
            problems.append(f"{name}: expected {', '.join(wanted)}, got {', '.join(own)}")
    return problems


def test_a_family_is_found_by_its_folder():
    assert facts.names() == ("f5", "xtts")
    assert facts.planned() == ("indextts2",)
    assert families.get("f5").__name__ == "voicekiln.families.f5"
    for name in ("indextts2", "f6", "facts", "../f5"):
        with pytest.raises(UserError, match="expected f5 or xtts, got"):
            families.get(name)


def test_facts_are_read_without_torch():
    code = (
        "import sys; from voicekiln.families import facts;"
        "planned = facts.all_facts()['indextts2'].planned;"
        "print(facts.of('f5').title, planned, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert done.stdout == "F5-TTS True False\n"


@pytest.mark.parametrize("name", facts.names())
def test_a_family_declares_what_the_configuration_needs(name):
    found = facts.of(name)
    assert found.losses and all(weight > 0 for weight in found.losses.values())
    assert any(file.checkpoint for file in found.files.values()) and found.signature
    for section, schema in found.sections.items():
        assert schema["description"], section
        for key, value in schema["keys"].items():
            assert value["description"] and "default" in value, f"{section}.{key}"


def test_an_unknown_key_of_family_yaml_is_named(tmp_path):
    (tmp_path / "new").mkdir()
    file = tmp_path / "new" / "family.yaml"
    file.write_text("title: New\nloses: {a: 1}\n")
    with pytest.raises(AssertionError, match="unknown loses"):
        facts.read(file)


@pytest.mark.parametrize("name", [*facts.names(), "toy"])
def test_a_family_has_the_interface(name):
    with toy_family():
        family, declared = families.get(name), facts.of(name)
    assert missing_of(family) == []
    # section `speak` becomes keyword arguments
    parameters = inspect.signature(family.speak).parameters.values()
    keywords = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - {"seed"}
    assert set(declared.sections["speak"]["keys"]) <= keywords
    assert set(declared.samples) <= keywords
    assert family.STEPS_PER_S > 1 and 1 <= family.REFERENCE_S[0] < family.REFERENCE_S[-1]


def test_what_a_family_lacks_is_named():
    family = types.SimpleNamespace(**vars(families.get("f5")))
    family.PROMPTED, family.n_steps = None, lambda features: 0
    del family.extend
    assert missing_of(family) == [
        "PROMPTED: expected bool",
        "extend: missing",
        "n_steps: expected arrays, got features",
    ]


@pytest.fixture
def two_families(tmp_path):
    """A copy of the scripts with a second family."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    other = tmp_path / "scripts" / "voicekiln" / "families" / "other"
    other.mkdir()
    (other / "__init__.py").write_text("from voicekiln.families.other.text import N\n")
    (other / "text.py").write_text("N = 1\n")
    (other / "family.yaml").write_text("title: Other\nlosses: {a: 1.0}\n")
    return tmp_path / "scripts"


def digests(scripts, family: str) -> dict[str, str]:
    """Digest of each rule of a run, as `family_code` makes it."""
    rules = {
        "check_base.py": (),
        "extend_vocabulary.py": (),
        "reset_base.py": (),
        "extract_features.py": (),
        "train_run.py": ("voicekiln.training.worker",),
        "evaluate_run.py": (),
        "export_run.py": (),
    }
    provenance._module.cache_clear()
    named = f"voicekiln.families.{family}"
    return {rule: code_digest(scripts / rule, named, *more) for rule, more in rules.items()}


@pytest.mark.parametrize(
    "edited, old, new",
    [
        ("other/text.py", "N = 1", "N = 2"),
        ("other/__init__.py", "import N", "import N as M"),
        ("other/family.yaml", "a: 1.0", "a: 2.0"),
    ],
)
def test_an_edit_in_a_family_reruns_its_own_jobs_alone(two_families, edited, old, new):
    before = {name: digests(two_families, name) for name in ("f5", "other")}
    file = two_families / "voicekiln" / "families" / edited
    file.write_text(file.read_text().replace(old, new))
    assert digests(two_families, "f5") == before["f5"]
    after = digests(two_families, "other")
    assert all(after[rule] != digest for rule, digest in before["other"].items())


def test_a_description_in_family_yaml_reruns_nothing(two_families):
    before = digests(two_families, "f5")
    file = two_families / "voicekiln" / "families" / "f5" / "family.yaml"
    file.write_text(file.read_text().replace("released checkpoint", "a released checkpoint"))
    assert digests(two_families, "f5") == before
    file.write_text(file.read_text().replace("default: 32", "default: 16"))
    assert digests(two_families, "f5") != before


@pytest.mark.parametrize("name", ["f5", "toy"])
@pytest.mark.parametrize("source_hz", [16000, 22050, 44100, 48000])
def test_the_steps_of_a_clip_are_known_before_its_features(tmp_path, name, source_hz):
    """Lengths around those at which a step more begins, some halves of a sample among them."""
    with toy_family():
        family = families.get(name)
        base = tmp_path / "base.safetensors"
        save_file({"extractor.gain": torch.tensor(8.0)}, base)
        extract = family.extractor({"checkpoint": base}, {}, "cpu")
    store = Store(tmp_path, "normalize")
    path = store.path("item", ".flac")
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.zeros(source_hz), source_hz)
    for n in range(source_hz // 2, source_hz // 2 + 900, 3):
        samples = load_span(store, "item", 0, n, family.RATE_HZ)
        assert len(samples) == resampled_length(n, source_hz, family.RATE_HZ)
        steps = family.n_steps(extract(torch.from_numpy(samples)))
        assert steps == family.steps_of(len(samples))


def test_one_family_is_the_example_of_the_documentation():
    assert facts.example() == "f5"
    with toy_family():
        assert facts.example() == "f5"


def test_the_family_of_a_checkpoint_is_recognised(tmp_path):
    checkpoint = tmp_path / "model.safetensors"
    for name, tensor in (("toy", "toy_text.weight"), ("f5", "transformer.text_embed.weight")):
        save_file({tensor: torch.zeros(1)}, checkpoint)
        with toy_family():
            assert facts.names()[0] == "f5" and reset_checkpoint.recognised(checkpoint) == name
    save_file({"gpt.h.0": torch.zeros(1), "mel_embedding.w": torch.zeros(1)}, checkpoint)
    message = "expected a checkpoint of F5-TTS or XTTS v2 or Toy, found the GPT of an XTTS"
    with toy_family(), pytest.raises(UserError, match=message):
        reset_checkpoint.recognised(checkpoint)
