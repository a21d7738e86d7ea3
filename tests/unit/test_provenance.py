from pathlib import Path

import pytest
from voicekiln.errors import UserError
from voicekiln.provenance import canonical, code_digest, require_sha256, sha256_file, sha256_json


def library(root: Path, helper: str) -> Path:
    """A script that imports one library module, which imports another."""
    package = root / "voicekiln"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from voicekiln.b import helper\n")
    (package / "b.py").write_text(helper)
    (package / "unused.py").write_text("VALUE = 1\n")
    (root / "step.py").write_text("from voicekiln import a\n\nprint(a.helper(1))\n")
    return root / "step.py"


def test_a_file_that_is_not_the_expected_one_is_named_with_both_hashes(tmp_path):
    path = tmp_path / "base.pt"
    path.write_bytes(b"weights")
    found = sha256_file(path)
    for expected in (None, found):
        require_sha256(path, expected, "base.checkpoint_sha256")
    with pytest.raises(UserError) as caught:
        require_sha256(path, "0" * 64, "runs.a.base.checkpoint_sha256")
    said = str(caught.value)
    assert all(
        part in said for part in (str(path), found, "0" * 64, "runs.a.base.checkpoint_sha256")
    )


HELPER = '"""Doc."""\n\n\ndef helper(x):\n    """Says."""\n    return x + 1  # one more\n'


def digest(root, helper):
    return code_digest(library(root, helper))


def test_comments_docstrings_and_layout_are_not_code(tmp_path):
    other = "def helper(x):\n\n    return (x + 1)\n"
    documented = HELPER.replace("Says.", "Says it.").replace("one more", "more")
    assert digest(tmp_path / "1", HELPER) == digest(tmp_path / "2", documented)
    # without any docstring a `pass` is missing, nothing else
    assert digest(tmp_path / "3", HELPER) != digest(tmp_path / "4", other)


def test_a_change_in_an_imported_module_counts(tmp_path):
    assert digest(tmp_path / "1", HELPER) != digest(
        tmp_path / "2", HELPER.replace("x + 1", "x + 2")
    )


def test_a_module_that_is_not_imported_does_not_count(tmp_path):
    script = library(tmp_path / "1", HELPER)
    before = code_digest(script)
    (tmp_path / "2" / "voicekiln").mkdir(parents=True)
    script = library(tmp_path / "2", HELPER)
    (tmp_path / "2" / "voicekiln" / "unused.py").write_text("VALUE = 2\n")
    assert code_digest(script) == before


def test_a_module_found_by_name_counts_when_it_is_named(tmp_path):
    script = library(tmp_path, HELPER)
    assert code_digest(script) != code_digest(script, "voicekiln.unused")


def test_a_misspelt_module_is_named(tmp_path):
    with pytest.raises(ModuleNotFoundError, match=r"no library module voicekiln\.unusd"):
        code_digest(library(tmp_path, HELPER), "voicekiln.unusd")


def test_order_of_keys_does_not_count():
    a, b = {"x": 1, "y": {"b": (1, 2), "a": Path("p")}}, {"y": {"a": "p", "b": [1, 2]}, "x": 1}
    assert repr(canonical(a)) == repr(canonical(b))
    assert sha256_json(a) == sha256_json(b)


def test_a_table_that_a_module_reads_counts(tmp_path):
    digests = []
    for n, row in ((1, "a"), (2, "b")):
        script = library(tmp_path / f"{n}", HELPER + 'TABLE = "words.tsv"\n')
        (script.parent / "voicekiln" / "words.tsv").write_text(row)
        digests.append(code_digest(script))
    assert digests[0] != digests[1]
