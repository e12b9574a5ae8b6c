"""The import contracts of `pyproject.toml`, what the API process must not load, and that class names are unique."""

import ast
import subprocess
import sys
from collections import defaultdict
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


def test_scoring_without_learners() -> None:
    """Segments name their algorithms; the learners are imported where one is fitted."""
    program = (
        "import sys, app.scoring; learners = {'app.algorithms.' + name for name in ('by_name', 'als', 'logistic')};"
        "sys.exit(bool((learners | {'numba', 'torch'}) & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_help_is_light() -> None:
    heavy = "{'numba', 'faiss', 'fastapi', 'sqlalchemy'}"
    program = f"import sys, app.cli; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_class_names_are_unique() -> None:
    """A public class name means one thing in the whole of app; the client is a wheel of its own."""
    modules_by_name: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "app").rglob("*.py")):
        module = path.relative_to(ROOT).as_posix()
        if module.startswith("app/client/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules_by_name[node.name].append(module)
    assert len(modules_by_name) > 100  # the walk has seen the code
    assert {name: modules for name, modules in modules_by_name.items() if len(modules) > 1} == {}
