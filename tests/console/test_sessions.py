"""Who may use the console, and what of another page, origin or session is refused."""

import base64
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.auth import console_sessions
from app.console.rendering import SECTIONS
from app.errors import OverloadedError
from app.settings import Settings
from app.store import Store
from app.tenancy.open_services import OpenServices
from tests.support.console import Console, text_of
from tests.support.keys import GuardedApp

COOKIE = "reckon_session"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedApp]:
    opened = GuardedApp(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def closed(guarded: GuardedApp) -> Iterator[Console]:
    """A console with keys: nobody is logged in."""
    guarded.key("admin")
    opened = Console(guarded.app)
    with opened.client:
        yield opened


def test_open_while_there_is_no_key(empty: Console) -> None:
    got = empty.get("/")
    assert got.status_code == 200
    assert "HttpOnly; SameSite=Lax" in got.headers["set-cookie"]
    assert "set-cookie" not in empty.get("/").headers  # the browser has it now


def test_headers(empty: Console) -> None:
    for path in ("/", "/console/nothing"):
        headers = empty.get(path).headers
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        assert {"frame-ancestors 'none'", "default-src 'none'"} <= set(policy.split("; "))
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", [each.path for each in SECTIONS])
def test_log_in_first(closed: Console, path: str) -> None:
    got = closed.get(f"{path}?q=a%26b")
    assert (got.status_code, got.text) == (303, "")
    assert got.headers["location"].startswith("/console/login?next=")
    # A part of a page is no place for the page to log in; what was typed into the page stays.
    partial = closed.get(path, headers={"hx-request": "true"})
    assert (partial.status_code, "Your session has ended" in partial.text) == (401, True)


def test_log_in(guarded: GuardedApp, closed: Console) -> None:
    key = guarded.key("console")
    assert closed.log_in(key).headers["location"] == "/"
    assert closed.get("/").status_code == 200
    assert closed.post("/console/logout").status_code == 303
    assert closed.get("/").status_code == 303


def test_back_to_what_was_asked_for(guarded: GuardedApp, closed: Console) -> None:
    asked = closed.get("/console?x=1").headers["location"]
    assert 'name="next" value="/console?x=1"' in closed.page(asked)
    got = closed.post("/console/login", {"key": guarded.key("admin"), "next": "/console?x=1"})
    assert got.headers["location"] == "/console?x=1"


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/console/\\..", "/docs", "/console/\r\nx", ""],
)
def test_nowhere_else(guarded: GuardedApp, closed: Console, target: str) -> None:
    got = closed.post("/console/login", {"key": guarded.key("admin"), "next": target})
    assert (got.status_code, got.headers["location"]) == (303, "/")


@pytest.mark.parametrize("scopes", [["recommendations:read"], ["training", "ratings:write", "catalogue:write"]])
def test_key_of_no_operator(guarded: GuardedApp, closed: Console, scopes: list[str]) -> None:
    got = closed.log_in(guarded.key(*scopes))
    assert (got.status_code, "scope console or admin" in got.text) == (403, True)
    assert closed.get("/").status_code == 303


@pytest.mark.parametrize(
    "key", ["", "x", "rk_4f1d09c2ab77_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE0000000", "é" * 64]
)
def test_wrong_key(closed: Console, key: str) -> None:
    got = closed.log_in(key)
    assert (got.status_code, "no valid API key" in got.text) == (401, True)
    assert "EXAMPLE" not in got.text


def test_many_wrong_keys(closed: Console) -> None:
    statuses = {closed.log_in(f"wrong {n}").status_code for n in range(40)}
    assert statuses == {401, 429}


def test_revoked(guarded: GuardedApp, closed: Console) -> None:
    key = guarded.key("admin")
    closed.log_in(key)
    assert closed.get("/").status_code == 200
    guarded.store.api_keys.revoke(key[3:15])
    guarded.app.state.control.keys.refresh()
    assert closed.get("/").status_code == 303


def test_session_of_an_open_service(guarded: GuardedApp) -> None:
    """The first key closes the console, also for those who look at it."""
    opened = Console(guarded.app)
    with opened.client:
        assert opened.get("/").status_code == 200
        guarded.key("admin")
        assert opened.get("/").status_code == 303


def test_ended(guarded: GuardedApp, closed: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_sessions, "SECONDS", -1)
    closed.log_in(guarded.key("admin"))
    assert closed.get("/").status_code == 303


SCALE = "/console/data/scale"


def test_typed_before_the_end(guarded: GuardedApp, closed: Console) -> None:
    """A form of an ended session comes back, and is sent once the operator has logged in."""
    got = closed.client.post(SCALE, data={"form_token": "old", "scale": '1:10"><script>'})
    assert (got.status_code, "Your session has ended" in got.text) == (401, True)
    assert 'name="scale" value="1:10&#34;&gt;&lt;script&gt;"' in got.text
    assert f'<form method="post" action="{SCALE}">' in got.text
    assert 'value="old"' not in got.text
    closed.log_in(guarded.key("admin"))
    again = closed.client.post(SCALE, data={"form_token": "old", "scale": "1:10"})
    assert (again.status_code, "Send this form again?" in again.text) == (403, True)
    assert f'name="form_token" value="{closed.token()}"' in again.text
    assert 'name="scale" value="1:10"' in again.text
    assert closed.done(SCALE, {"scale": "1:10"}) == "/console/data?said=saved"


def test_page_is_renewed(guarded: GuardedApp, closed: Console) -> None:
    """The script of a page that stays open learns the token of the session."""
    closed.log_in(guarded.key("admin"))
    headers = {"hx-request": "true", "x-form-token": "old"}
    got = closed.client.post(SCALE, data={"scale": "1:10"}, headers=headers)
    assert (got.status_code, got.headers["x-form-token"]) == (403, closed.token())
    assert "Send this form again?" not in got.text


@pytest.mark.parametrize(
    "sent",
    [
        {"files": {"file": ("ratings.csv", b"u,i,5")}},
        {"data": {"scale": "1" * 300_000}},
        {"content": b"{}", "headers": {"content-type": "application/json"}},
        {"content": iter([b"scale=1"]), "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"content": b"&".join([b"a=1"] * 2_000), "headers": {"content-type": "application/x-www-form-urlencoded"}},
    ],
)
def test_not_kept(closed: Console, sent: dict[str, Any]) -> None:
    got = closed.client.post(SCALE, **sent)
    assert (got.status_code, "Log in at /console/login" in text_of(got.text)) in {(401, True), (415, False)}


def forged(cookie: str) -> Iterator[str]:
    signed = base64.urlsafe_b64decode(cookie + "==")
    later = (int(time.time()) + 10**6).to_bytes(8, "big") + signed[8:]
    changed = bytes([*signed[:40], signed[40] ^ 1, *signed[41:]])
    for each in (later, changed, signed[:-1], b""):
        yield base64.urlsafe_b64encode(each).rstrip(b"=").decode()
    yield from (cookie[:-1], cookie + "A", cookie[::-1], "é" * 102, "=" * 102)


def test_forged(guarded: GuardedApp, closed: Console) -> None:
    closed.log_in(guarded.key("admin"))
    cookie = closed.client.cookies[COOKIE]
    closed.client.cookies.clear()
    for each in forged(cookie):
        got = closed.get("/", headers={"cookie": f"{COOKIE}={each}".encode()})
        assert got.status_code == 303, each
    assert closed.get("/", headers={"cookie": f"{COOKIE}={cookie}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example"},
    ],
)
def test_other_pages(empty: Console, headers: dict[str, str]) -> None:
    got = empty.post("/console/logout", headers=headers)
    assert got.status_code in {403, 421}


def test_pages_of_allowed_origins(tmp_path: Path) -> None:
    """What may call the API from another origin may not use the session of an operator."""
    shop = "https://shop.example.com"
    opened = Console(GuardedApp(Settings(data_dir=tmp_path, cors_origins=shop)).app)
    with opened.client:
        got = opened.post("/console/logout", headers={"origin": shop})
    assert got.status_code == 403
    assert "access-control-allow-origin" not in got.headers


def test_session_is_no_key(guarded: GuardedApp, closed: Console) -> None:
    """The API takes keys alone, so that no form can call it by the cookie."""
    closed.log_in(guarded.key("admin"))
    assert closed.get("/counts").status_code == 401


def test_audited(guarded: GuardedApp, closed: Console) -> None:
    key = guarded.key("console")
    closed.log_in("wrong")
    closed.log_in(key)
    seen: list[Any] = [(each.actor, each.action, each.outcome) for each in guarded.store.audit.entries(2)]
    assert seen == [(key[3:15], "console.login", "succeeded"), ("anyone", "console.login", "unauthorized")]


def entries(store: Store) -> list[tuple[str, str, str, str]]:
    """Those of the audit log that are about sessions, oldest first."""
    found = [(each.actor, each.action, each.target, each.outcome) for each in store.audit.entries(20)]
    return [each for each in reversed(found) if each[1].startswith("console.")]


def test_sessions_of_a_tenant_are_audited_there(guarded: GuardedApp, closed: Console) -> None:
    guarded.tenant("cinema")
    reader, looker = guarded.key("recommendations:read", tenant="cinema"), guarded.key("console", tenant="cinema")
    assert closed.log_in(reader).status_code == 403
    closed.log_in(looker)
    closed.post("/console/logout")
    closed.post("/console/logout")  # of no session
    with closing(Store.open("", guarded.settings.of_tenant("cinema").data_dir)) as store:
        assert entries(store) == [
            (reader[3:15], "console.login", "", "missing-scope"),
            (looker[3:15], "console.login", "", "succeeded"),
            (looker[3:15], "console.logout", "", "succeeded"),
        ]
    assert entries(guarded.store) == []


def test_main_sessions_are_audited(guarded: GuardedApp, closed: Console) -> None:
    key = guarded.key("console")
    closed.log_in(key)
    closed.post("/console/logout")
    assert entries(guarded.store) == [
        (key[3:15], "console.login", "", "succeeded"),
        (key[3:15], "console.logout", "", "succeeded"),
    ]


def test_sessions_of_a_tenant_that_cannot_be_opened(
    guarded: GuardedApp, closed: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They begin and end, and the main audit log says so."""

    async def refuse(_self: OpenServices, _name: str) -> None:
        raise OverloadedError

    guarded.tenant("cinema")
    key = guarded.key("console", tenant="cinema")
    monkeypatch.setattr(OpenServices, "lease", refuse)
    assert closed.log_in(key).status_code == 303
    assert closed.get("/").status_code == 503
    assert closed.post("/console/logout").status_code == 303
    assert entries(guarded.store) == [
        (key[3:15], "console.login", "cinema", "succeeded"),
        (key[3:15], "console.logout", "cinema", "succeeded"),
    ]


def test_open_service_has_no_sessions_to_audit(empty: Console) -> None:
    empty.post("/console/logout")
    assert "console.logout" not in empty.page("/console/operations/audit")


def test_tenant(guarded: GuardedApp, closed: Console) -> None:
    """The key selects the catalogue, here as well."""
    guarded.tenant("cinema")
    closed.log_in(guarded.key("console", tenant="cinema"))
    assert '<span class="tenant">cinema</span>' in closed.page("/")


def test_renewed(guarded: GuardedApp, closed: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who works on is not logged out, and the forms of the old cookie stay valid."""
    monkeypatch.setattr(console_sessions, "SECONDS", 100)
    closed.log_in(guarded.key("admin"))
    cookie, token = closed.client.cookies[COOKIE], closed.token()
    monkeypatch.setattr(console_sessions, "SECONDS", 43_200)
    closed.get("/")
    assert closed.client.cookies[COOKIE] != cookie
    assert closed.token() == token


def test_secure_behind_a_proxy(empty: Console) -> None:
    assert "Secure" not in empty.get("/").headers["set-cookie"]
    empty.client.cookies.clear()
    assert "; Secure" in empty.get("/", headers={"x-forwarded-proto": "https"}).headers["set-cookie"]


def test_rate_limit(guarded: GuardedApp, closed: Console) -> None:
    """That of the key holds for its sessions."""
    closed.log_in(guarded.key("console", rate_limit="2/day"))
    assert [closed.get("/").status_code for _ in range(3)] == [200, 200, 429]


def test_refused_acts_are_audited(guarded: GuardedApp, closed: Console) -> None:
    looker, admin = guarded.key("console"), guarded.key("admin")
    closed.log_in(looker)
    assert closed.post("/console/data/scale", {"scale": "1:10"}).status_code == 403
    closed.log_in(admin)
    assert closed.client.post("/console/data/scale", data={"form_token": "x", "scale": "1:10"}).status_code == 403
    assert closed.post("/console/data/scale", {"scale": "5:1"}).status_code == 422
    found = [(each.actor, each.outcome) for each in guarded.store.audit.entries(10) if each.action == "scale.set"]
    assert found == [
        (admin[3:15], "invalid-input"),
        (admin[3:15], "form-token"),
        (looker[3:15], "missing-scope"),
    ]


def half_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sessions that exist are renewed by the next request."""
    monkeypatch.setattr(console_sessions, "SECONDS", 10 * 43_200)


def test_log_out_of_an_old_session(guarded: GuardedApp, closed: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session that is due for renewal is not renewed by the act that ends it."""
    closed.log_in(guarded.key("admin"))
    half_over(monkeypatch)
    (cookie,) = closed.client.post("/console/logout").headers.get_list("set-cookie")
    assert "Max-Age=0" in cookie
    assert closed.get("/").status_code == 303


def test_poll_renews_no_session(guarded: GuardedApp, closed: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    closed.log_in(guarded.key("admin"))
    half_over(monkeypatch)
    assert "set-cookie" not in closed.get("/", headers={"x-poll": "1"}).headers
    assert "set-cookie" not in closed.get("/console/static/console.css").headers
    assert "set-cookie" in closed.get("/").headers


def test_longest(guarded: GuardedApp, closed: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much one works, a session ends at last."""
    closed.log_in(guarded.key("admin"))
    monkeypatch.setattr(console_sessions, "LONGEST_SECONDS", 1)
    half_over(monkeypatch)
    closed.get("/")  # renewed, up to a second after the log-in
    time.sleep(1.1)
    assert closed.get("/").status_code == 303


def test_limit_leaves_the_way_out(guarded: GuardedApp, closed: Console) -> None:
    """Files, and logging in and out, do not count towards the limit of the key, and work at it."""
    closed.log_in(guarded.key("console", rate_limit="1/day"))
    assert [closed.get("/console/static/console.css").status_code for _ in range(3)] == [200] * 3
    assert [closed.get("/").status_code for _ in range(2)] == [200, 429]
    assert "content-security-policy" in closed.get("/").headers
    assert closed.client.post("/console/logout").status_code == 303


def test_untrusted_keys(guarded: GuardedApp, closed: Console) -> None:
    """Keys that could not be read for long admit nobody, here as in the API."""
    closed.log_in(guarded.key("admin"))
    guarded.app.state.control.keys._trusted_until = 0.0
    assert closed.get("/").status_code == 503


def test_page_of_another_catalogue(guarded: GuardedApp, closed: Console) -> None:
    """What was typed into a page of one catalogue is not sent to another one by a second click."""
    guarded.tenant("cinema")
    closed.log_in(guarded.key("admin", tenant="cinema"))
    typed = {"form_token": "old", "catalogue": "", "scale": "1:10"}
    got = closed.client.post(SCALE, data=typed)
    assert (got.status_code, "the catalogue cinema" in got.text, "Send again" in got.text) == (403, True, False)
    headers = {"hx-request": "true", "x-form-token": "old", "x-catalogue": ""}
    assert "x-form-token" not in closed.client.post(SCALE, data=typed, headers=headers).headers
    assert "Send this form again?" in closed.client.post(SCALE, data=typed | {"catalogue": "cinema"}).text


def test_address_is_escaped(closed: Console) -> None:
    """An id that looks escaped leads to the same item again."""
    got = closed.client.post("/console/items/a%2541", data={"title": "x"})
    assert 'action="/console/items/a%2541"' in got.text
    assert closed.get("/console/items/a%2541").headers["location"].endswith("next=/console/items/a%252541")
