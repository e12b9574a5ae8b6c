"""A new source, restriction or rule is one file and one line of its registry; everything else follows."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import MigratedDatabases

ROOT = Path(__file__).parents[2]
ADDED = Path(__file__).parent / "added"


def add_line(registry: Path, after: str, line: str, imported: str) -> None:
    text = registry.read_text()
    assert text.count(after) == 1
    registry.write_text(text.replace(after, f"{after}\n    {line},").replace("\nfrom", f"\n{imported}\nfrom", 1))


@pytest.fixture(scope="module")
def answers(databases: MigratedDatabases, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a copy of the application answers to whose registries parts were added."""
    copied = tmp_path_factory.mktemp("added")
    serving = Path(shutil.copytree(ROOT / "app", copied / "app")) / "serving"
    (copied / "migrations").symlink_to(ROOT / "migrations")
    shutil.copy(ADDED / "last_rows.py", serving / "retrieval")
    shutil.copy(ADDED / "skipping.py", serving / "reranking")
    shutil.copy(ADDED / "reversal.py", serving / "reranking")
    imported = "from app.serving.retrieval.last_rows import LastRowsSource"
    add_line(serving / "retrieval/__init__.py", "SOURCES: tuple[Source, ...] = (", "LastRowsSource()", imported)
    imported = "from app.serving.reranking.skipping import Skipping"
    add_line(serving / "reranking/__init__.py", "RESTRICTIONS: tuple[Restriction, ...] = (", "Skipping()", imported)
    imported = "from app.serving.reranking.reversal import Reversal"
    add_line(serving / "reranking/__init__.py", "ORDER_RULES: tuple[OrderRule, ...] = (", "Reversal()", imported)
    with databases.trained("sqlite", tmp_path_factory.mktemp("data")) as url:
        command = [sys.executable, str(ADDED / "answers.py"), str(Path(url.removeprefix("sqlite:///")).parent)]
        environment = os.environ | {"PYTHONPATH": str(copied)}
        run = subprocess.run(command, cwd=copied, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_settings_are_in_the_schema(answers: Any) -> None:
    setting = answers["setting"]
    assert (setting["default"], setting["minimum"], setting["maximum"]) == (0.0, 0, 1)
    assert setting["description"] == "Reverses the list where it is above 0"
    assert answers["names"][:2] == ["last_rows", "nearest"]


def test_settings_are_validated_and_stored(answers: Any) -> None:
    assert answers["refused"] == [422, "body.reversal"]
    assert answers["stored"] == [201, 1]


def test_source_is_named(answers: Any) -> None:
    proposed = {item_id for item_id, sources in answers["plain"].items() if "last_rows" in sources}
    assert len(proposed) == 3
    assert not any("reversed" in sources for sources in answers["plain"].values())


def test_rule_acts_and_is_explained(answers: Any) -> None:
    (first_sources, first_rules), *_ = answers["explained"]
    assert "reversed" in first_sources
    assert first_rules == ["reversal"]


def test_tags_follow_what_they_depend_on(answers: Any) -> None:
    """With time and trends once the rule is on and the source is chosen; not by default."""
    assert answers["tags"] == [[False, False], [True, True]]


def test_restriction_in_the_schema_and_validated(answers: Any) -> None:
    setting = answers["skipping"]["setting"]
    assert (setting["default"], setting["minimum"], setting["maximum"]) == (0, 0, 1_000)
    assert setting["description"] == "Rows that are not shown"
    assert answers["skipping"]["refused"] == [422, "body.skipped"]


def test_restriction_acts_and_is_explained(answers: Any) -> None:
    """It drops items before the list is made, so others take their places."""
    lists, why = answers["skipping"]["lists"], answers["skipping"]["why"]
    assert [len(shown) for shown in lists] == [10, 10, 10]
    assert why
    assert all(reason == ["restricted", "skipping"] for reason in why)


def test_restriction_is_part_of_the_tag(answers: Any) -> None:
    """Each change of its setting ends the validity of every earlier tag, and a tag holds while nothing changes."""
    assert answers["skipping"]["unchanged"] == [[True], [False, True], [False, False, True]]
