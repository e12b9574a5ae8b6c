"""New items and users, known by their features alone, through the API, on SQLite."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.entities import Item, User
from app.main import create_app
from app.settings import Settings
from tests.support.published import Shop, opened_shop
from tests.support.ratings import incoming

N_EACH = 20
CATEGORIES = ("Sci-Fi, Fantasy", "🎬 drama")


def camps() -> Any:
    """Two camps of users, by country; each rates and likes its own half of the items, and rates some of the other."""
    rows = []
    for user in range(80):
        camp = user % 2
        own = [(user * 3 + 2 * n) % (2 * N_EACH) // 2 * 2 + camp for n in range(10)]
        other = [(user * 5 + 2 * n) % (2 * N_EACH) // 2 * 2 + 1 - camp for n in range(4)]
        rows += [(f"user-{user}", f"item-{item}", 4 + item // 2 % 2, n) for n, item in enumerate(dict.fromkeys(own))]
        rows += [(f"user-{user}", f"item-{item}", 1 + item // 2 % 2, n) for n, item in enumerate(dict.fromkeys(other))]
    return incoming(*rows)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    items = [Item(f"item-{n}", categories=(CATEGORIES[n % 2],), year=1980 + n) for n in range(2 * N_EACH)]
    users = [User(f"user-{n}", country="FI" if n % 2 else "SE", attributes={"age": 20 + n}) for n in range(80)]
    folder = tmp_path_factory.mktemp("cold")
    with opened_shop(folder, camps(), items=items, users=users) as opened:
        assert opened.train().manifest.reason is None
        yield opened


@pytest.fixture(scope="module")
def api(shop: Shop) -> Iterator[TestClient]:
    folder = shop.trainer.publisher.data_dir
    settings = Settings(data_dir=folder, database_url="", snapshot_poll_seconds=0.05)
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        yield opened


def recommended(api: TestClient, user_id: str, limit: int = 100) -> dict[str, Any]:
    answer: dict[str, Any] = api.get(f"/users/{user_id}/recommendations?limit={limit}").json()
    return answer


def places(answer: dict[str, Any]) -> dict[str, int]:
    return {item["item_id"]: place for place, item in enumerate(answer["items"])}


def put(api: TestClient, path: str, **body: object) -> None:
    answer = api.put(path, json=body)
    assert answer.status_code in {200, 201}, answer.json()


def test_new_items_by_category(api: TestClient) -> None:
    """At once, without a new snapshot; for each camp the right one before the disliked and the unknown one."""
    for camp, category in enumerate(CATEGORIES):
        put(api, f"/items/new-{camp}", title="New", categories=[category], year=2000)
    put(api, "/items/new-bare", title="Unknown")
    for camp in range(2):
        answer = recommended(api, f"user-{camp}")
        assert (answer["strategy"], answer["snapshot_version"]) == ("personalized", 1)
        place = places(answer)
        assert place[f"new-{camp}"] < min(place[f"new-{1 - camp}"], place["new-bare"])
        assert place[f"new-{camp}"] < len(place) / 2


def test_users_by_attributes(api: TestClient) -> None:
    """A newcomer of whom the country is known gets what that camp likes."""
    for camp, country in enumerate(("SE", "FI")):
        put(api, f"/users/newcomer-{camp}", country=country, attributes={"age": 30})
        answer = recommended(api, f"newcomer-{camp}", 10)
        assert answer["strategy"] == "profile"
        own = [item for item in places(answer) if item.startswith("item-") and int(item[5:]) % 2 == camp]
        assert len(own) >= 8


def test_attributes_are_read_anew(api: TestClient) -> None:
    put(api, "/users/moves", country="SE", attributes={"age": 30})
    before = places(recommended(api, "moves", 10))
    put(api, "/users/moves", country="FI", attributes={"age": 30})
    assert places(recommended(api, "moves", 10)) != before


@pytest.mark.parametrize(
    "body",
    [{}, {"country": "🏴"}, {"attributes": {"never seen": ["x"]}}, {"country": "sci-fi, fantasy"}],
)
def test_unheard_of_attributes(api: TestClient, body: dict[str, object]) -> None:
    """As an unknown user: what is popular."""
    put(api, "/users/stranger", **body)
    answer = recommended(api, "stranger", 10)
    assert answer["strategy"] == "popular"
    assert answer["items"] == recommended(api, "nobody", 10)["items"]


def test_attribute_of_another_kind(api: TestClient) -> None:
    put(api, "/users/odd", country="FI", attributes={"age": "old"})
    assert recommended(api, "odd")["strategy"] == "profile"
    put(api, "/items/odd", title="Odd", categories=[CATEGORIES[0], "unheard of"], year=-10_000)
    assert "odd" in places(recommended(api, "nobody"))


def test_first_rating_folds_in(api: TestClient) -> None:
    put(api, "/users/begins", country="FI", attributes={"age": 30})
    assert recommended(api, "begins")["strategy"] == "profile"
    api.post("/ratings", json={"user_id": "begins", "item_id": "item-0", "value": 5})
    answer = recommended(api, "begins")
    assert answer["strategy"] == "fold_in"
    assert "item-0" not in places(answer)


def test_only_new_items_rated(api: TestClient) -> None:
    """Nothing to fold in, as the snapshot has not learned the item: by attributes still."""
    put(api, "/items/brand-new", title="Brand new", categories=[CATEGORIES[0]])
    put(api, "/users/early", country="FI")
    api.post("/ratings", json={"user_id": "early", "item_id": "brand-new", "value": 5})
    answer = recommended(api, "early")
    assert answer["strategy"] == "profile"
    assert "brand-new" not in places(answer)


def test_card_says_why(api: TestClient) -> None:
    card = api.get("/snapshots/1").json()["card"]
    assert any(choice.startswith("rating by ") and "RMSE" in choice for choice in card["choices"])
    assert any(choice.startswith("taste by ") and "nDCG@10" in choice for choice in card["choices"])
    assert card["reason"] is None


def test_predictions_stay_on_the_scale(api: TestClient) -> None:
    for user_id in ("user-0", "newcomer-0", "nobody"):
        assert all(1 <= item["predicted_rating"] <= 5 for item in recommended(api, user_id)["items"])
