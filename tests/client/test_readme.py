"""Every example of the client's README runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import app.client

FOLDER = Path(app.client.__file__).parent
README = (FOLDER / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TESTS = [example for example in EXAMPLES if "def test_" in example]
PROGRAMS = [example for example in EXAMPLES if "def test_" not in example]


@pytest.mark.parametrize("example", PROGRAMS)
def test_programs(example: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reckon_client", app.client)
    text = example.replace("http://127.0.0.1:8000", address).replace(" Reckon()", f" Reckon({address!r})")
    names: dict[str, Any] = {"__name__": "example"}
    exec(text.replace("Reckon(read", f"Reckon({address!r}, read"), names)  # noqa: S102  our own text
    if "reckon" in names:
        names["reckon"].close()


@pytest.mark.slow
@pytest.mark.parametrize("example", TESTS)
def test_tests(example: str, tmp_path: Path) -> None:
    """The tests of a product run by its own pytest, with the client under its name."""
    (tmp_path / "reckon_client").symlink_to(FOLDER)
    (tmp_path / "test_product.py").write_text(example)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{FOLDER.parents[1]}", "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_product.py"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_names_are_there() -> None:
    names = set(re.findall(r"`(\w+Error|\w*Reckon|\w+Options|Retries|NO_RETRIES)`", README)) - {"LookupError"}
    assert names <= set(app.client.__all__)
