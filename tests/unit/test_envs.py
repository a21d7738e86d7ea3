import ast
import re
import sys

import pytest
import yaml
from conftest import ROOT

ENVS = ROOT / "envs"


def locked() -> dict[str, str]:
    lines = (ENVS / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("file", sorted(ENVS.glob("*.yaml")), ids=lambda file: file.stem)
def test_conda_files_and_lock_agree(file):
    pip = yaml.safe_load(file.read_text())["dependencies"][-1]["pip"]
    pins = dict(line.split("==") for line in pip)
    assert pins and all(locked().get(name) == version for name, version in pins.items())


def test_every_rule_names_an_environment_that_is_there():
    for rules in (ROOT / "workflow/rules").glob("*.smk"):
        for name in re.findall(r'"\.\./\.\./envs/(\S+)"', rules.read_text()):
            assert (ENVS / name).exists(), f"{rules.name}: {name}"


PACKAGES = {"av": "av", "webrtcvad": "webrtcvad-wheels", "whisper": "openai-whisper"}
PACKAGES |= {"yaml": "pyyaml", "silero_vad": "silero-vad", "faster_whisper": "faster-whisper"}
COME_ALONG = {"markupsafe", "numba", "tokenizers", "librosa", "av"}  # with jinja2, whisper, f5-tts
SCRIPTS = ROOT / "workflow" / "scripts"


def reached(path, seen):
    """Packages that a script imports at its start, by itself and by way of the library."""
    if path in seen:
        return set()
    seen.add(path)
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.startswith("voicekiln"):
                module = SCRIPTS / (name.replace(".", "/") + ".py")
                found |= reached(module, seen) if module.exists() else set()
            elif name.split(".")[0] not in sys.stdlib_module_names:
                found.add(name.split(".")[0])
    return found


@pytest.mark.parametrize("rules", sorted((ROOT / "workflow/rules").glob("*.smk")), ids=str)
def test_an_environment_has_what_its_scripts_import(rules):
    text = rules.read_text()
    scripts = re.findall(r'scripts/(\w+\.py)"\n', text)
    for script, env in zip(scripts, re.findall(r"envs/(\w+)\.yaml", text), strict=True):
        pinned = set(re.findall(r"- ([\w-]+)==", (ROOT / f"envs/{env}.yaml").read_text()))
        wanted = {PACKAGES.get(name, name) for name in reached(SCRIPTS / script, set())}
        assert wanted <= pinned | COME_ALONG, f"{script} in envs/{env}.yaml"


@pytest.mark.parametrize("script", ["extract_features", "train_run", "evaluate_run", "export_run"])
def test_a_training_script_starts_without_the_recogniser(script):
    seen = set()
    reached(SCRIPTS / f"{script}.py", seen)
    assert SCRIPTS / "voicekiln/errors.py" in seen
    assert not [path for path in seen if path.parent.name == "asr"]


LOWER = ("asr", "audio", "search", "store", "text")
HIGHER = "voicekiln.(corpus|families|features|report|review|tokenizers|training|voice)"


@pytest.mark.parametrize("package", LOWER)
def test_the_lower_packages_of_the_library_import_from_none_above_them(package):
    for path in (SCRIPTS / "voicekiln" / package).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            assert not any(re.match(HIGHER, name) for name in names), f"{path.name}: {names}"
