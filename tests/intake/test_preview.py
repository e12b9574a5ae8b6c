"""What `reckon import --preview` shows: files, columns and first rows as they will be stored."""

from pathlib import Path

import pytest

from app.cli.file_hints import file_hints
from app.errors import InvalidInputError
from app.intake.importing import import_path
from app.intake.preview import preview
from app.serving.placement_config import settings_to_store
from app.store import Store
from tests.support.movielens import write_1m


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "shop"
    path.mkdir()
    (path / "ratings.csv").write_text("Who,Product SKU,Stars,When,Note\nu,i,5,1260759144,x\nu,j,lots,,y\nv,i,3,,\n")
    (path / "items.csv").write_text("sku,name,genres,price\ni,Heat,A|B,2.5\nj,,,\n")
    (path / "users.jsonl").write_text('{"user_id": "u", "country": "NO", "age": 4, "languages": ["a"]}\n')
    (path / "event_types.csv").write_text("type,weight,is_exposure,is_consumption\nseen,0,true,\n")
    (path / "placements.csv").write_text('placement,settings\nhome,"{""filter"": ""x""}"\nbad,[]\n')
    (path / "clicks.csv").write_text("user,item,clicked by\nu,i,mouse\n")
    (path / "photo.png").write_text("x")
    return path


def test_files_and_columns(folder: Path) -> None:
    found = {each.file: each for each in preview(folder, 5)}
    assert [each.kind for each in found.values()] == ["placements", "event_types", "items", "users", None, None, None]
    assert found["items.csv"].format == "delimited"
    assert found["items.csv"].columns == {
        "sku": "item_id",
        "name": "title",
        "genres": "categories",
        "price": "attribute",
    }
    assert found["clicks.csv"].problem.startswith("clicks.csv has columns for user and item, but no rating")
    assert found["photo.png"].problem == "photo.png is none of the files that are read here"
    assert found["ratings.csv"].problem.startswith("ratings.csv may hold ratings or events rather than items")


def test_rows_of_ratings(folder: Path) -> None:
    hints = file_hints("user=who,item=product sku,rating=stars,timestamp=when")
    (found,) = preview(folder / "ratings.csv", 2, hints)
    assert found.columns == {
        "Who": "user_id",
        "Product SKU": "item_id",
        "Stars": "value",
        "When": "rated_at",
        "Note": "ignored",
    }
    assert found.rows == [{"user_id": "u", "item_id": "i", "value": 5.0, "rated_at": "2009-12-14T02:52:24+00:00"}]
    assert [(row.line, row.reason) for row in found.rejected] == [(3, "value: 'lots' is not a number")]
    assert len(preview(folder / "ratings.csv", 3, hints)[0].rows) == 2


def test_rows_of_other_kinds(folder: Path) -> None:
    found = {each.file: each for each in preview(folder, 5)}
    heat = found["items.csv"].rows[0]
    assert (heat["item_id"], heat["title"], heat["categories"]) == ("i", "Heat", ["A", "B"])
    assert set(heat["attributes"]) == {"price"}
    assert found["users.jsonl"].rows == [
        {"user_id": "u", "country": "NO", "attributes": {"age": 4, "languages": ["a"]}},
    ]
    (seen,) = found["event_types.csv"].rows
    assert seen == {"name": "seen", "weight": 0.0, "is_exposure": True, "is_consumption": False}
    assert found["placements.csv"].rows == [{"placement": "home", "settings": {"filter": "x"}}]
    assert [row.line for row in found["placements.csv"].rejected] == [3]


def test_rows_of_events(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("event_id,event,visitor,sku,ts,portion\ne,hummed,u,i,5,\n")
    ((row,),) = (each.rows for each in preview(path, 5))
    assert row["type"] == "hummed"
    assert (row["at"], row["portion"]) == ("1970-01-01T00:00:05+00:00", None)


def test_known_layout(tmp_path: Path) -> None:
    found = {each.file: each for each in preview(write_1m(tmp_path / "ml"), 1)}
    assert found["ratings.dat"].format == "movielens"
    assert found["ratings.dat"].columns["value"] == "value"
    assert len(found["ratings.dat"].rows) == 1


def test_same_as_import(folder: Path, store: Store) -> None:
    (found,) = preview(folder / "items.csv", 5)
    import_path(folder / "items.csv", store, rejected_dir=folder, check_settings=settings_to_store)
    stored = [(item.item_id, item.title, list(item.categories), item.attributes) for item in store.items.stream()]
    shown = [
        (row["item_id"], row.get("title"), row.get("categories", []), row.get("attributes", {})) for row in found.rows
    ]
    assert shown == stored


def test_refusal_is_that_of_import(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("item_id,stars\na,4\n")
    with pytest.raises(InvalidInputError, match="--kind items"):
        preview(path, 5)
