"""Who may call which operation."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

import app.main
from app.api.access import IN_BROWSERS, SCHEME, needs, operations_by_scope
from app.api.routing import StrictRoute
from app.auth.rate_limits import FAILED_ATTEMPTS
from app.auth.scopes import SCOPES
from app.main import ROUTERS, create_app
from app.settings import Settings
from app.store import migrate
from tests.support.keys import SHOP, GuardedApp, bearer, made_key

READ, WRITE = "recommendations:read", "ratings:write"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedApp]:
    opened = GuardedApp(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_undeclared_operation_fails() -> None:
    with pytest.raises(TypeError, match="declares no scope"):
        APIRouter(route_class=StrictRoute).get("/new")(lambda: None)
    with pytest.raises(TypeError, match="unknown scope"):
        APIRouter(route_class=StrictRoute).get("/new", openapi_extra=needs("everything"))(lambda: None)  # type: ignore[arg-type]


def test_unchecked_route_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    router = APIRouter()
    router.get("/new")(lambda: None)
    monkeypatch.setattr(app.main, "ROUTERS", [*ROUTERS, router])
    migrate("", tmp_path)
    with pytest.raises(TypeError, match="does not check keys"):
        create_app(Settings(data_dir=tmp_path))


def test_every_operation(guarded: GuardedApp) -> None:
    """Without a key 401, without the scope 403; with it the request gets to the handler. Nothing else is open."""
    other = {scope: guarded.key(scope) for scope in (READ, WRITE, "catalogue:write", "training", "console")}
    client, wrong = guarded.client, []
    for name, operation in operations(client.get("/openapi.json").json()).items():
        method, template = name.split()
        path = re.sub(r"\{[^}]+\}", "1", template)
        scopes = {scope for each in operation["security"] for scope in each[SCHEME]}
        if not scopes:
            assert name in {"GET /livez", "GET /readyz"}
            assert client.get(path).status_code == 200
            continue
        without = client.request(method, path)
        wrong += [(name, "none", without.status_code)] * (without.status_code != 401)
        for scope, text in other.items():
            status = client.request(method, path, headers=bearer(text)).status_code
            wrong += [(name, scope, status)] * ((status == 403) == (scope in scopes))
    assert wrong == []


def test_what_is_open(guarded: GuardedApp) -> None:
    guarded.key("training")
    for path, status in {
        "/livez": 200,
        "/readyz": 200,
        "/docs": 200,
        "/openapi.json": 200,
        "/static/swagger/swagger-ui.css": 200,
        "/static/nothing": 404,
        "/metrics": 401,
        "/nope": 401,
        "/static": 401,
        "/livez/": 401,
        "/docs/x": 401,
    }.items():
        assert guarded.client.get(path).status_code == status, path
    assert guarded.client.head("/items").status_code == 401
    assert guarded.client.options("/items").status_code == 401


def test_details_of_the_probe(guarded: GuardedApp) -> None:
    """Anyone may ask whether the service is ready; what runs there is for operators."""
    details = guarded.client.get("/readyz").json()
    assert details.keys() > {"status", "snapshot_version", "processes", "warnings"}
    guarded.tenant("shop")
    for scope in ("admin", "console"):
        assert guarded.client.get("/readyz", headers=bearer(guarded.key(scope))).json() == details
    for key in (guarded.key(READ), guarded.key("admin", tenant="shop"), made_key("admin")[0], ""):
        assert guarded.client.get("/readyz", headers=bearer(key)).json() == {"status": "ready"}
    assert guarded.client.get("/readyz").json() == {"status": "ready"}


def test_open_service(guarded: GuardedApp) -> None:
    assert guarded.client.get("/items").status_code == 200
    assert guarded.client.get("/metrics", headers=bearer("nonsense")).status_code == 200


def test_required_keys(tmp_path: Path) -> None:
    guarded = GuardedApp(Settings(data_dir=tmp_path, require_keys=True))
    assert guarded.client.get("/items").status_code == 401
    guarded.close()


def test_one_refusal(guarded: GuardedApp) -> None:
    """The same body for every key that is not valid, and for none."""
    good = guarded.key("console")
    revoked = guarded.key("console")
    guarded.store.api_keys.revoke(revoked[3:15])
    guarded.app.state.control.keys.refresh()
    answers = [guarded.client.get("/counts")]
    wrong = (made_key("console")[0], good[:-1] + "!", revoked, "", good[3:])
    answers += [guarded.client.get("/counts", headers=bearer(text)) for text in wrong]
    answers.append(guarded.client.get("/counts", headers={"authorization": f"Basic {good}"}))
    answers.append(guarded.client.get("/counts", params={"api_key": good}))
    bodies = {str({**answer.json(), "request_id": ""}) for answer in answers}
    assert len(bodies) == 1
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Bearer realm="Reckon"'}
    assert guarded.client.get("/counts", headers={"authorization": f"bearer  {good} "}).status_code == 200


def test_missing_scope_is_named(guarded: GuardedApp) -> None:
    problem = guarded.client.post("/training-jobs", headers=bearer(guarded.key(READ))).json()
    assert (problem["type"], problem["status"]) == ("urn:reckon:problem:missing-scope", 403)
    assert "training" in problem["detail"]


def test_large_body_without_key(guarded: GuardedApp) -> None:
    """It is refused by its headers."""
    guarded.key("training")
    assert guarded.client.post("/ratings", content=b" " * (2 << 20)).status_code == 401


def test_rate_limit(guarded: GuardedApp) -> None:
    key = bearer(guarded.key("console", rate_limit="3/day"))
    statuses = [guarded.client.get("/counts", headers=key).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    refused = guarded.client.get("/counts", headers=key)
    assert refused.json()["type"] == "urn:reckon:problem:rate-limited"
    assert int(refused.headers["retry-after"]) > 0
    assert guarded.client.get("/counts", headers=bearer(guarded.key("console"))).status_code == 200


def test_guessing(guarded: GuardedApp) -> None:
    """Too many keys that are not valid: 429 for others, and never for a valid key."""
    key = bearer(guarded.key("console"))
    n_refused = 0
    while (status := guarded.client.get("/counts", headers=bearer("guess")).status_code) == 401:
        n_refused += 1
        assert n_refused <= 2 * FAILED_ATTEMPTS.amount  # twice where a new minute begins in between
    assert status == 429
    assert n_refused >= FAILED_ATTEMPTS.amount
    assert guarded.client.get("/counts", headers=key).status_code == 200


class Page:
    """A page of the shop with a browser key, for one user."""

    def __init__(self, guarded: GuardedApp, user_id: str = "ann", *scopes: str) -> None:
        control = guarded.app.state.control
        held = control.keys.get(guarded.key(*(scopes or (READ, WRITE)))[3:15])
        self.client = guarded.client
        self.key = guarded.key(READ, WRITE, origins=[SHOP])
        self.headers = bearer(self.key) | {"origin": SHOP}
        self.headers["x-user-token"] = control.user_tokens.make(held.caller, user_id, 60)[0]

    def call(self, method: str, path: str, body: object = None, **headers: str) -> int:
        sent = {name: value for name, value in (self.headers | headers).items() if value}
        return int(self.client.request(method, path, json=body, headers=sent).status_code)


def event(user_id: str) -> dict[str, Any]:
    return {"event_id": f"e-{user_id}", "type": "clicked", "user_id": user_id, "item_id": "tea"}


def test_page_of_a_user(guarded: GuardedApp) -> None:
    page = Page(guarded)
    assert page.call("POST", "/ratings", {"user_id": "ann", "item_id": "tea", "value": 5}) == 201
    assert page.call("POST", "/events", {"events": [event("ann")]}) == 200
    for path in (
        "/users/ann/recommendations",
        "/users/ann/home",
        "/users/ann/mixes",
        "/items/tea/similar",
        "/items/tea/similar?user_id=ann",
        "/charts/popular",
    ):
        assert page.call("GET", path) == 200, path
    assert page.call("POST", "/search", {"query": "tea", "user_id": "ann"}) == 200
    assert page.call("POST", "/recommendations", {"user_id": None, "limit": 3}) == 200
    assert page.call("DELETE", "/users/ann/ratings/tea") == 204


def test_token_of_a_merged_guest(guarded: GuardedApp) -> None:
    """It neither reads nor changes what the user rated."""
    page, admin = Page(guarded, "guest"), bearer(guarded.key("admin"))
    guest_rating = {"user_id": "guest", "item_id": "tea", "value": 1, "rated_at": "2020-01-01T00:00:00Z"}
    assert page.call("POST", "/ratings", guest_rating) == 201
    guarded.client.post("/users/ann/merge/guest", headers=admin)
    guarded.client.post("/ratings", json={"user_id": "ann", "item_id": "tea", "value": 5}, headers=admin)
    assert page.call("POST", "/ratings", guest_rating) == 401
    assert page.call("DELETE", "/users/guest/ratings/tea") == 401
    (rating,) = guarded.client.get("/users/ann/ratings", headers=admin).json()["ratings"]
    assert rating["value"] == 5
    # A backend may deliver late what the guest did.
    assert guarded.client.post("/ratings", json=guest_rating, headers=admin).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/users/bob/recommendations", None),
        ("GET", "/users/%62ob/recommendations", None),
        ("GET", "/users/bob/home", None),
        ("GET", "/items/tea/similar?user_id=bob", None),
        ("GET", "/items/tea/similar?user_id=ann&user%5Fid=bob", None),
        ("POST", "/ratings", {"user_id": "bob", "item_id": "tea", "value": 5}),
        ("POST", "/events", {"events": [event("ann"), event("bob")]}),
        ("POST", "/search", {"query": "tea", "user_id": "bob"}),
        ("POST", "/search", {"query": "tea", "user_id": 7}),
        ("POST", "/recommendations", {"user_id": "bob"}),
        ("DELETE", "/users/bob/ratings/tea", None),
        # Who made an item.
        ("GET", "/users/ann/recommendations?fields=title,created%5Fby", None),
        ("GET", "/users/ann/recommendations?filter=created_by%20%3D%20%22bob%22", None),
        ("GET", "/users/ann/home?fields=title&fields=created_by", None),
        ("GET", "/items/tea/similar?fields=created_by", None),
        ("GET", "/charts/popular?filter=created_by%20%3D%20%22bob%22", None),
        ("POST", "/search", {"query": "tea", "fields": ["title", "created_by"]}),
        ("POST", "/recommendations", {"boost": 'created_by = "bob" -> 2'}),
        # Not for pages at all.
        ("GET", "/users/ann", None),
        ("GET", "/users/ann/ratings", None),
        ("DELETE", "/users/ann", None),
        ("POST", "/users/ann/merge/bob", None),
        ("POST", "/recommendations/batch", {"user_ids": ["ann"]}),
        ("POST", "/ratings/batch", {"ratings": []}),
        ("GET", "/items", None),
        ("GET", "/counts", None),
        ("POST", "/training-jobs", None),
    ],
)
def test_page_and_others(guarded: GuardedApp, method: str, path: str, body: object) -> None:
    assert Page(guarded).call(method, path, body) == 403


def test_repeated_user_in_a_body(guarded: GuardedApp) -> None:
    page = Page(guarded)
    content = b'{"user_id": "bob", "user_id": "ann", "item_id": "tea", "value": 5}'
    headers = page.headers | {"content-type": "application/json"}
    assert guarded.client.post("/ratings", content=content, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 422), (b'{"user_id": "ann"} x', 422), (b"[" * 100_000, 400), (b"\xff", 422)],  # 400: see `json_limits.py`
)
def test_page_sends_no_json(guarded: GuardedApp, content: bytes, status: int) -> None:
    headers = Page(guarded).headers | {"content-type": "application/json"}
    assert guarded.client.post("/ratings", content=content, headers=headers).status_code == status


def test_normal_form_of_a_user(guarded: GuardedApp) -> None:
    page = Page(guarded, "\u00e5sa")
    assert page.call("GET", "/users/a%CC%8Asa/recommendations") == 200


def test_page_needs_origin_and_token(guarded: GuardedApp) -> None:
    page = Page(guarded)
    path = "/users/ann/recommendations"
    assert page.call("GET", path, origin="") == 403
    assert page.call("GET", path, origin="https://evil.example.com") == 403
    assert page.call("GET", path, **{"x-user-token": ""}) == 401
    assert page.call("GET", path, **{"x-user-token": "ut_x"}) == 401
    secret = bearer(guarded.key(READ))
    assert guarded.client.get(path, headers=secret | {"x-user-token": "ut_x"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "shop.example.com", "sec-fetch-site": "same-origin"}, 200),
        ({"host": "Shop.example.com", "sec-fetch-site": "same-origin"}, 200),
        # Pages elsewhere, and no page at all.
        ({"host": "shop.example.com", "sec-fetch-site": "same-site"}, 403),
        ({"host": "shop.example.com", "sec-fetch-site": "cross-site"}, 403),
        ({"host": "shop.example.com", "sec-fetch-site": "none"}, 403),
        ({"host": "shop.example.com"}, 403),
        ({"host": "localhost", "sec-fetch-site": "same-origin"}, 403),
        ({"host": "shop.example.com:8443", "sec-fetch-site": "same-origin"}, 403),
        ({"host": "shop.example.com", "sec-fetch-site": "same-origin", "origin": "null"}, 403),
        # A page whose name leads here.
        ({"host": "evil.example.com", "sec-fetch-site": "same-origin"}, 421),
    ],
)
def test_page_of_the_same_origin(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """Browsers send no `Origin` with a GET to the origin of the page."""
    guarded = GuardedApp(Settings(data_dir=tmp_path, allowed_hosts="shop.example.com"))
    page = Page(guarded)
    assert page.call("GET", "/users/ann/recommendations", **{"origin": "", **headers}) == status
    guarded.close()


def test_token_of_a_reader(guarded: GuardedApp) -> None:
    """A key that cannot write makes tokens that cannot write."""
    page = Page(guarded, "ann", READ)
    assert page.call("GET", "/users/ann/recommendations") == 200
    assert page.call("POST", "/ratings", {"user_id": "ann", "item_id": "tea", "value": 5}) == 403


def test_limit_of_each_user(guarded: GuardedApp) -> None:
    page = Page(guarded)
    page.key = guarded.key(READ, origins=[SHOP], rate_limit="2/day")
    page.headers |= bearer(page.key)
    assert [page.call("GET", "/charts/popular") for _ in range(3)] == [200, 200, 429]
    page.headers["x-user-token"] = Page(guarded, "bob").headers["x-user-token"]
    assert page.call("GET", "/charts/popular") == 200


def test_preflight(guarded: GuardedApp) -> None:
    """Of the origins of valid browser keys, and of no other."""
    page = Page(guarded)
    asked = {"access-control-request-method": "GET", "access-control-request-headers": "authorization,x-user-token"}
    allowed = guarded.client.options("/users/ann/recommendations", headers=asked | {"origin": SHOP})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, SHOP)
    assert "x-user-token" in allowed.headers["access-control-allow-headers"]
    other = guarded.client.options("/users/ann/recommendations", headers=asked | {"origin": "https://evil.example.com"})
    assert "access-control-allow-origin" not in other.headers
    refused = guarded.client.get("/counts", headers=page.headers)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (403, SHOP)
    guarded.store.api_keys.revoke(page.key[3:15])
    guarded.app.state.control.keys.refresh()
    late = guarded.client.options("/users/ann/recommendations", headers=asked | {"origin": SHOP})
    assert "access-control-allow-origin" not in late.headers


DOCS = Path(__file__).parents[2] / "docs" / "keys.md"


def test_documented_scopes(guarded: GuardedApp) -> None:
    """The table of docs/keys.md is that of the code."""
    table = DOCS.read_text().split("test_access.py -->\n")[1].split("<!-- end")[0]
    assert table.strip() == scope_table(guarded.client.get("/openapi.json").json())


def scope_table(document: dict[str, Any]) -> str:
    """A row for each scope: what it allows, its operations, and those that browser keys may call."""
    by_scope = operations_by_scope(operations(document).items())
    pages = {name for name, operation in operations(document).items() if operation.get(IN_BROWSERS)}
    meanings: dict[str, str] = {"": "ask whether the service runs"} | {
        str(name): meaning for name, meaning in SCOPES.items()
    }
    rows = ["| scope | allows to | operations (* with a browser key, for one user) |", "|---|---|---|"]
    for scope, names in by_scope.items():
        listed = ", ".join(f"`{name}`{'*' if name in pages else ''}" for name in names)
        title = f"`{scope}`" if scope else "none"
        rows.append(f"| {title} | {meanings[scope]} | {listed} |")
    return "\n".join(rows)
