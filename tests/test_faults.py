"""The fault suite itself, every fault at its smallest size."""

import importlib
from pathlib import Path

import pytest

from faults.registry import FAULTS
from faults.trial import Trial


@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str, tmp_path: Path) -> None:
    figures = list(importlib.import_module(f"faults.{name}").run(Trial(tmp_path, 0, "test")))
    assert figures
    assert [figure for figure in figures if not figure.is_reached] == []
