"""Shared helpers of the tests."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


def pytest_collection_modifyitems(items):
    """The files with the most slow tests come first, so that no process waits for another's."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """What a test logged travels between pytest's processes as UTF-8, odd file names included."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture
def shared_data() -> Path:
    """Folder of real recorded speech; tests that need it skip where it is not present."""
    if not SHARED.is_dir():
        pytest.skip("the folder of real recorded speech (../shared/data) is not here")
    return SHARED


@pytest.fixture
def workflow(tmp_path):
    """A workflow in a folder whose name has a space; see workflow_runner.py."""
    from workflow_runner import Workflow

    return Workflow(tmp_path / "a voice")


@pytest.fixture(scope="session")
def xtts_release(tmp_path_factory) -> Path:
    """Folder of a tiny XTTS v2 release with random weights; not to be written to."""
    from xtts_small import make

    return make(tmp_path_factory.mktemp("xtts"))
