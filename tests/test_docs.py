"""What README and docs/ say of the code is so: links, paths, examples, and the guides, which a copy follows."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs").glob("add-*.md"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


class Block(NamedTuple):
    """A fenced block; `path`: of the file that it makes (`python`) or changes (`diff`), where its fence names one."""

    language: str
    path: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    return [
        Block(*each) for each in re.findall(r"^```(\w*) ?(\S*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    ]


def made_by_guides() -> set[str]:
    return {block.path for guide in GUIDES for block in blocks_of(guide) if block.language == "python"} - {""}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(((?!https?:)[^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    """Unless a guide makes the file."""
    text = page.read_text()
    named = set(re.findall(r"`((?:app|tests|docs|migrations|benchmarks)/[\w./-]*)`", text))
    named |= set(re.findall(r"\b(?:app|tests)/[\w/]+\.py\b", text))  # in drawings and commands
    assert [path for path in named - made_by_guides() if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "python":
            compile(block.text, f"{page.name}: {block.path}", "exec")


def follow(guide: Path, copy: Path) -> None:
    """Make and change the files that the guide makes and changes, in `copy` of the repository."""
    for block in blocks_of(guide):
        if block.language == "python" and block.path:
            (copy / block.path).parent.mkdir(exist_ok=True)
            (copy / block.path).write_text(block.text)
        elif block.language == "diff":
            changed = (copy / block.path).read_text()
            for hunk in re.split(r"^@@.*\n", block.text, flags=re.MULTILINE):
                before, after = (
                    "".join(line[1:] or "\n" for line in hunk.splitlines(keepends=True) if not line.startswith(sign))
                    for sign in "+-"
                )
                assert changed.count(before) == 1, f"{guide.name}: {block.path} does not hold once:\n{before}"
                changed = changed.replace(before, after)
            (copy / block.path).write_text(changed)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the repository in which all guides were followed, one after the other."""
    copy = tmp_path_factory.mktemp("guided")
    for folder in ("app", "tests", "migrations"):
        # The machine code of kernels comes along: they would be compiled for a quarter of a minute.
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("*.pyc", "data"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for guide in GUIDES:
        follow(guide, copy)
    yield copy
    shutil.rmtree(copy)


@pytest.mark.slow
def test_guides(copy: Path) -> None:
    """The tests that the guides write pass, and those that hold registries, client and tables together."""
    own = sorted(path for path in made_by_guides() if Path(path).name.startswith("test_"))
    together = [
        "tests/algorithms/test_by_name.py",
        "tests/client/test_openapi.py",
        "tests/intake/test_exporting.py",
        "tests/serving/expressions",
        "tests/test_item_fields.py",
    ]
    command = [sys.executable, "-m", "pytest", "-x", "-k", "not postgres and not round_trip", *own, *together]
    environment = os.environ | {"PYTEST_ADDOPTS": ""}  # the options of this run are not those of the other
    ran = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_guides_are_in_style(copy: Path) -> None:
    files = sorted(made_by_guides())
    for command in (["check"], ["format", "--check"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *files],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
