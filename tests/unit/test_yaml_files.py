"""The strict reading of configuration files."""

import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from voicekiln.config import yaml_files
from voicekiln.errors import UserError


def read(tmp_path, text: str | bytes):
    path = tmp_path / "my.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return yaml_files.read(path)


def test_the_shipped_configurations_are_read_as_yaml_reads_them():
    files = [ROOT / "config/config.yaml", *(ROOT / "config/examples").glob("*.yaml")]
    for file in files:
        content, lines = yaml_files.read(file)
        assert content == yaml.safe_load(file.read_text())
        assert lines["corpora",].startswith(f"{file}, line ")
    assert len(files) > 1


def test_keys_are_located(tmp_path):
    content, lines = read(
        tmp_path, "corpora:\n  v: &v\n    audio: a\n  w: {<<: *v, language: en}\n"
    )
    assert content["corpora"]["w"] == {"audio": "a", "language": "en"}
    assert lines["corpora", "v", "audio"] == f"{tmp_path}/my.yaml, line 3"
    assert lines["corpora", "w", "language"] == f"{tmp_path}/my.yaml, line 4"


def test_json_is_a_configuration_too(tmp_path):
    assert read(tmp_path, '{"corpora":\t{"v": {"epochs": 10}}}')[0]["corpora"]["v"]["epochs"] == 10
    with pytest.raises(UserError, match="the key v occurs twice"):
        read(tmp_path, '{"corpora": {"v": {}, "v": {}}}')
    with pytest.raises(UserError, match="expected an object"):
        read(tmp_path, "[1]")


@pytest.mark.parametrize(
    "text, said",
    [
        ("corpora:\n\tv:\n\t\taudio: a\n", r"line 2, column 1: a tab is used to indent"),
        ("corpora:\n  v:\n    audio: a\n\tlanguage: en\n", r"line 4, .*a tab is used to indent"),
        ("corpora:\n  v:\n    audio: a\n   language: en\n", r"line 4, column 4: .*indented diff"),
        (
            "corpora:\n  v:\n    audio: a\n     language: en\n",
            r"line 4, column 14: unexpected",
        ),
        ("a: b: c\n", r"line 1, column 5: unexpected colon"),
        ("a: [1, 2\nb: 3\n", r"line \d, column \d+: .*brackets"),
        ("a: 'open\n", r"line \d, column \d+: .*quotes"),
        ("a: *nothing\n", r"line 1, column 4: .*alias.*quote"),
        ("a: 1\n---\nb: 2\n", r"line 2, column 1: a second document"),
        (
            "runs:\n  a: {}\n  b: {}\n  a: {}\n",
            r"line 4, column 3: a occurs twice, .* line 2",
        ),
        ("corpora: {}\nruns: {}\ncorpora: {}\n", r"line 3, .*corpora occurs twice, .* line 1"),
        (
            "corpora:\n  2024: {}\n",
            r'line 2, column 3: .*name 2024 as a number; .* "2024":',
        ),
        ("corpora:\n  2024-01-02: {}\n", r"name 2024-01-02 as a date"),
        ("corpora:\n  on: {}\n", r'name on as true or false; quote it: "on":'),
        ("corpora:\n  null: {}\n", r"name null as null"),
        ("corpora:\n  ~: {}\n", r"name ~ as null"),
        ("corpora:\n  1.5: {}\n", r"name 1.5 as a number"),
        ("a: {min_s: 0,5}\n", r"column 14: 5 has no value; use a decimal point"),
        ("? [a, b]\n: c\n", r"expected a name before the colon"),
        ("a: 010\n", r"line 1, column 4: YAML reads 010 as an octal number"),
        ("a: 1:30\n", r"YAML reads 1:30 as a number in base 60"),
        ("a: 12:30:45.5\n", r"in base 60"),
        ("a: 2024-01-02\n", r'as a date; write "2024-01-02"'),
        ("a: !!python/name:os.system x\n", r"the tag .*python/name:os.system is not allowed"),
        ("a: !mine x\n", r"the tag !mine is not allowed"),
        ("a: !!int x\n", r"a value cannot be read"),
        ("corpora: &c {c: *c}\n", r"contains itself"),
        ("- a\n- b\n", r"expected `corpora:` and `runs:`"),
        ("just text\n", r"expected `corpora:` and `runs:`"),
        (b"a: \xe9\n", r"line 1: not UTF-8"),
        ("ok: 1\na: \x07\n", r"line 2: the character U\+0007"),
        ("a: " + "[" * 5000, r"nested too deeply|line 1"),
        ("#" * 1_000_001, r"too large .1000001 bytes"),
        ("a: " + "9" * 5000 + "\n", r"a value cannot be read"),
    ],
)
def test_mistakes_are_told_with_their_line(text, said, tmp_path):
    with pytest.raises(UserError, match=rf"my\.yaml[\s\S]*{said}"):
        read(tmp_path, text)


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path):
    with pytest.raises(UserError, match=r"(?s)octal.*base 60.*occurs twice"):
        read(tmp_path, "a: {x: 010}\nb: 1:30\nb: 2\n".replace("b: 2", "a: 2"))


@pytest.mark.parametrize("key", ["audio", "corpora", "abbreviations"])
def test_an_alias_bomb_is_counted_and_not_written_out(key, tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    lines.append(f"{key}: *a29")
    with pytest.raises(UserError, match="values with all aliases"):
        read(tmp_path, "\n".join(lines))


@pytest.mark.parametrize("text", ["a: 0\n", "a: 0.5\n", "a: 0o10\n", 'a: "1:30"\n', "a: -0\n"])
def test_plain_numbers_and_quoted_texts_are_no_mistakes(text, tmp_path):
    assert read(tmp_path, text)[0] == yaml.safe_load(text)


def test_an_empty_file_is_an_empty_configuration(tmp_path):
    assert read(tmp_path, "# nothing yet\n")[0] == {}


def test_a_file_that_is_not_there_may_be_a_target(tmp_path):
    with pytest.raises(UserError, match="no such configuration file .*target"):
        yaml_files.read(tmp_path / "dataset")
    with pytest.raises(UserError, match="cannot be read"):
        yaml_files.read(tmp_path)


def check_config(*files):
    script = ROOT / "workflow/scripts/check_config.py"
    command = [sys.executable, str(script), *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_script_names_every_mistake_before_snakemake_is_started(tmp_path):
    done = check_config(ROOT / "config/config.yaml")
    assert done.returncode == 0 and "Corpora: demo. Runs: demo_f5" in done.stdout, done.stderr
    above = tmp_path / "above.yaml"
    above.write_text("runs:\n  demo_f5:\n    train:\n      epochs: ten\n")
    done = check_config(ROOT / "config/config.yaml", above)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert 'epochs: expected a whole number, found "ten"' in done.stderr
    assert f"[{above}, line 4]" in done.stderr
    (tmp_path / "loop.yaml").write_text("corpora: &c {c: *c}\n")
    assert "contains itself" in check_config(tmp_path / "loop.yaml").stderr


def test_the_report_of_a_run_under_way_takes_the_same_files(tmp_path):
    """`report_run.py A.yaml B.yaml RUN` merges the files as Snakemake and check_config.py do."""
    above = tmp_path / "above.yaml"
    above.write_text("runs:\n  other: {corpus: demo, family: f5, base: {run: demo_f5}}\n")
    script = [sys.executable, str(ROOT / "workflow/scripts/report_run.py")]
    files = [str(ROOT / "config/config.yaml"), str(above)]
    done = subprocess.run([*script, *files, "nobody"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "no run nobody; the configuration has the runs demo_f5, other" in done.stderr
