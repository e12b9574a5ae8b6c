"""The fields of an item are declared once: every place that knows them covers all, and one line adds another."""

import subprocess
import sys
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import pytest

from app.api.schemas.items import ItemIn, ItemOut
from app.entities import ITEM_FIELDS, AttributeValue, Item, ItemField, item_fields
from app.intake import entries, export_rows
from app.intake.column_names.columns import Kind, Naming, kind_of
from app.serving.expressions.fields import FIELDS
from app.serving.item_details import COLUMNS
from app.store import items as item_store
from app.store import schema

TYPES: dict[str, Any] = {
    "text": str | None,
    "url": str | None,
    "id": str | None,
    "texts": tuple[str, ...],
    "integer": int | None,
    "number": float | None,
    "flag": bool,
    "time": datetime | None,
    "attributes": dict[str, AttributeValue],
}


def test_every_field_is_declared() -> None:
    assert ["item_id", *ITEM_FIELDS] == [field.name for field in fields(Item)]
    hints = get_type_hints(Item)
    assert {name: hints[name] for name in ITEM_FIELDS} == {name: TYPES[each.kind] for name, each in ITEM_FIELDS.items()}


def test_every_place_covers_every_field() -> None:
    names = set(ITEM_FIELDS)
    own_of_the_store = {"item_key", "version", "title_folded", "is_bare", "is_deleted"}
    assert set(schema.items.c.keys()) - own_of_the_store == names | {"item_id"}
    assert set(ItemIn.model_fields) == names
    assert set(ItemOut.model_fields) == names | {"item_id"}
    assert set(export_rows.ITEM_NAMES) == names | {"item_id"}
    assert set(COLUMNS) == names - {"title"}  # which a list has without reading a row
    assert set(FIELDS) - {"item_id"} == {
        name for name, declared in ITEM_FIELDS.items() if declared.is_filterable and declared.kind != "attributes"
    }
    header = ["item_id", *names]
    assert Naming().of(header) == {name: name for name in header}


@pytest.mark.parametrize("name", sorted({each for declared in ITEM_FIELDS.values() for each in declared.synonyms}))
def test_synonyms(name: str) -> None:
    (ours,) = [ours for ours, declared in ITEM_FIELDS.items() if name in declared.synonyms]
    assert Naming().of(["item_id", name])[name] == ours
    assert kind_of(["item_id", ours]) is Kind.ITEMS


def test_every_kind_is_handled() -> None:
    kinds = set(TYPES)
    assert set(schema._TYPES) == kinds
    assert set(item_store._HELD_READERS) == kinds
    assert set(entries._ITEM_READERS) == kinds - {"attributes"}  # which take the whole row


def test_declarations_of_a_subclass() -> None:
    class Film(Item):
        __slots__ = ()
        minutes: Annotated[int | None, ItemField(kind="integer")]

    assert set(item_fields(Film)) == {*ITEM_FIELDS, "minutes"}


NEW_LINES = """
    colour: Annotated[str | None, ItemField(kind="text", synonyms=("hue",), max_length=9, is_filterable=True)] = None
    weight: Annotated[float | None, ItemField(kind="number", minimum=0, maximum=99, is_filterable=True)] = None
    is_adult: Annotated[bool, ItemField(kind="flag", is_filterable=True)] = False
    note: Annotated[str | None, ItemField(kind="text", max_length=9)] = None
"""

TRY_OUT = """
import sqlite3, sys, types
from contextlib import closing
from pathlib import Path

import app

source = Path("app/entities.py").read_text()
last = "\\n\\ndef item_fields("
assert source.count(last) == 1
module = types.ModuleType("app.entities")
sys.modules["app.entities"] = app.entities = module
exec(compile(source.replace(last, sys.argv[2] + last), "app/entities.py", "exec"), module.__dict__)

import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.intake.exporting import export_to
from app.intake.importing import import_path
from app.intake.files.table_writers import Format
from app.main import create_app
from app.serving.placement_config import settings_to_store
from app.settings import Settings
from app.store import Store, migrate

folder = Path(sys.argv[1])
migrate("", folder)
store = Store.open("", folder)
with store.database.writing() as connection:  # the migration
    connection.execute(sa.text("ALTER TABLE items ADD COLUMN colour TEXT CHECK (length(colour) <= 9)"))
    connection.execute(sa.text("ALTER TABLE items ADD COLUMN weight DOUBLE"))
    connection.execute(sa.text("ALTER TABLE items ADD COLUMN is_adult BOOLEAN NOT NULL DEFAULT false"))
    connection.execute(sa.text("ALTER TABLE items ADD COLUMN note TEXT"))

table = folder / "items.csv"
table.write_text("item_id,hue,weight,is_adult,note\\na,red,1.5,true,hello\\nb,blue,100,,\\nc,,,,\\nd,green,7,no,\\n")
report = import_path(table, store, rejected_dir=folder, check_settings=settings_to_store)
assert [(each.column, each.reason) for each in report.left_out] == [("weight", "'100' does not lie between 0 and 99")]

kept = {item.item_id: item for item in store.items.stream()}
for format_ in Format:
    out, again = folder / f"out-{format_}", folder / f"again-{format_}"
    export_to(out, store, format_)
    again.mkdir()
    with closing(sqlite3.connect(folder / "reckon.db")) as connection:
        connection.execute("VACUUM INTO ?", [str(again / "reckon.db")])
    other = Store.open("", again)
    for item_id in kept:
        other.items.delete(item_id)
    import_path(out, other, rejected_dir=folder, check_settings=settings_to_store)
    assert {item.item_id: item for item in other.items.stream()} == kept
    other.close()

with TestClient(create_app(Settings(data_dir=folder))) as api:
    body = {"colour": "green", "weight": 2.5, "is_adult": True, "note": "n"}
    assert api.put("/items/e", json=body).json().items() >= body.items()
    assert api.put("/items/f", json={"colour": "x" * 10}).status_code == 422
    imported = {"colour": "red", "weight": 1.5, "is_adult": True, "note": "hello"}
    assert api.get("/items/a").json().items() >= imported.items()

    def shown(**parameters):
        answer = api.get("/users/u/recommendations", params=parameters)
        assert answer.status_code == 200, answer.json()
        return {item.pop("item_id"): item for item in answer.json()["items"]}

    assert shown(filter='colour = "red"').keys() == {"a"}
    assert shown(filter="weight > 2").keys() == {"d", "e"}
    assert shown(filter="is_adult").keys() == {"a", "e"}
    assert shown(filter="colour is unknown").keys() == {"c"}
    assert api.get("/users/u/recommendations", params={"filter": 'note = "n"'}).status_code == 422
    assert shown(fields="colour,note")["a"] == {"colour": "red", "note": "hello"}
    assert shown(fields="is_adult,weight")["c"] == {"is_adult": False, "weight": None}
    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    for name in ("ItemIn", "ItemOut"):
        assert schemas[name]["properties"].keys() >= {"colour", "weight", "is_adult", "note"}
    assert "|colour|" in schemas["GuestBody"]["properties"]["fields"]["items"]["pattern"]
store.close()
"""


def test_one_line_adds_a_column(tmp_path: Path) -> None:
    """The line and the column of the table are all: import, export, API, filters, OpenAPI and `fields` know it."""
    command = [sys.executable, "-W", "ignore", "-c", TRY_OUT, str(tmp_path), NEW_LINES]
    tried = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert tried.returncode == 0, tried.stderr
