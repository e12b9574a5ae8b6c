"""Texts in two Unicode forms and in any case: one category, one title, one attribute, whatever the door."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.intake.importing import import_path
from app.serving.placement_config import settings_to_store
from app.store import Store

NFC = "Caf\u00e9"
NFD = unicodedata.normalize("NFD", NFC)


def ids(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {item["item_id"] for item in answer.json()["items"]}


@pytest.fixture
def cafes(client: TestClient, store: Store, tmp_path: Path) -> TestClient:
    """The same item by HTTP in both forms and in capitals, and by a file."""
    for item_id, name in (("nfc", NFC), ("nfd", NFD), ("upper", NFD.upper())):
        item = {"title": name, "categories": [name, NFC], "attributes": {name.capitalize(): name, "tags": [name]}}
        assert client.put(f"/items/{item_id}", json=item).status_code == 201
    table = tmp_path / "items.csv"
    table.write_text(f"item_id,title,genres,{NFD}\nfile,{NFD},{NFD}|{NFC},{NFD}\n", encoding="utf-8")
    import_path(table, store, rejected_dir=tmp_path, check_settings=settings_to_store)
    return client


ALL = {"nfc", "nfd", "upper", "file"}


@pytest.mark.parametrize("name", [NFC, NFD, NFD.upper(), NFC.lower()])
def test_one_text_in_all_forms(cafes: TestClient, name: str) -> None:
    lists = "/users/ann/recommendations"
    assert ids(cafes.get(lists, params={"category": name})) == ALL
    assert ids(cafes.get("/charts/newest", params={"category": name})) == ALL
    assert ids(cafes.get(lists, params={"filter": f"'{name}' in categories"})) == ALL
    assert ids(cafes.get(lists, params={"filter": f"title = '{name}'"})) == ALL
    assert ids(cafes.get(lists, params={"filter": f"title contains '{name}'"})) == ALL
    assert ids(cafes.get(lists, params={"filter": f"`{name.capitalize()}` = '{name}'"})) == ALL
    assert ids(cafes.get(lists, params={"filter": f"'{name}' in tags"})) == ALL - {"file"}
    assert ids(cafes.get("/items", params={"q": name})) == ALL
    assert ids(cafes.get("/items", params={"q": "CAFE"})) == ALL
    assert ids(cafes.post("/search", json={"query": name})) == ALL


def test_stored_form(cafes: TestClient) -> None:
    nfd, file = cafes.get("/items/nfd").json(), cafes.get("/items/file").json()
    for item in (nfd, file):
        assert (item["title"], item["categories"], item["attributes"][NFC]) == (NFC, [NFC], NFC)


def test_length_is_of_the_stored_form(client: TestClient) -> None:
    """U+0958 becomes two characters in the normal form, an accent in the decomposed form none."""
    assert client.put("/items/long", json={"categories": ["e\u0301" * 100]}).status_code == 201
    assert client.put("/items/long", json={"categories": ["\u0958" * 51]}).status_code == 422
    assert client.put("/items/long", json={"description": "\u0958" * 5_001}).status_code == 422
