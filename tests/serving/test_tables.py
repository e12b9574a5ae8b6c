"""Lists with tables, over HTTP: users go round in a circle of items, so what comes next is known beforehand."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.entities import IncomingRatings, Item
from app.main import create_app
from app.serving.retrieval import sources_of
from app.settings import Settings
from tests.support.published import opened_shop
from tests.support.user_states import DAY

N_ITEMS, N_EACH = 30, 8
SEGMENTS = {
    "rating": "biases",
    "item_item": "ease",
    "transitions": "transitions",
    "popularity": "popularity",
}
WEIGHTS = {"rating": 1e-4, "item_item": 0.5, "transitions": 1.0, "popularity": 0.1}
NEXT = "/users/newcomer/recommendations?limit=5&explain=true"


def circle(n_users: int = 90) -> IncomingRatings:
    """Every user rates eight items in a row, one a day, each user from another item on."""
    users, steps = np.repeat(np.arange(n_users), N_EACH), np.tile(np.arange(N_EACH), n_users)
    items = (users * 7 + steps) % N_ITEMS
    user_ids, item_ids = [f"user-{user}" for user in users], [f"item-{item}" for item in items]
    return IncomingRatings(user_ids, item_ids, np.full(len(users), 4.0), steps * DAY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("circle")
    items = [Item(f"item-{n}", title=f"Item {n}", categories=("all",)) for n in range(N_ITEMS)]
    recipe = {"segments": [{"name": name, "algorithm": algorithm} for name, algorithm in SEGMENTS.items()]}
    with opened_shop(folder, circle(), items=items) as shop, pytest.MonkeyPatch.context() as patch:
        # Both tables stay, whichever of them the blend would leave out.
        patch.setattr("app.training.resolve.learn_weights", lambda *_: WEIGHTS)
        scorer = shop.train(recipe)
    assert {"item_item", "transitions"} <= set(sources_of(scorer))
    return folder


@pytest.fixture
def api(folder: Any) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(database_url="", data_dir=folder))) as opened:
        yield opened
        opened.delete("/users/newcomer").raise_for_status()
        opened.delete("/placements/home").raise_for_status()


def rate(api: TestClient, *numbers: int, value: float = 4) -> None:
    for number in numbers:
        rating = {"user_id": "newcomer", "item_id": f"item-{number}", "value": value}
        api.post("/ratings", json=rating).raise_for_status()


def shown(api: TestClient, path: str = NEXT) -> list[Any]:
    items: list[Any] = api.get(path).raise_for_status().json()["items"]
    return items


def test_tables_are_published(api: TestClient) -> None:
    card = api.get("/snapshots/1").json()["card"]
    (table,) = [segment for segment in card["segments"] if segment["name"] == "transitions"]
    assert table["columns"] is None
    assert 0 < table["n_entries"] <= 100 * N_ITEMS


def test_next_item_is_first_at_once(api: TestClient) -> None:
    rate(api, 3)
    (first, *_) = shown(api)
    assert first["item_id"] == "item-4"
    assert {"item_item", "transitions"} <= set(first["sources"])
    assert [because["item_id"] for because in first["reasons"]["because"]] == ["item-3"]
    rate(api, 20)
    (first, *_) = shown(api)
    assert (first["item_id"], first["reasons"]["because"][0]["item_id"]) == ("item-21", "item-20")


def test_segments_sum_to_the_score(api: TestClient) -> None:
    rate(api, 3, 4, 5)
    for item in shown(api):
        segments = item["reasons"]["segments"]
        assert sum(share["score"] for share in segments) == pytest.approx(item["score"], abs=1e-4)
        assert "transitions" in [share["segment"] for share in segments]


def test_published_user_is_explained(api: TestClient) -> None:
    answer = api.get("/users/user-0/recommendations?limit=1&explain=true").json()
    assert (answer["strategy"], answer["items"][0]["item_id"]) == ("personalized", "item-8")
    assert answer["items"][0]["reasons"]["because"][0]["item_id"] == "item-7"


def test_unknown_user_gets_popular(api: TestClient) -> None:
    answer = api.get("/users/unknown/recommendations?limit=5&explain=true").json()
    assert answer["strategy"] == "popular"
    assert not {"item_item", "transitions"} & {name for item in answer["items"] for name in item["sources"]}


def test_guest_history_is_newest_first(api: TestClient) -> None:
    ratings = [{"item_id": f"item-{number}", "value": 4} for number in (20, 3)]
    body = {"ratings": ratings, "limit": 1}
    firsts = [
        api.post("/recommendations", json=body | {"ratings": each}).raise_for_status().json()["items"][0]["item_id"]
        for each in (ratings, ratings[::-1])
    ]
    assert firsts == ["item-21", "item-4"]


def test_guest_events_are_in_order(api: TestClient) -> None:
    """The newest counts most: what was looked at, then the events, then the ratings."""
    early, late = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    watched = [{"type": "watched", "item_id": f"item-{number}"} for number in (20, 3)]
    rated = {"ratings": [{"item_id": "item-10", "value": 4}]}
    guests: list[dict[str, Any]] = [
        {"events": watched},
        {"events": watched[::-1]} | rated,
        {"events": [watched[0] | {"at": early}, watched[1] | {"at": late}]} | rated,
        {"events": watched, "viewed_item_ids": ["item-28"]} | rated,
        {"viewed_item_ids": ["item-15", "item-28"]} | rated,
    ]
    answers = (api.post("/recommendations", json=guest | {"limit": 1}).raise_for_status().json() for guest in guests)
    firsts = [answer["items"][0]["item_id"] for answer in answers]
    assert firsts == ["item-21", "item-4", "item-4", "item-29", "item-16"]


def test_rows_and_mixes_of_liked_items(api: TestClient) -> None:
    """Without vectors, items are alike that are chosen together."""
    rate(api, 3, 18)
    home = api.get("/users/newcomer/home?n_rows=20&limit=4").raise_for_status().json()["rows"]
    mixes = api.get("/users/newcomer/mixes?limit=4").raise_for_status().json()["mixes"]
    assert {(mix["name"], *mix["because"]) for mix in mixes} == {("Item 3", "item-3"), ("Item 18", "item-18")}
    assert all((mix["categories"], mix["category_share"]) == ([], None) for mix in mixes)
    of_rows = [(row["row_id"].removeprefix("liked:"), row["items"]) for row in home if "liked:" in row["row_id"]]
    assert len(of_rows) == 2
    for liked, items in of_rows + [(mix["because"][0], mix["items"]) for mix in mixes]:
        similar = api.get(f"/items/{liked}/similar?kind=together&limit=50").raise_for_status().json()["items"]
        assert len(items) >= 3
        assert {item["item_id"] for item in items} <= {item["item_id"] for item in similar}
    assert {"item-4", "item-19"} <= {item["item_id"] for mix in mixes for item in mix["items"]}
    in_mixes = [item["item_id"] for mix in mixes for item in mix["items"]]
    assert len(set(in_mixes)) == len(in_mixes)


def test_new_item_beside_tables(api: TestClient) -> None:
    rate(api, 3, 4, 5)
    api.put("/items/new", json={"title": "New", "categories": ["all"]}).raise_for_status()
    try:
        listed = shown(api, NEXT.replace("limit=5", "limit=100"))
        assert len(listed) == N_ITEMS - 3 + 1
        (new,) = [item for item in listed if item["item_id"] == "new"]
        shares = {share["segment"]: share["score"] for share in new["reasons"]["segments"]}
        of_others = [share["score"] for item in listed for share in item["reasons"]["segments"]]
        assert min(of_others) < shares["transitions"] < max(of_others)  # a table says nothing for or against it
        rate_new = {"user_id": "newcomer", "item_id": "new", "value": 4}
        api.post("/ratings", json=rate_new).raise_for_status()
        assert shown(api)[0]["item_id"] == "item-6"  # what is not learned yet says nothing
    finally:
        api.delete("/items/new")


def test_only_what_a_table_proposes(api: TestClient) -> None:
    rate(api, 3, 4, 5)
    api.put("/placements/home", json={"sources": ["transitions"]}).raise_for_status()
    assert [item["sources"] for item in shown(api)[:2]] == [["transitions"]] * 2


def test_why_not_knows_tables(api: TestClient) -> None:
    rate(api, 3, 4, 5)
    shown_first = shown(api)[0]
    why = api.get("/users/newcomer/recommendations/explain/item-6?limit=5").json()
    assert (why["stage"], why["rank_by_score"]) == ("shown", 1)
    assert why["score"] == pytest.approx(shown_first["score"], abs=1e-4)
    behind = api.get("/users/newcomer/recommendations/explain/item-2?limit=1").json()
    assert behind["stage"] != "shown"
    assert behind["score"] < behind["score_needed"]


def test_dissimilar_turns_tables(api: TestClient) -> None:
    rate(api, 3, 4, 5)
    api.put("/placements/home", json={"dissimilar": True}).raise_for_status()
    turned = [item["item_id"] for item in shown(api, NEXT.replace("limit=5", "limit=27"))]
    assert turned.index("item-6") > len(turned) / 2
    assert all(not item["reasons"]["because"] for item in shown(api))


def test_similar_items_of_tables(api: TestClient) -> None:
    following, together = (
        [item["item_id"] for item in api.get(f"/items/item-10/similar?limit=4&kind={kind}").json()["items"]]
        for kind in ("next", "together")
    )
    assert following[0] == "item-11"
    assert {"item-9", "item-11"} <= set(together)
    # `biases` has no vectors of items, so what is chosen together is all that the blend has.
    by_default = api.get("/items/item-10/similar?limit=4").json()
    assert by_default["kind"] == "blend"
    assert {"item-9", "item-11"} <= {item["item_id"] for item in by_default["items"]}
    assert all(item["contributions"].keys() == {"together"} for item in by_default["items"])


def test_home_and_mixes(api: TestClient) -> None:
    rate(api, 3, 4, 5)
    rows = api.get("/users/newcomer/home").raise_for_status().json()["rows"]
    assert rows[0]["items"][0]["item_id"] == "item-6"
    listed = [item["item_id"] for row in rows for item in row["items"]]
    assert len(listed) == len(set(listed))
    assert api.get("/users/newcomer/mixes").status_code == 200
