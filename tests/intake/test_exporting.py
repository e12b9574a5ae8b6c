import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.entities import ITEM_FIELDS, UNKNOWN_TIME, URL_PATTERN, EventType, IncomingEvents, Item, RatingScale, User
from app.errors import ConflictError, InvalidInputError, StorageFullError
from app.intake.exporting import export_to
from app.intake.files.table_writers import Format
from app.intake.importing import import_path
from app.intake.report import Counts, ImportReport
from app.serving.placement_config import settings_to_store
from app.store import UNCHANGED, Store
from tests.store.test_events import amounts
from tests.support.databases import MigratedDatabases
from tests.support.events import happened
from tests.support.ratings import incoming

MOMENT = datetime(2020, 2, 29, 1, 2, 3, 4, tzinfo=UTC)

characters = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/")
ids = (
    st.text(characters, min_size=1, max_size=8)
    .map(lambda text: normalize("NFC", text))
    .filter(lambda text: text == text.strip() and text not in {".", ".."})
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8).map(
    lambda text: normalize("NFC", text)  # the API and imports store texts in this form alone
)
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
addresses = (
    st.from_regex(URL_PATTERN, fullmatch=True)
    .filter(lambda url: "\0" not in url)
    .map(lambda url: normalize("NFC", url)[:2_048])
)
items = st.builds(
    Item,
    ids,
    st.none() | named,
    st.lists(texts, max_size=3, unique=True).map(tuple),
    st.none() | st.integers(-9999, 9999),
    attributes,
    st.booleans(),
    st.none() | moments,
    st.none() | ids,
    st.none() | moments,
    st.none() | named,
    st.none() | addresses,
    st.none() | addresses,
)
users = st.builds(User, ids, st.none() | named, attributes)
times = st.integers(-(10**16), 1_700_000_000_000_000)
ratings = st.tuples(ids, ids, st.floats(-9.5, 9.5), st.none() | times)
event_types = st.builds(EventType, ids, st.floats(-(2.0**53), 2.0**53), st.booleans(), st.booleans())
happenings = st.tuples(ids, st.integers(0, 99), ids, ids, times, st.none() | st.floats(0, 1))
led_by = st.tuples(st.none() | ids, st.none() | st.integers(0, 2**53))
placement_names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
settings_of_placements = st.fixed_dictionaries(
    {},
    optional={
        "filter": texts.map(lambda text: f"title contains {json.dumps(text.replace(chr(92), ''))}").filter(
            lambda expression: not any(escape in expression for escape in ("\\u", "\\b", "\\f"))
        ),
        "sources": st.lists(st.sampled_from(["nearest", "popular", "item_item"]), min_size=1, max_size=2),
        "category_cap": st.none() | st.integers(1, 100),
        "diversity": st.floats(0, 1),
        "own_items": st.booleans(),
    },
)


@contextmanager
def empty_store(databases: MigratedDatabases, folder: Path, kind: str = "sqlite") -> Iterator[Store]:
    folder.mkdir()
    with databases.fresh(kind, folder) as url:
        store = Store.open(url, folder)
        try:
            yield store
        finally:
            store.close()


def bring_in(folder: Path, store: Store) -> ImportReport:
    return import_path(folder, store, rejected_dir=folder.parent, check_settings=settings_to_store)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fill(store: Store) -> None:
    store.items.record(
        [
            Item(
                "=1+1",
                title='"A, B"\nC',
                categories=("x|y", "z"),
                year=1999,
                attributes={"n": 1.0, "k": ["a"]},
                is_available=False,
                available_until=MOMENT,
                created_by="u",
                added_at=MOMENT,
                description="A,\n|b",
                url="http://a",
                image_url="https://b",
            ),
            Item("a,b", "\r lone", ("x", "y")),
            Item("braces", categories=('{"a":1}', "x")),
            Item(r"\N", r"\N", (r"\N",), attributes={"k": r"\N"}, created_by=r"\N", description=r"\\N"),
        ]
    )
    store.users.record([User("u1", "NO", {"age": "42", "n": 1}), User("caf\u00e9"), User("u3", r"\N")])
    store.instance.set_scale(RatingScale(-9.906542056, 10))
    store.ratings.record(incoming(("u1", "a,b", 3.25, 1_582_938_123_000_004), ("u2", "bare", -9.906542056, None)))
    store.events.put_type(EventType("re\u00e9d, again", -0.1, is_consumption=True))
    store.events.put_type(EventType("bought", 4.5, is_consumption=True))
    store.events.record(EVENTS)
    store.placements.put("home", settings_to_store("home", {"filter": 'title contains "\u00e9\\n"', "rotation": 0.1}))
    store.placements.put("e-mail", settings_to_store("e-mail", {"sources": ["popular", "item_item"]}))
    store.items.record([Item("gone", "Gone")])
    store.items.delete("gone")
    store.events.record(happened(("late", "clicked", "u1", "gone", 7)))


EVENTS = replace(
    happened(
        ("e1", "clicked", "u1", "=1+1", 1_582_938_123_000_005),
        ("e2", "re\u00e9d, again", "u1", "a,b", 1_582_938_123_000_006, 1 / 3),
        ("e3", "bought", "u2", "a,b", -7),
        ("e4", "bought", "u2", "a,b", 1_600_000_000_000_000, 0.0),
        ("e5", "clicked", "u1", "=1+1", 1_582_938_123_000_004),
    ),
    placement=["home", None, "gone", None, None],
    snapshot_version=[7, None, None, 2**53, None],
    position=[0, None, None, 1_000_000, None],
)


def derived(store: Store) -> tuple[Any, Any]:
    """What events and ratings amount to: interactions by user, heat by country."""
    heat = {}
    for country in ("", "NO"):
        keys, heats = store.trends.top_trending(country)
        names = store.items.ids_of(keys.tolist())
        heat[country] = {names[key]: round(each, 9) for key, each in zip(keys.tolist(), heats.tolist(), strict=True)}
    return {user_id: amounts(store, user_id) for user_id in ("u1", "u2")}, heat


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("format_", list(Format))
def test_import_gives_the_same(
    store: Store, databases: MigratedDatabases, tmp_path: Path, format_: Format, kind: str
) -> None:
    fill(store)
    counts = export_to(tmp_path / "first", store, format_).counts
    assert counts == {"ratings": 2, "events": 6, "items": 6, "users": 4, "event_types": 7, "placements": 2}
    with empty_store(databases, tmp_path / "other", kind) as other:
        report = bring_in(tmp_path / "first", other)
        assert report.n_rejected == 0
        assert report.event_types == Counts(readable=7, stored=1, replaced=1, unchanged=5)
        assert (report.events.stored, report.placements.stored) == (6, 2)
        assert list(other.items.stream_marked()) == list(store.items.stream_marked())
        assert list(other.users.stream()) == list(store.users.stream())
        assert other.instance.scale() == store.instance.scale()
        (found,) = other.ratings.stream()
        assert found.rated_at.tolist() == [1_582_938_123_000_004, UNKNOWN_TIME]
        assert other.events.types() == store.events.types()
        assert list(other.events.stream()) == list(store.events.stream())
        assert other.placements.all() == store.placements.all()
        assert derived(other) == derived(store)
        export_to(tmp_path / "second", other, format_)
        assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_late_replay_is_harmless(store: Store, databases: MigratedDatabases, tmp_path: Path) -> None:
    """Whether what was exported comes again as a file or is sent again by its sender."""
    fill(store)
    export_to(tmp_path / "out", store)
    with empty_store(databases, tmp_path / "other") as other:
        bring_in(tmp_path / "out", other)
        before, version = derived(other), other.placements.read()[0]
        report = bring_in(tmp_path / "out", other)
        assert report.events == Counts(readable=6, unchanged=6)
        assert report.event_types == Counts(readable=7, unchanged=7)
        assert report.placements == Counts(readable=2, unchanged=2)
        assert other.events.record(EVENTS).tolist() == [UNCHANGED] * 5
        assert derived(other) == before
        assert other.placements.read()[0] == version
        assert other.users.freshness("u1").profile_version == store.users.freshness("u1").profile_version


@settings(max_examples=20, phases=[Phase.explicit, Phase.generate])
@given(
    format_=st.sampled_from(Format),
    some_items=st.lists(items, max_size=3),
    some_users=st.lists(users, max_size=3),
    some_ratings=st.lists(ratings, max_size=4),
    some_types=st.lists(event_types, min_size=1, max_size=3),
    some_events=st.lists(st.tuples(happenings, led_by), max_size=4),
    some_placements=st.dictionaries(placement_names, settings_of_placements, max_size=2),
)
def test_round_trip(
    databases: MigratedDatabases,
    tmp_path_factory: pytest.TempPathFactory,
    format_: Format,
    some_items: list[Item],
    some_users: list[User],
    some_ratings: list[Any],
    some_types: list[EventType],
    some_events: list[Any],
    some_placements: dict[str, Any],
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    with empty_store(databases, folder / "a") as store:
        store.items.record(some_items)
        store.users.record(some_users)
        store.instance.set_scale(RatingScale(-10, 10))
        store.ratings.record(incoming(*some_ratings))
        for declared in some_types:
            store.events.put_type(declared)
        store.events.record(of_types(some_types, some_events))
        for name, document in some_placements.items():
            store.placements.put(name, settings_to_store(name, document))
        export_to(folder / "first", store, format_)
    with empty_store(databases, folder / "b") as store:
        report = bring_in(folder / "first", store)
        assert report.first_rejected == []
        export_to(folder / "second", store, format_)
    assert contents(folder / "first") == contents(folder / "second")


def of_types(types: list[EventType], rows: list[Any]) -> IncomingEvents:
    """(event, number of a type, user, item, time, portion), (placement, version) rows."""
    events = happened(*((row[0], types[row[1] % len(types)].name, *row[2:]) for row, _ in rows))
    return replace(events, placement=[led[0] for _, led in rows], snapshot_version=[led[1] for _, led in rows])


def test_csv_reads_well(store: Store, tmp_path: Path) -> None:
    fill(store)
    export_to(tmp_path, store)
    with (tmp_path / "items.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    filled = {"item_id": "a,b", "title": "\r lone", "categories": "x|y", "is_available": "true"}
    filled |= {"is_bare": "false", "stays_deleted": "false"}
    assert rows[1] == dict.fromkeys(("item_id", *ITEM_FIELDS), "") | filled
    assert rows[0]["categories"] == '["x|y", "z"]'
    ratings_text = (tmp_path / "ratings.csv").read_text()
    assert ratings_text.splitlines()[1] == 'u1,"a,b",3.25,2020-02-29T01:02:03.000004Z'
    events_text = (tmp_path / "events.csv").read_text()
    assert events_text.splitlines()[:2] == [
        "event_id,type,user_id,item_id,at,portion,placement,snapshot_version,position",
        "e1,clicked,u1,=1+1,2020-02-29T01:02:03.000005+00:00,,home,7,0",
    ]
    types_text = (tmp_path / "event_types.csv").read_text(encoding="utf-8")
    assert types_text.splitlines()[:2] == ["type,weight,is_exposure,is_consumption", "shown,0,true,false"]
    assert (tmp_path / "placements.csv").read_text().startswith('placement,settings\ne-mail,"{""')
    assert json.loads((tmp_path / "reckon-export.json").read_text()) == {"scale": "-9.906542056:10"}


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_for_spreadsheets(store: Store, databases: MigratedDatabases, tmp_path: Path) -> None:
    """Text is marked, numbers are not, and an import of the folder or of one file restores every field."""
    fill(store)
    titles = ["=1+1", "+1", "-5", "@x", "\tx", "'Tis", "''"]
    store.items.record([Item(f"-{row}", title, ("=a", "b"), -5) for row, title in enumerate(titles)])
    export_to(tmp_path / "plain", store)
    export_to(tmp_path / "marked", store, is_for_spreadsheets=True)
    assert json.loads((tmp_path / "marked" / "reckon-export.json").read_text())["for"] == "spreadsheets"
    items = {row["item_id"]: row for row in cells(tmp_path / "marked" / "items.csv")}
    assert [items[f"'-{row}"]["title"] for row in range(7)] == [f"'{title}" for title in titles]
    assert (items["'-0"]["year"], items["'-0"]["categories"], items["'=1+1"]["attributes"][:1]) == ("-5", "'=a|b", "{")
    values = [row["value"] for row in cells(tmp_path / "marked" / "ratings.csv")]
    assert values == ["3.25", "-9.906542056"]
    with empty_store(databases, tmp_path / "other") as other:
        assert bring_in(tmp_path / "marked", other).n_rejected == 0
        export_to(tmp_path / "again", other)
    assert contents(tmp_path / "plain") == contents(tmp_path / "again")
    with empty_store(databases, tmp_path / "third") as third:
        bring_in(tmp_path / "marked" / "items.csv", third)
        assert list(third.items.stream()) == list(store.items.stream())


def test_marks_need_csv(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="spreadsheets read CSV"):
        export_to(tmp_path / "out", store, Format.JSONL, is_for_spreadsheets=True)
    assert not (tmp_path / "out").exists()


def test_current_folder(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_to(tmp_path / "out", store, is_for_spreadsheets=True)
    monkeypatch.chdir(tmp_path / "out")
    assert bring_in(Path(), store).n_readable == 6


def test_damaged_card(store: Store, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\ni,T\n")
    (tmp_path / "reckon-export.json").write_text("[]")
    for path in (tmp_path, tmp_path / "items.csv"):
        with pytest.raises(InvalidInputError, match=r"reckon-export\.json is damaged"):
            bring_in(path, store)


def test_empty_database(store: Store, databases: MigratedDatabases, tmp_path: Path) -> None:
    export_to(tmp_path / "first", store)
    with empty_store(databases, tmp_path / "other") as other:
        report = bring_in(tmp_path / "first", other)
        assert (report.n_readable, report.n_rejected) == (6, 0)  # the event types that every database begins with
        assert (report.event_types.unchanged, report.events, report.placements) == (6, Counts(), Counts())


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
