"""Every import is recorded with its rejected rows, however it ends."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.entities import RatingScale
from app.errors import InvalidInputError
from app.intake import import_record
from app.intake.importing import import_path
from app.serving.placement_config import settings_to_store
from app.store import Store
from app.store.imports import ImportEntry, KeptRow


def run(path: Path, store: Store, **options: Any) -> None:
    import_path(path, store, rejected_dir=path.parent / "rejected", check_settings=settings_to_store, **options)


def only(store: Store) -> ImportEntry:
    (entry,) = store.imports.latest()
    return entry


def rows_of(store: Store) -> list[KeptRow]:
    return [row for page in store.imports.rows(only(store).import_id) for row in page]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\nann,x,4\nbob,y,5\ncem,x,eleven\n,x,3\n")
    return path


def test_rejected_rows(store: Store, table: Path) -> None:
    run(table, store)
    entry = only(store)
    assert (entry.file, entry.state, entry.n_rejected, entry.n_kept) == ("ratings.csv", "succeeded", 2, 2)
    assert entry.counts["ratings"]["stored"] == 2
    assert [(row.number, row.file, row.line, row.field, row.text) for row in rows_of(store)] == [
        (1, "ratings.csv", 4, "value", "cem,x,eleven"),
        (2, "ratings.csv", 5, "user_id", ",x,3"),
    ]


def test_most_rows(store: Store, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_record, "MOST_ROWS", 1)
    run(table, store)
    assert (only(store).n_rejected, only(store).n_kept) == (2, 1)


def test_folder(store: Store, table: Path) -> None:
    """It is named without where it is, also if it is the current one."""
    run(table.parent / ".", store)
    assert only(store).file == table.parent.name


def test_unreadable(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "nothing.csv"
    path.write_text("")
    with pytest.raises(InvalidInputError) as caught:
        run(path, store)
    assert (only(store).state, only(store).reason) == ("failed", caught.value.detail)
    assert only(store).finished_at is not None


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (KeyboardInterrupt(), "interrupted", None),
        (ZeroDivisionError("with the text of a user"), "failed", "ZeroDivisionError: an unexpected error"),
    ],
)
def test_end_before_the_end(store: Store, table: Path, error: BaseException, state: str, reason: str | None) -> None:
    """What was counted and rejected until then is kept."""

    def fail(share: float, _stage: str) -> None:
        if share == 1.0:
            raise error

    with pytest.raises(type(error)):
        run(table, store, progress=fail)
    assert (only(store).state, only(store).reason) == (state, reason)
    assert len(rows_of(store)) == 2


def test_record_that_has_begun(store: Store, table: Path) -> None:
    import_id = store.imports.begin_upload("ratings.csv", "0123", "")
    run(table, store, import_id=import_id)
    assert (only(store).import_id, only(store).state, only(store).n_kept) == (import_id, "succeeded", 2)


def test_nothing_readable(store: Store, tmp_path: Path) -> None:
    """It has failed. The reason quotes nothing of the rows, since rejected rows are deleted with any user."""
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\nann,x,SECRET\n")
    run(path, store, scale=RatingScale())
    assert (only(store).state, only(store).n_rejected) == ("failed", 1)
    assert only(store).reason
    assert "SECRET" not in str(only(store))


def test_dry_run(store: Store, table: Path) -> None:
    run(table, store, is_dry_run=True)
    assert store.imports.latest() == []


def test_while_it_runs(store: Store, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every few seconds it says how far it is, and adds up what has arrived."""
    monkeypatch.setattr(import_record, "REPORT_SECONDS", 0.0)
    seen: list[tuple[str, int, int]] = []
    progress: list[tuple[float, float | None]] = []

    def look(share: float, stage: str) -> None:
        progress.append((share, only(store).progress))
        if stage == "ratings":
            arrived = sum(each.ratings for each in store.arrivals.by_hour(2))
            seen.append((only(store).state, only(store).counts.get("ratings", {}).get("stored", 0), arrived))

    run(table, store, progress=look)
    assert seen[-1] == ("running", 2, 2)
    assert all(told == recorded for told, recorded in progress)
    assert progress[-1] == (1.0, 1.0)


@pytest.mark.parametrize("is_folder", [False, True])
def test_progress_of_an_archive(store: Store, table: Path, monkeypatch: pytest.MonkeyPatch, is_folder: bool) -> None:
    """Alone, and in a folder beside a file."""
    monkeypatch.setattr(import_record, "REPORT_SECONDS", 0.0)
    folder = table.parent if is_folder else table.parent / "alone"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "more.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(3):
            archive.writestr(f"{n}.csv", "user,item,rating\n" + "".join(f"u{row},{n},4\n" for row in range(500)))
    progress: list[float | None] = []
    run(folder, store, progress=lambda _share, _stage: progress.append(only(store).progress))
    known = [each for each in progress if each is not None]
    assert len(known) == len(progress)
    assert known == sorted(known)
    assert 0 < known[0] < 0.5
    assert known[-1] == pytest.approx(1.0)


def test_arrivals_at_the_end(store: Store, table: Path) -> None:
    run(table, store)
    assert sum(each.ratings for each in store.arrivals.by_hour(2)) == 2
    assert sum(each.users for each in store.arrivals.by_hour(2)) == 2
