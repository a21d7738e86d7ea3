"""The command line as people meet it."""

import re
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

pytestmark = pytest.mark.slow


def snakemake(*args, cwd):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_the_shipped_configuration_is_found_from_any_directory(tmp_path):
    done = snakemake("-n", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = snakemake("-n", cwd=tmp_path)
    assert "demo" in done.stdout + done.stderr


def test_a_configuration_of_ones_own_is_not_mixed_with_the_demo(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(b"x")
    config = {"corpora": {"mine": {"audio": "in", "language": "am", "transcripts": "sidecar"}}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    done = snakemake("-n", "--configfile", "my.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "corpora.mine: no recording comes with a text" in done.stdout + done.stderr
    (tmp_path / "in" / "a.txt").write_text("said")
    done = snakemake("-n", "--configfile", "my.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "corpora/mine" in done.stdout and "demo" not in done.stdout


def test_an_unknown_key_is_refused_in_one_line_before_any_job(tmp_path):
    (tmp_path / "my.yaml").write_text("corpora: {mine: {audio: in, langauge: am}}\n")
    done = snakemake("--cores", "1", "--configfile", "my.yaml", cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "corpora.mine.langauge: unknown key; did you mean language?" in said
    assert "[my.yaml, line 1]" in said
    for frame in ("Traceback", "localrule", "WorkflowError", 'File "'):
        assert frame not in said


def test_a_target_with_a_typo_is_answered_with_the_targets(tmp_path):
    done = snakemake("trian", "-n", cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "there is no target trian; did you mean train? (targets: all, clips, dataset," in said
    assert "Exception" not in said


def test_a_missing_folder_is_named(tmp_path):
    (tmp_path / "my.yaml").write_text(
        "corpora: {mine: {audio: nowhere, language: am, transcripts: sidecar}}\n"
    )
    done = snakemake("--cores", "1", "--configfile", "my.yaml", cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "corpora.mine.audio: nowhere does not exist" in said
    assert "Traceback" not in said


def test_a_base_that_cannot_be_one_is_told_before_any_job(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "vocab.txt").write_text(" \n")
    (tmp_path / "base.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    base = "{{checkpoint: {}, vocab: vocab.txt, model: F5TTS_Base}}"
    (tmp_path / "my.yaml").write_text(
        "corpora: {mine: {audio: in, language: am, transcripts: sidecar}}\n"
        f"runs: {{one: {{corpus: mine, family: f5, base: {base.format('base.pt')}}},"
        " two: {corpus: mine, family: f5, base: "
        f"{base.format('resources/demo/whisper.pt')}}}}}\n"
    )
    done = snakemake("--cores", "1", "--configfile", "my.yaml", cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said and "localrule" not in said
    assert "runs.one.base.checkpoint: base.pt: expected a checkpoint, this is git-lfs's" in said
    assert "runs.two.base.checkpoint: resources/demo/whisper.pt: expected a checkpoint of" in said
    assert "found a Whisper model" in said


def test_a_base_that_does_not_fit_is_told_before_any_other_job(tmp_path):
    demo = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    demo["runs"]["demo_f5"]["base"]["model"]["depth"] = 5
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(demo))
    done = snakemake("export", "--cores", "1", "--configfile", "my.yaml", cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert re.findall(r"^local(?:rule|checkpoint) (\w+):", said, re.M) == ["check_base"]
    log = (tmp_path / "logs/check_base/demo_f5.log").read_text()
    assert "depth is 4 in the file, 5 in the model" in log and "Traceback" not in log


def test_the_slurm_profile_plans_the_demo(tmp_path):
    profile = ROOT / "profiles/slurm"
    done = snakemake("-n", "--workflow-profile", str(profile), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train_run" in done.stdout + done.stderr


def test_slurm_repeats_what_the_default_profile_says():
    default, slurm = (
        yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())
        for name in ("default", "slurm")
    )
    for key in set(default) - {"cores", "resources"}:
        assert slurm[key] == default[key], key


def test_lint_is_clean():
    done = snakemake("--lint", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
