"""What an import changes of stored items and users: the fields and attributes that each row names, and nothing else."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entities import Item, User
from app.intake.column_names.columns import Kind
from app.intake.hints import FileHints
from app.intake.importing import import_path
from app.intake.report import Counts, ImportReport
from app.serving.placement_config import settings_to_store
from app.store import Store
from tests.support.databases import MigratedDatabases

FULL = Item("x", "T", ("c",), 1990, {"a": 1, "b": "2"}, is_available=False, description="D")

# Their names say nothing of the columns that are made up.
ITEMS = FileHints(kind=Kind.ITEMS)


def bring_in(folder: Path, name: str, text: str, store: Store, **options: Any) -> ImportReport:
    path = folder / name
    path.write_text(text)
    report = import_path(path, store, rejected_dir=folder, check_settings=settings_to_store, **options)
    assert report.n_rejected == 0
    return report


def changed(**values: Any) -> Item:
    return Item(**{name: getattr(FULL, name) for name in FULL.__slots__} | values)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("only.csv", "item_id,year\nx,1991\n", changed(year=1991)),
        ("empty.csv", "item_id,title,year,is_available,categories,a\nx,,,,,\n", FULL),
        ("marked.csv", "item_id,title,year,categories,is_available,a\nx,\\N,\\N,\\N,\\N,\\N\n",
         changed(title=None, year=None, categories=(), is_available=True, attributes={"b": "2"})),
        ("column.csv", "item_id,colour\nx,red\n", changed(attributes={"a": 1, "b": "2", "colour": "red"})),
        ("same.csv", "item_id,b\nx,red\n", changed(attributes={"a": 1, "b": "red"})),
        ("object.csv", 'item_id,attributes\nx,"{""a"": null, ""c"": [""d""]}"\n',
         changed(attributes={"b": "2", "c": ["d"]})),
        ("cleared.csv", "item_id,attributes,c\nx,\\N,d\n", changed(attributes={"c": "d"})),
        ("only.jsonl", '{"item_id": "x", "year": 1991}\n', changed(year=1991)),
        ("null.jsonl", '{"item_id": "x", "title": null, "categories": null, "is_available": null, "a": null}\n',
         changed(title=None, categories=(), is_available=True, attributes={"b": "2"})),
        ("empty.jsonl", '{"item_id": "x", "title": "", "categories": [], "attributes": {}}\n', changed(categories=())),
        ("mark.jsonl", '{"item_id": "x", "title": "\\\\N"}\n', changed(title="\\N")),
        ("object.jsonl", '{"item_id": "x", "attributes": {"a": null, "c": true}}\n',
         changed(attributes={"b": "2", "c": True})),
        ("cleared.jsonl", '{"item_id": "x", "attributes": null, "c": "red"}\n', changed(attributes={"c": "red"})),
        ("beside.jsonl", '{"item_id": "y", "is_available": true, "title": "Y"}\n{"item_id": "x", "year": 1}\n',
         changed(year=1)),
        ("bare.jsonl", '{"item_id": "x"}\n', FULL),
    ],
)  # fmt: skip
def test_named_fields_alone(store: Store, tmp_path: Path, name: str, text: str, expected: Item) -> None:
    store.items.record([FULL])
    bring_in(tmp_path, name, text, store)
    assert store.items.get("x") == expected


def test_parquet_null_leaves(store: Store, tmp_path: Path) -> None:
    """Parquet does not tell a null from a missing value; the mark of CSV clears."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    store.items.record([FULL])
    columns = {"item_id": ["x"], "title": [r"\N"], "year": [None], "a": [None], "b": [3.5]}
    pq.write_table(pa.table(columns), tmp_path / "items.parquet")
    import_path(tmp_path / "items.parquet", store, rejected_dir=tmp_path, check_settings=settings_to_store)
    assert store.items.get("x") == changed(title=None, attributes={"a": 1, "b": 3.5})


def test_array_of_objects(store: Store, tmp_path: Path) -> None:
    """Nulls of any JSON document clear, whatever name their column has in the file."""
    store.items.record([FULL])
    text = '[{"sku": "y", "Name": "Y"}, {"sku": "x", "Name": null, "a": null}]'
    bring_in(tmp_path, "items.json", text, store, hints=ITEMS)
    assert store.items.get("x") == changed(title=None, attributes={"b": "2"})


@pytest.mark.parametrize("missing", ["NA", "null", "NaN", " "])
def test_words_for_missing_values(store: Store, tmp_path: Path, missing: str) -> None:
    """They name nothing, so a hidden item stays hidden."""
    store.items.record([FULL])
    names = ["title", "categories", "year", "is_available", "description", "a", "b"]
    text = f"item_id,{','.join(names)}\nx{f',{missing}' * len(names)}\ny,Y,c,1991,true,D,3,red\n"
    bring_in(tmp_path, "items.csv", text, store, hints=ITEMS)
    assert store.items.get("x") == FULL


def test_second_file_adds_attributes(store: Store, tmp_path: Path) -> None:
    bring_in(tmp_path, "prices.csv", "item_id,title,price\na,A,3\nb,B,4\n", store)
    bring_in(tmp_path, "colours.csv", "item_id,colour\na,red\n", store)
    attributes = {item.item_id: sorted(item.attributes) for item in store.items.stream()}
    assert attributes == {"a": ["colour", "price"], "b": ["price"]}
    assert [item.title for item in store.items.stream()] == ["A", "B"]


def test_whole_rows_replaced(store: Store, tmp_path: Path) -> None:
    store.items.record([FULL])
    store.users.record([User("u", "FI", {"age": 3}), User("v", "SE")])
    text = '{"item_id": "x", "title": "New", "attributes": {"c": 1, "d": null}}\n'
    report = bring_in(tmp_path, "items.jsonl", text, store, is_replacing=True)
    assert report.items == Counts(readable=1, replaced=1)
    assert store.items.get("x") == Item("x", "New", attributes={"c": 1})
    bring_in(tmp_path, "users.csv", "user_id,segment\nu,a\n", store, is_replacing=True)
    assert list(store.users.stream()) == [User("u", None, {"segment": "a"}), User("v", "SE")]


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("user_id,country\na,US\na,FI\n", "users", Counts(readable=2, stored=1, replaced=1)),
        ("user_id,country\na,US\nb,US\na,US\n", "users", Counts(readable=3, stored=2, unchanged=1)),
        ("item_id,title\na,A\na,B\na,\n", "items", Counts(readable=3, stored=1, replaced=1, unchanged=1)),
        ("user,item,rating\na,x,3\na,x,4\na,x,4\n", "ratings",
         Counts(readable=3, stored=1, replaced=1, unchanged=1, repeated=2)),
        ("event_id,type,user_id,item_id,at\n1,clicked,u,x,1\n1,clicked,u,x,1\n", "events",
         Counts(readable=2, stored=1, unchanged=1)),
    ],
)  # fmt: skip
def test_counts_of_rows(store: Store, tmp_path: Path, text: str, kind: str, expected: Counts) -> None:
    assert getattr(bring_in(tmp_path, "table.csv", text, store), kind) == expected


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from([1, 1.0, True, "t", ["u"], []])
DOCUMENTS = st.fixed_dictionaries(
    {"item_id": st.sampled_from(["x", "y"])},
    optional={
        "title": st.none() | st.sampled_from(["S", "T", r"\N"]),
        "categories": st.none() | st.lists(st.sampled_from(["d", "e"]), max_size=2),
        "is_available": st.none() | st.booleans(),
        "attributes": st.none() | st.dictionaries(NAMES, st.none() | VALUES),
    },
)
DEFAULTS: dict[str, Any] = {"title": None, "categories": [], "is_available": True, "attributes": {}}


def merge_patch(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The algorithm of RFC 7396."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name, {}), value) if isinstance(value, dict) else value
    return merged


@pytest.fixture(scope="module")
def shared(databases: MigratedDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all examples, which use ids of their own."""
    folder = tmp_path_factory.mktemp("shared")
    with databases.fresh("sqlite", folder) as url:
        store = Store.open(url, folder)
        yield store
        store.close()


NUMBERS = count()


@settings(max_examples=20)
@given(rows=st.lists(DOCUMENTS, min_size=1, max_size=5))
def test_rows_are_merge_patches(shared: Store, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    """Whether they come in one block or one by one; so none changes a field that it does not name."""
    number = next(NUMBERS)
    together, singly = ([row | {"item_id": f"{number}-{way}-{row['item_id']}"} for row in rows] for way in (0, 1))
    reports = [bring_in(tmp_path, "t.jsonl", "".join(f"{json.dumps(row)}\n" for row in together), shared, hints=ITEMS)]
    reports += [bring_in(tmp_path, "t.jsonl", json.dumps(row) + "\n", shared, hints=ITEMS) for row in singly]
    expected: dict[str, dict[str, Any]] = {}
    for row in together + singly:
        expected[row["item_id"]] = merge_patch(expected.get(row["item_id"], {}), row)
        if categories := expected[row["item_id"]].get("categories"):  # one that is named twice counts once
            expected[row["item_id"]]["categories"] = list(dict.fromkeys(categories))
    for item_id, document in expected.items():
        item = shared.items.get(item_id)
        assert item is not None
        stored = {name: getattr(item, name) for name in DEFAULTS} | {"categories": list(item.categories)}
        assert repr(stored) == repr(DEFAULTS | {name: document[name] for name in DEFAULTS if name in document})
    (first, *others) = ([each.items.stored, each.items.replaced, each.items.unchanged] for each in reports)
    assert first == [sum(each) for each in zip(*others, strict=True)]
