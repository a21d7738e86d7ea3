import subprocess
import sys

import pytest
from conftest import ROOT
from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.families import facts

SCRIPTS = ROOT / "workflow" / "scripts"


def test_a_family_is_found_by_its_folder():
    assert facts.names() == ("f5",)
    assert facts.planned() == ("indextts2", "xtts")
    assert families.get("f5").__name__ == "voicekiln.families.f5"
    for name in ("xtts", "f6", "facts", "../f5"):
        with pytest.raises(UserError, match="expected f5, got"):
            families.get(name)


def test_facts_are_read_without_torch():
    code = (
        "import sys; from voicekiln.families import facts;"
        "print(facts.of('f5').title, facts.all_facts()['xtts'].planned, 'torch' in sys.modules)"
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
