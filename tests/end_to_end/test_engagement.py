"""What is shown and declined, from training to the answer, and from the next event to the next answer."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.entities import Item, User
from app.main import create_app
from app.settings import Settings
from tests.support.interactions import record_interactions
from tests.support.published import opened_shop
from tests.support.pushed import N_ITEMS, N_KINDS, N_USERS, pushed_events, suitable_ratings
from tests.support.ratings import incoming

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Trained once for all tests here."""
    folder = tmp_path_factory.mktemp("engagement")
    items, users = [Item(f"i{item}") for item in range(N_ITEMS)], [User(f"u{user}") for user in range(N_USERS)]
    with opened_shop(folder, incoming(*suitable_ratings()), items=items, users=users) as shop:
        record_interactions(shop.store, pushed_events())
        assert shop.train().manifest.segment("engagement") is not None
    with TestClient(create_app(Settings(data_dir=folder, snapshot_poll_seconds=0.05))) as opened:
        yield opened


def send(client: TestClient, user_id: str, **items: list[int]) -> None:
    """Events of the type that a list of items is named by."""
    happened = [
        {"event_id": f"{user_id}-{kind}-{item}", "type": kind, "user_id": user_id, "item_id": f"i{item}"}
        for kind, listed in items.items()
        for item in listed
    ]
    assert client.post("/events", json={"events": happened}).json()["stored"] == len(happened)


def recommended(client: TestClient, user_id: str) -> Any:
    asked = {"limit": 100, "explain": True}
    return client.get(f"/users/{user_id}/recommendations", params=asked).raise_for_status().json()


def engagement(item: Any) -> Any:
    return next(each["score"] for each in item["reasons"]["segments"] if each["segment"] == "engagement")


def mean_of_kind(answer: Any, kind: int) -> float:
    scores = [engagement(item) for item in answer["items"] if int(item["item_id"][1:]) % N_KINDS == kind]
    return float(np.mean(scores))


def test_declined_sinks_with_its_like(client: TestClient) -> None:
    """Of two kinds clicked alike, the one that was declined more often engages less."""
    first, second = (list(range(kind, N_ITEMS, N_KINDS)) for kind in (0, 1))
    send(client, "new", shown=[*first[:3], *second[:3]], clicked=[*first[:3], *second[:3]])
    before = recommended(client, "new")
    send(client, "new", shown=second[3:15])
    after = recommended(client, "new")
    assert (before["strategy"], after["strategy"]) == ("fold_in", "fold_in")
    gap_before, gap_after = (mean_of_kind(answer, 0) - mean_of_kind(answer, 1) for answer in (before, after))
    assert gap_after > gap_before + 0.2


def test_answer_tells_what_engaged(client: TestClient) -> None:
    answer = recommended(client, "u0")
    assert answer["strategy"] == "personalized"
    item = answer["items"][0]
    assert sum(each["score"] for each in item["reasons"]["segments"]) == pytest.approx(item["score"], abs=1e-3)
    assert engagement(item) > 0
    assert item["reasons"]["because"]
