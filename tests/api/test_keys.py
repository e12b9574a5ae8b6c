"""Keys and user tokens over the API, and the audit log of administrative acts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from tests.support.keys import SHOP, GuardedApp, bearer

PAGE = {"scopes": ["recommendations:read"], "origins": [SHOP]}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedApp]:
    opened = GuardedApp(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


def test_create_use_revoke(guarded: GuardedApp) -> None:
    admin = bearer(guarded.key("admin"))
    body = {"scopes": ["console"], "note": "board", "expires_in": 60, "rate_limit": "9/day"}
    made = guarded.client.post("/keys", json=body, headers=admin)
    assert made.status_code == 201
    key = made.json()
    assert (key["scopes"], key["note"], key["rate_limit"]) == (["console"], "board", "9/day")
    assert guarded.client.get("/counts", headers=bearer(key["key"])).status_code == 200
    listed = guarded.client.get("/keys", headers=admin)
    assert key["key_id"] in {each["key_id"] for each in listed.json()["keys"]}
    assert key["key"] not in listed.text
    for _ in range(2):
        assert guarded.client.delete(f"/keys/{key['key_id']}", headers=admin).status_code == 204
    assert guarded.client.get("/counts", headers=bearer(key["key"])).status_code == 401
    assert guarded.client.delete("/keys/000000000000", headers=admin).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": ["console"], "rate_limit": "x"},
        {"scopes": ["console"], "expires_in": 0},
        {"scopes": ["console"], "origins": [SHOP]},
        {"scopes": ["console"], "tenant": "other"},
    ],
)
def test_refused(guarded: GuardedApp, body: object) -> None:
    assert guarded.client.post("/keys", json=body, headers=bearer(guarded.key("admin"))).status_code == 422


def test_not_the_first(guarded: GuardedApp) -> None:
    """Any page that reaches an open service could close it for its owner."""
    assert guarded.client.post("/keys", json={"scopes": ["admin"]}).status_code == 409
    assert guarded.client.get("/keys").json() == {"keys": []}


def test_keys_of_another_catalogue(guarded: GuardedApp) -> None:
    """The key of an administrator selects the catalogue whose keys it manages."""
    guarded.tenant("shop")
    of_main, of_shop = guarded.key("admin"), bearer(guarded.key("admin", tenant="shop"))
    made = guarded.client.post("/keys", json={"scopes": ["admin"]}, headers=of_shop).json()
    assert guarded.store.api_keys.get(made["key_id"]).tenant == "shop"
    listed = guarded.client.get("/keys", headers=bearer(of_main)).json()["keys"]
    assert [each["key_id"] for each in listed] == [of_main[3:15]]
    assert guarded.client.delete(f"/keys/{of_main[3:15]}", headers=of_shop).status_code == 404


def test_user_token(guarded: GuardedApp) -> None:
    admin, backend = bearer(guarded.key("admin")), bearer(guarded.key("recommendations:read"))
    page = bearer(guarded.client.post("/keys", json=PAGE, headers=admin).json()["key"]) | {"origin": SHOP}
    made = guarded.client.post("/tokens", json={"user_id": "ann"}, headers=backend)
    assert made.status_code == 201
    page["x-user-token"] = made.json()["user_token"]
    assert guarded.client.get("/users/ann/recommendations", headers=page).status_code == 200
    assert guarded.client.get("/users/bob/recommendations", headers=page).status_code == 403
    assert guarded.client.post("/tokens", json={"user_id": "bob"}, headers=page).status_code == 403
    longest = {"user_id": "ann", "expires_in": 86_401}
    assert guarded.client.post("/tokens", json=longest, headers=backend).status_code == 422


def test_audit(guarded: GuardedApp) -> None:
    key = guarded.key("admin")
    client, admin = guarded.client, bearer(key)
    made = client.post("/keys", json={"scopes": ["console"]}, headers=admin).json()
    client.delete(f"/keys/{made['key_id']}", headers=admin)
    job = client.post("/training-jobs", json={"seed": 1}, headers=admin).json()
    client.post("/snapshots/7/activate", headers=admin)
    client.put("/placements/home", json={"novelty": 1}, headers=admin)
    client.put("/placements/home", json={"novelty": "much"}, headers=admin)
    client.post("/placements/home/versions/1/restore", headers=admin)
    client.put("/event-types/liked", json={"weight": 1}, headers=admin)
    client.get("/keys", headers=admin)
    client.post("/ratings", json={"user_id": "ann", "item_id": "tea", "value": 5}, headers=admin)
    entries = guarded.store.audit.entries(20)
    assert {entry.actor for entry in entries} == {key[3:15]}
    assert [(entry.action, entry.target, entry.outcome) for entry in reversed(entries)] == [
        ("keys.create", made["key_id"], "succeeded"),
        ("keys.revoke", made["key_id"], "succeeded"),
        ("training.request", job["job_id"], "succeeded"),
        ("snapshots.activate", "7", "not-found"),
        ("placements.put", "home", "succeeded"),
        ("placements.put", "home", "invalid-input"),
        ("placements.restore", "home/1", "succeeded"),
        ("event-types.put", "liked", "succeeded"),
    ]
    (version,) = client.get("/placements/home/versions", headers=admin).json()["versions"]
    assert version["changed_by"] == key[3:15]


def test_audit_of_refusals(guarded: GuardedApp) -> None:
    """Each once a minute; a read that is refused, and a request without a key, are no acts."""
    client, reader = guarded.client, guarded.key("recommendations:read")
    revoked = guarded.key("admin")
    guarded.store.api_keys.revoke(revoked[3:15])
    guarded.app.state.control.keys.refresh()
    for _ in range(3):
        client.delete("/placements/home", headers=bearer(reader))
        client.get("/counts", headers=bearer(reader))
        client.get("/counts", headers=bearer(revoked))
        client.get("/counts", headers=bearer("guess"))
        client.delete("/placements/home")
    client.post("/keys", json={"scopes": ["admin"]}, headers=bearer(reader))
    entries = guarded.store.audit.entries(20)
    assert [(entry.actor, entry.action, entry.target, entry.outcome) for entry in reversed(entries)] == [
        (reader[3:15], "placements.delete", "home", "missing-scope"),
        ("anyone", "authenticate", revoked[3:15], "unauthorized"),
        ("anyone", "authenticate", "no key of this service", "unauthorized"),
        (reader[3:15], "keys.create", "(6 more refusals before)", "missing-scope"),
    ]


def test_audit_of_exports(guarded: GuardedApp) -> None:
    """They do not name the user, of whom nothing would be left otherwise."""
    admin = bearer(guarded.key("admin"))
    guarded.client.put("/users/canary", json={}, headers=admin)
    guarded.client.get("/users/canary/export", headers=admin)
    guarded.client.get("/users/other/export", headers=admin)
    guarded.client.get("/users/canary/export", headers=bearer(guarded.key("console")))
    entries = [(entry.action, entry.target, entry.outcome) for entry in reversed(guarded.store.audit.entries(20))]
    assert entries == [("users.export", "", outcome) for outcome in ("succeeded", "not-found", "missing-scope")]


def test_audit_of_an_open_service(guarded: GuardedApp) -> None:
    guarded.client.delete("/placements/home")
    assert [entry.actor for entry in guarded.store.audit.entries(5)] == ["anyone"]
