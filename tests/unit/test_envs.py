import re

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
