import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.entities import UNKNOWN_TIME, Item, RatingScale, User
from app.errors import ConflictError, InvalidInputError, StorageFullError
from app.intake.exporting import export_to
from app.intake.importing import import_path
from app.intake.table_writers import Format
from app.store import Store
from tests.support.databases import MigratedDatabases
from tests.support.ratings import incoming

FILES = ("ratings", "items", "users")
MOMENT = datetime(2020, 2, 29, 1, 2, 3, 4, tzinfo=UTC)

characters = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/")
ids = (
    st.text(characters, min_size=1, max_size=8)
    .map(lambda text: normalize("NFC", text))
    .filter(lambda text: text == text.strip() and text not in {".", ".."})
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
named = texts.filter(bool)
attributes = st.dictionaries(
    texts,
    texts
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(texts),
    max_size=3,
)
moments = st.datetimes(timezones=st.just(UTC))
items = st.builds(
    Item,
    ids,
    st.none() | named,
    st.lists(texts, max_size=3).map(tuple),
    st.none() | st.integers(-9999, 9999),
    attributes,
    st.booleans(),
    st.none() | moments,
    st.none() | ids,
    st.none() | moments,
)
users = st.builds(User, ids, st.none() | named, attributes)
ratings = st.tuples(ids, ids, st.floats(-9.5, 9.5), st.none() | st.integers(-(10**16), 1_700_000_000_000_000))


@contextmanager
def empty_store(databases: MigratedDatabases, folder: Path) -> Iterator[Store]:
    folder.mkdir()
    with databases.fresh("sqlite", folder) as url:
        store = Store.open(url, folder)
        try:
            yield store
        finally:
            store.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fill(store: Store) -> None:
    store.items.record(
        [
            Item("=1+1", '"A, B"\nC', ("x|y", "z"), 1999, {"n": 1.0, "k": ["a"]}, False, MOMENT, "u", MOMENT),
            Item("a,b", "\r lone", ("x", "y")),
        ]
    )
    store.users.record([User("u1", "NO", {"age": "42", "n": 1}), User("caf\u00e9")])
    store.installation.set_scale(RatingScale(-9.906542056, 10))
    store.ratings.record(incoming(("u1", "a,b", 3.25, 1_582_938_123_000_004), ("u2", "=1+1", -9.906542056, None)))


@pytest.mark.parametrize("format_", list(Format))
def test_import_gives_the_same(store: Store, databases: MigratedDatabases, tmp_path: Path, format_: Format) -> None:
    fill(store)
    report = export_to(tmp_path / "first", store, format_)
    assert (report.ratings, report.items, report.users) == (2, 2, 3)
    with empty_store(databases, tmp_path / "other") as other:
        import_path(tmp_path / "first", other, rejected_dir=tmp_path)
        assert list(other.items.stream()) == list(store.items.stream())
        assert list(other.users.stream()) == list(store.users.stream())
        assert other.installation.scale() == store.installation.scale()
        (found,) = other.ratings.stream()
        assert found.rated_at.tolist() == [1_582_938_123_000_004, UNKNOWN_TIME]
        export_to(tmp_path / "second", other, format_)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    format_=st.sampled_from(Format),
    some_items=st.lists(items, max_size=3),
    some_users=st.lists(users, max_size=3),
    some_ratings=st.lists(ratings, max_size=4),
)
def test_round_trip(
    databases: MigratedDatabases,
    tmp_path_factory: pytest.TempPathFactory,
    format_: Format,
    some_items: list[Item],
    some_users: list[User],
    some_ratings: list[Any],
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    with empty_store(databases, folder / "a") as store:
        store.items.record(some_items)
        store.users.record(some_users)
        store.installation.set_scale(RatingScale(-10, 10))
        store.ratings.record(incoming(*some_ratings))
        export_to(folder / "first", store, format_)
    with empty_store(databases, folder / "b") as store:
        report = import_path(folder / "first", store, rejected_dir=folder)
        assert report.n_rejected == 0
        export_to(folder / "second", store, format_)
    assert contents(folder / "first") == contents(folder / "second")


def test_csv_reads_well(store: Store, tmp_path: Path) -> None:
    fill(store)
    export_to(tmp_path, store)
    with (tmp_path / "items.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert rows[1] == {
        "item_id": "a,b",
        "title": "\r lone",
        "categories": "x|y",
        "year": "",
        "attributes": "",
        "is_available": "true",
        "available_until": "",
        "created_by": "",
        "added_at": "",
    }
    assert rows[0]["categories"] == '["x|y", "z"]'
    ratings_text = (tmp_path / "ratings.csv").read_text()
    assert ratings_text.splitlines()[1] == 'u1,"a,b",3.25,2020-02-29T01:02:03.000004Z'
    assert json.loads((tmp_path / "reckon-export.json").read_text()) == {"scale": "-9.906542056:10"}


def test_empty_database(store: Store, databases: MigratedDatabases, tmp_path: Path) -> None:
    export_to(tmp_path / "first", store)
    with empty_store(databases, tmp_path / "other") as other:
        report = import_path(tmp_path / "first", other, rejected_dir=tmp_path)
    assert (report.n_readable, report.n_rejected) == (0, 0)


def test_formats_not_mixed(store: Store, tmp_path: Path) -> None:
    export_to(tmp_path, store, Format.JSONL)
    export_to(tmp_path, store, Format.JSONL)
    with pytest.raises(ConflictError, match="export to another folder"):
        export_to(tmp_path, store, Format.CSV)


def test_failure_leaves_the_old(store: Store, tmp_path: Path) -> None:
    fill(store)
    export_to(tmp_path / "out", store)
    before = contents(tmp_path / "out")
    store.ratings.record(incoming(("u3", "i3", 1.0)))

    def stop(_fraction: float, _stage: str) -> None:
        raise InvalidInputError("stopped")

    with pytest.raises(InvalidInputError, match="stopped"):
        export_to(tmp_path / "out", store, progress=stop)
    assert contents(tmp_path / "out") == before


def test_folder_that_is_a_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(ConflictError, match="cannot be written to: File exists"):
        export_to(tmp_path / "out", store)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device without room")
def test_no_room(store: Store, tmp_path: Path) -> None:
    fill(store)
    (tmp_path / ".ratings.csv.partial").symlink_to("/dev/full")
    with pytest.raises(StorageFullError, match="no room left"):
        export_to(tmp_path, store)
    assert not (tmp_path / "ratings.csv").exists()
