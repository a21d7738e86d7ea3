import re
import sys

import pytest
from conftest import ROOT
from voicekiln.config import schema
from voicekiln.families import facts

sys.path.insert(0, str(ROOT / "docs"))
import make_config_readme  # noqa: E402

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "config/README.md", ROOT / "resources/demo/README.md", ROOT / "CONTRIBUTING.md"]


CONFIG = ROOT / "config/README.md"


@pytest.mark.parametrize("page", make_config_readme.FILES, ids=lambda page: page.name)
def test_the_tables_of_the_configuration_are_those_of_the_schema(page):
    text = page.read_text(encoding="utf-8")
    assert make_config_readme.rendered(text) == text, "run make_config_readme.py"


def test_every_section_of_the_schema_has_a_table():
    def sections(keys, path):
        for name, sub in keys.get("properties", {}).items():
            here = f"{path}.{name}".lstrip(".")
            if sub.get("properties"):
                yield here
            for inner in sub.get("patternProperties", {}).values():
                yield f"{here}.*"
                yield from sections(inner, f"{here}.*")

    text = CONFIG.read_text(encoding="utf-8")
    for path in sections(schema.whole(), ""):
        assert f"<!-- keys: {path} -->" in text, path
    for family in set(facts.names()) - {facts.example()}:
        text = (ROOT / f"docs/{family}.md").read_text(encoding="utf-8")
        for section, content in facts.of(family).sections.items():
            assert not content["keys"] or f"<!-- keys: {family}.{section} -->" in text, section


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_walks_through_the_code_name_files_that_exist():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    workflow = ROOT / "workflow"
    roots = (workflow, workflow / "scripts", workflow / "scripts/voicekiln", ROOT)
    names = re.findall(r"`([\w/]+/[\w./]+\.(?:py|smk|yaml|md))`", text)
    assert len(names) > 30
    missing = [name for name in names if not any((root / name).exists() for root in roots)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_stand_where_snakemake_takes_them_for_targets(page):
    """Behind `--configfile FILE` a bare word is one more configuration."""
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"--configfile \S+ +[a-z][^\n]*", text)
