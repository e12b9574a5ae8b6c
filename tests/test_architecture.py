"""The import contracts of `pyproject.toml`, and what the API process must not load."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_import_contracts() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_serving_without_numba() -> None:
    """Every API process would pay 100 MB and a second for a compiler that it never uses."""
    program = "import sys, app.main; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_help_is_light() -> None:
    heavy = "{'numba', 'faiss', 'fastapi', 'sqlalchemy'}"
    program = f"import sys, app.cli; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
