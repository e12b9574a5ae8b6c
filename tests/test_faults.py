"""Faults at their smallest size. `make faults-short` runs all of them."""

import importlib
from pathlib import Path

import pytest

from faults.registry import FAULTS, IN_TESTS
from faults.trial import Trial


@pytest.mark.parametrize("name", IN_TESTS)
def test_fault(name: str, tmp_path: Path) -> None:
    figures = list(importlib.import_module(f"faults.{name}").run(Trial(tmp_path, 0, "test")))
    assert figures
    assert [figure for figure in figures if not figure.is_reached] == []


def test_registry() -> None:
    assert set(IN_TESTS) <= set(FAULTS)
    assert all(callable(importlib.import_module(f"faults.{name}").run) for name in FAULTS)
