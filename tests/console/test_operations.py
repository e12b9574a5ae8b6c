"""Operations: processes, requests, settings, keys and the audit log."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.console.operations import StorageView, operations_view, settings_view, storage_view
from app.console.rendering import moment
from app.observability.activity import Activity
from app.observability.consumption import ConsumerMetrics
from app.settings import Settings
from app.store.presence import Presence
from app.wiring import Service
from tests.console.test_sessions import guarded  # noqa: F401  a fixture
from tests.support.console import Console, text_of
from tests.support.keys import GuardedApp
from tests.support.ratings import incoming


def test_processes(console: Console, service: Service) -> None:
    activity = Activity()
    activity.count_request("/ratings", 201, 0.003)
    presence = Presence(service.store, "api", snapshot_version=lambda: 99, activity=activity.as_json)
    presence.beat()
    text = console.text("/console/operations")
    assert "api runs" in text
    assert "99 not the live one" in text
    (beat,) = service.store.processes.read().beats
    service.store.processes.end(beat.process_id)
    assert "No process has reported yet" in console.text("/console/operations")


def test_consumer(console: Console, service: Service) -> None:
    metrics = ConsumerMetrics()
    metrics.count_messages("reckon.ratings", 4)
    metrics.count_ratings("stored", 3)
    metrics.observe_lag({("reckon.ratings", 0): 1_200, ("reckon.ratings", 1): 34})
    presence = Presence(service.store, "consumer", activity=metrics.as_json)
    presence.beat()
    assert "consumer runs" in (text := console.text("/console/operations"))
    assert "1,234 to store in 2 partitions, 4 dealt with" in text
    assert "dead letters" not in text
    assert "No request has come in the last hour" in text
    metrics.waits("storage-full", "the disk of the database is nearly full")
    presence.beat()
    metrics.count_dead_letters(2)
    presence.beat()
    text = console.text("/console/operations")
    assert "waits: the disk of the database is nearly full , 1,234 to store" in text
    assert "2 dead letters" in text


def test_plots(service: Service, tmp_path: Path) -> None:
    activity = Activity()
    for status, seconds in ((200, 0.003), (200, 0.3), (503, 9.0)):
        activity.count_request("/ratings", status, seconds)
    Presence(service.store, "api", snapshot_version=lambda: 1, activity=activity.as_json).beat()
    view = operations_view(service, tmp_path, Settings(data_dir=tmp_path), is_main=True)
    assert view.requests is not None
    assert view.latency is not None
    assert sum(n for _, kind, n in view.requests.rows if kind == "answered") == 2
    assert sum(n for _, kind, n in view.requests.rows if kind == "errors") == 1
    assert sum(n for _, n in view.latency.rows) == 3


def test_lag(console: Console, service: Service) -> None:
    activity = Activity()
    for seconds in (0.02, 0.02, 30.0):
        activity.count_lag("ratings", seconds)
    presence = Presence(service.store, "api", snapshot_version=lambda: 1, activity=activity.as_json)
    presence.beat()
    text = console.text("/console/operations")
    assert "40 ms for half of them; 59 s for 99 %" in text
    assert text.count("none in the last hour") == 2


def test_slow(console: Console, service: Service) -> None:
    """Of times beyond the last bucket, no more is known than that."""
    activity = Activity()
    activity.count_request("/ratings", 201, 30.0)
    activity.count_lag("ratings", 9_000.0)
    Presence(service.store, "api", snapshot_version=lambda: 1, activity=activity.as_json).beat()
    assert "more than 1 h for half of them; more than 1 h for 99 %" in console.text("/console/operations")
    assert console.text("/").count("more than 5 s") == 2
    assert console.client.get("/processes").json()["activity"]["p99_seconds"] == 5.0


def test_size_of_the_database(console: Console, service: Service) -> None:
    n_bytes = service.store.database.size()
    assert 10_000 < n_bytes < 100_000_000
    assert "of tables and indexes" in console.text("/console/operations")


def test_jobs(console: Console, service: Service) -> None:
    """Why they were started, and what became of them, in words."""
    service.store.jobs.enqueue("command")
    page = console.page("/console/operations")
    assert "<td>waits for a worker</td><td><code>reckon train</code></td>" in page
    assert "Start <code>reckon worker</code>." in page


def test_many_erasures(console: Console, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.erasures.COST", 2)
    service.store.ratings.record(incoming(*((f"gone-{n}", "i1", 4.0) for n in range(23))))
    for n in range(23):
        assert console.client.delete(f"/users/gone-{n}").status_code == 204
    page = console.page("/console/operations")
    assert (page.count(", due <time"), "3 more." in page) == (20, True)


def test_outage(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is shown in the zone of the viewer, as all times are."""
    since = datetime(2026, 11, 30, 21, 5, 1, tzinfo=UTC)

    def down(*arguments: Any) -> StorageView:
        return replace(storage_view(*arguments), down_since=since)

    monkeypatch.setattr("app.console.operations.storage_view", down)
    assert f"does not answer since {moment(since)}" in console.page("/console/operations")


def test_tenant(service: Service, tmp_path: Path) -> None:
    view = operations_view(service, tmp_path, Settings(data_dir=tmp_path), is_main=False)
    assert (view.processes, view.requests, view.settings) == ([], None, [])


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://reckon:s3cret@db.example:5432/reckon",
        "postgresql+psycopg://db.example/reckon?user=a&password=s3cret",
    ],
)
@pytest.mark.parametrize("setting", ["database_url", "database_read_url"])
def test_no_passwords(monkeypatch: pytest.MonkeyPatch, setting: str, url: str) -> None:
    monkeypatch.setenv("RECKON_DATABASE_URL", "postgresql+psycopg://db.example/reckon")
    monkeypatch.setenv(f"RECKON_{setting.upper()}", url)
    shown = {each.name: each for each in settings_view(Settings())}[f"RECKON_{setting.upper()}"]
    assert "s3cret" not in shown.value
    assert "db.example" in shown.value
    assert not shown.is_default


def test_every_setting() -> None:
    views = list(settings_view(Settings()))
    assert len(views) == len(Settings.model_fields)
    assert all(each.meaning for each in views)


def test_make_and_revoke_a_key(guarded: GuardedApp) -> None:  # noqa: F811  the fixture
    admin = guarded.key("admin")
    console = Console(guarded.app)
    with console.client:
        console.log_in(admin)
        sent = {"scopes": ["console"], "note": "dashboard", "days": "30", "rate_limit": "10/second"}
        made = text_of(console.post("/console/operations/keys", sent).text)
        text = made.split("The new key: ")[1].split()[0]
        assert console.client.get("/counts", headers={"authorization": f"Bearer {text}"}).status_code == 200
        assert text not in console.page("/console/operations/keys")
        assert console.done(f"/console/operations/keys/{text[3:15]}/revoke").endswith("said=revoked")
        assert console.client.get("/counts", headers={"authorization": f"Bearer {text}"}).status_code == 401
        acts = [(each.action, each.outcome) for each in guarded.store.audit.entries(10) if each.target == text[3:15]]
        assert acts == [("authenticate", "unauthorized"), ("keys.revoke", "succeeded"), ("keys.create", "succeeded")]
        assert "keys.revoke" in console.text("/console/operations/audit")


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"scopes": "nonsense"},
        {"scopes": "console", "days": "0"},
        {"scopes": "console", "days": "x"},
        {"scopes": "console", "days": "1e9"},
        {"scopes": "console", "rate_limit": "many"},
        {"scopes": "console", "note": "x" * 201},
        {"scopes": "console", "origins": "https://shop.example.com"},
        {"scopes": "ratings:write", "origins": "shop"},
    ],
)
def test_bad_key(guarded: GuardedApp, sent: dict[str, str]) -> None:  # noqa: F811  the fixture
    console = Console(guarded.app)
    with console.client:
        console.log_in(guarded.key("admin"))
        got = console.post("/console/operations/keys", {"note": "<b>mine</b>"} | sent)
        assert (got.status_code, 'class="problem"' in got.text) == (422, True)
        assert "<b>" not in got.text
        assert len(guarded.store.api_keys.read().keys) == 1


def test_open_service_makes_no_key(empty: Console) -> None:
    """Any page that reaches it could close it for its owner."""
    assert empty.post("/console/operations/keys", {"scopes": "admin"}).status_code == 409


def test_keys_of_another_catalogue(guarded: GuardedApp) -> None:  # noqa: F811  the fixture
    guarded.tenant("cinema")
    main = guarded.key("admin")
    console = Console(guarded.app)
    with console.client:
        console.log_in(guarded.key("admin", tenant="cinema"))
        assert main[3:15] not in console.page("/console/operations/keys")
        assert console.post(f"/console/operations/keys/{main[3:15]}/revoke").status_code == 404
