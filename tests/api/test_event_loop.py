"""What touches a database on the event loop, where a slow one would hold up every request of the process."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.serving import work_threads
from app.settings import Settings
from app.store import Store
from app.store.dialect import PointRead
from app.store.serving_reads import HISTORY, INTERACTIONS, SCALE, USER, VERSIONS
from tests.support.keys import bearer, made_key, stored_key
from tests.support.statements import Statements

POINT_READS = (VERSIONS, HISTORY, SCALE, USER, INTERACTIONS)
NAMES = {
    "user_id": "user-0",
    "guest_id": "guest",
    "item_id": "item-1",
    "event_id": "e-1",
    "chart": "trending",
    "name": "home",
    "erasure_id": "latest",
    "key_id": "4f1d09c2ab77",
}
RATED = [{"item_id": "item-1", "value": 4}]
BODIES: dict[str, dict[str, Any]] = {
    "POST /ratings": {"user_id": "user-1", "item_id": "item-2", "value": 3},
    "POST /ratings/batch": {"ratings": [{"user_id": "user-2", "item_id": "item-2", "value": 3}]},
    "POST /events": {"events": [{"event_id": "1", "type": "clicked", "user_id": "user-0", "item_id": "item-3"}]},
    "POST /recommendations": {"ratings": RATED},
    "POST /recommendations/batch": {"user_ids": ["user-0", "user-1"]},
    "POST /rankings": {"ratings": RATED, "item_ids": ["item-3", "item-4"]},
    "POST /search": {"query": "item", "fields": ["title,attributes.price"]},
    "POST /predictions": {"pairs": [{"user_id": "user-0", "item_id": "item-3"}]},
    "POST /placements/{name}/preview": {"user_id": "user-0"},
    "PUT /event-types/{name}": {"weight": 1},
    "POST /items/batch": {"items": [{"item_id": "item-1"}]},
    "POST /users/batch": {"users": [{"user_id": "user-0"}]},
    "POST /keys": {"scopes": ["training"]},
    "POST /tokens": {"user_id": "user-0"},
}
DELETING_LAST = ("GET", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    return Statements(monkeypatch)


@pytest.fixture
def api(statements: Statements, trained_url: str, tmp_path: Path) -> Iterator[TestClient]:  # noqa: ARG001  it comes first
    """As `trained`, its connections opened after `statements` began to look."""
    settings = Settings(database_url=trained_url, data_dir=tmp_path, snapshot_poll_seconds=0.05)
    store = Store.open(trained_url, tmp_path)
    key = stored_key(store, "admin")
    store.api_keys.add(replace(made_key("training")[1], key_id=NAMES["key_id"]))
    store.close()
    with TestClient(create_app(settings), headers=bearer(key)) as opened:
        yield opened


def is_of(statement: str, read: PointRead) -> bool:
    """Whether it is the point read, its parameter filled in."""
    before, _, after = read.statement.partition("?")
    return statement.startswith(before) and statement.endswith(after)


def ask_everything(api: TestClient) -> Iterator[tuple[str, int]]:
    """Every operation of the OpenAPI document, twice where it changes nothing: (operation, status)."""
    job_id = api.post("/training-jobs", json={}).json()["job_id"]
    api.post("/events", json=BODIES["POST /events"])  # so that user-0 has a profile, too
    api.put("/users/guest", json={"country": "FI"})
    api.put("/users/gone", json={})
    api.delete("/users/gone")
    store = api.app.state.service.store  # type: ignore[attr-defined]  # an application
    store.imports.finish(store.imports.begin("ratings.csv"), "succeeded", {})
    for settings in ({"diversity": 0.1}, {"diversity": 0.2}):
        api.put(f"/placements/{NAMES['name']}", json=settings)
    paths = api.get("/openapi.json").json()["paths"]
    operations = [(method.upper(), path) for path, each in paths.items() for method in each]
    for method, path in sorted(operations, key=lambda each: DELETING_LAST.index(each[0])):
        operation = f"{method} {path}"
        url = path.format(
            **NAMES, job_id=job_id, import_id="latest", number="1", version="latest" if method == "POST" else "1"
        )
        for _ in range(2 if method == "GET" else 1):
            answer = api.request(method, url, json=None if method == "GET" else BODIES.get(operation, {}))
            yield operation, answer.status_code


def test_only_point_reads(api: TestClient, statements: Statements) -> None:
    """Of SQLite, which answers them in 10 us; Postgres never holds up the loop."""
    assert api.portal is not None
    api.get("/users/user-0/recommendations")  # the loop's own connection is opened and set up
    with statements.of_thread(api.portal.call(threading.get_ident)):
        for operation, status in ask_everything(api):
            assert 200 <= status < 300, (operation, status)
            on_loop, statements.through_driver = statements.through_driver, []
            assert statements.through_engine == [], operation
            assert [each for each in on_loop if not any(is_of(each, read) for read in POINT_READS)] == [], operation


@pytest.mark.parametrize("trained_url", ["sqlite"], indirect=True)
def test_number_of_point_reads(api: TestClient, statements: Statements) -> None:
    """The versions, and what changed since the snapshot; nothing more for an answer that is remembered."""
    assert api.portal is not None
    api.get("/users/user-1/recommendations")
    api.post("/ratings", json=BODIES["POST /ratings"])
    n_reads = []
    with statements.of_thread(api.portal.call(threading.get_ident)):
        for _ in range(2):
            api.get("/users/user-1/recommendations")
            n_reads.append(len(statements.through_driver))
            statements.through_driver.clear()
    assert n_reads == [2, 1]


@pytest.mark.parametrize("trained_url", ["sqlite"], indirect=True)
def test_same_answers_in_threads(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the work of an answer runs on the loop or in a thread."""
    on_loop = lists_of(api)
    monkeypatch.setattr(work_threads, "MAX_ON_LOOP_MICROSECONDS", -1.0)
    assert lists_of(api) == on_loop


def lists_of(api: TestClient) -> list[Any]:
    """The items of lists of all kinds, none of them remembered."""
    api.put("/items/item-1", json={"title": "One more"})  # whatever was remembered is not
    url = "/users/user-0/recommendations"
    answers = [
        api.get(url, params={"explain": True, "filter": 'title contains "item"', "boost": '"even" in categories -> 2'}),
        api.get(f"{url}/explain/item-3"),
        api.get("/items/item-1/similar", params={"user_id": "user-0", "filter": 'title contains "item"'}),
        api.post("/recommendations", json=BODIES["POST /recommendations"] | {"explain": True}),
        api.post("/recommendations/batch", json=BODIES["POST /recommendations/batch"]),
        api.post("/rankings", json=BODIES["POST /rankings"] | {"explain": True}),
        api.post("/search", json=BODIES["POST /search"]),
        api.post("/placements/home/preview", json={"user_id": "user-0", "settings": {"filter": 'nothing = "x"'}}),
        api.get(url, params={"category": ["evn", "evenn"]}),
        api.get(url, params={"filter": "nowhere = 1"}),
    ]
    return [without_ids(answer.json()) for answer in answers]


def without_ids(answer: Any) -> Any:
    """The answer without what differs from one request to the next."""
    if isinstance(answer, dict):
        own = {"recommendation_id", "next_cursor", "request_id"}
        return {name: without_ids(value) for name, value in answer.items() if name not in own}
    return [without_ids(each) for each in answer] if isinstance(answer, list) else answer
