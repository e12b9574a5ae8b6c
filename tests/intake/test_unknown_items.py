"""An import into a store that rejects unknown items: the ratings and events of such items are rejected row by row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.intake.hints import FileHints
from app.intake.importing import import_path
from app.intake.report import Counts, ImportReport
from app.serving.placement_config import settings_to_store
from app.store import Store

REASON = "item_id: there is no such item, and unknown items are refused (RECKON_UNKNOWN_ITEMS=reject)"


@pytest.fixture
def strict(database_url: str, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(database_url, tmp_path, rejects_unknown_items=True)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "items.csv").write_text("item_id,title\nx,X\n")
    (folder / "ratings.csv").write_text("user,item,rating\na,x,1\nb,no,2\na,x,5\nc,x,lots\n")
    (folder / "events.csv").write_text("event_id,type,user_id,item_id,at\n1,clicked,b,no,1\n2,clicked,a,x,1\n")
    return folder


def run(path: Path, store: Store, **options: Any) -> ImportReport:
    return import_path(path, store, rejected_dir=path.parent, check_settings=settings_to_store, **options)


def test_rejected_by_row(strict: Store, folder: Path) -> None:
    report = run(folder, strict)
    assert report.ratings == Counts(readable=2, stored=1, replaced=1, rejected=2, repeated=1)
    assert report.events == Counts(readable=1, stored=1, rejected=1)
    unknown = [(row.file, row.line, row.row) for row in report.first_rejected if row.reason == REASON]
    assert unknown == [("ratings.csv", 3, "b,no,2"), ("events.csv", 2, "1,clicked,b,no,1")]
    assert [user.user_id for user in strict.users.stream()] == ["a"]
    assert [item.item_id for item in strict.items.stream()] == ["x"]


def test_dry_run_knows_items_of_the_import(strict: Store, folder: Path) -> None:
    report = run(folder, strict, is_dry_run=True)
    assert (report.ratings, report.events) == (
        Counts(readable=2, rejected=2, repeated=1),
        Counts(readable=1, rejected=1),
    )
    assert strict.items.count() == 0


def test_sums(strict: Store, folder: Path) -> None:
    report = run(folder, strict, is_summed=True)
    assert report.ratings == Counts(readable=2, stored=1, replaced=1, rejected=2, repeated=1)
    (ratings,) = strict.ratings.stream()
    assert (ratings.user_id, ratings.value.tolist()) == (["a"], [6.0])


def test_line_behind_rows_set_aside(strict: Store, folder: Path) -> None:
    (folder / "ratings.csv").write_text("user,item,rating\na,x,unseen\nb,no,2\na,x,5\n")
    report = run(folder, strict, hints=FileHints(missing=frozenset({"unseen"})))
    assert [(row.line, row.row) for row in report.first_rejected if row.file == "ratings.csv"] == [(3, "b,no,2")]
