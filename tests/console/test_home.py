"""Home: what the service is doing now."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.console.home import STRATEGIES, home_view, snapshot_tile
from app.console.learning import Gate
from app.console.notices import service_notices
from app.console.rendering import moment
from app.intake.importing import import_path
from app.observability.activity import Activity
from app.serving.placement_config import settings_to_store
from app.store.presence import Presence
from app.store.schema import snapshots
from app.wiring import Service
from tests.support.console import Console
from tests.support.ratings import incoming


def test_trained(service: Service, tmp_path: Path) -> None:
    view = home_view(service, tmp_path, is_main=True)
    live = service.store.snapshots.live()
    assert view.snapshot is not None
    assert live is not None
    assert (view.snapshot.version, view.snapshot.gate.verdict) == (live.version, "passed")
    assert view.snapshot.ndcg == live.card["metrics"]["snapshot"]["ndcg@10"]
    counts = {each.name: each.n for each in view.arriving}
    assert counts["Ratings"] == live.card["counts"]["ratings"]
    assert [step.is_done for step in view.steps] == [True, True, False]
    assert not view.is_new


@pytest.mark.parametrize(
    ("kind", "is_pinned", "note"),
    [
        ("passed", False, "later runs go live if they pass as well"),
        ("unmeasured", False, "it takes users with two ratings or more to measure it"),
        ("unmeasured", True, "pinned: later runs do not go live"),
    ],
)
def test_gate_note(service: Service, kind: str, is_pinned: bool, note: str) -> None:
    live = service.store.snapshots.live()
    assert live is not None
    tile = replace(snapshot_tile(live), gate=Gate(kind, kind), is_pinned=is_pinned)
    assert tile.gate_note == note


def test_open(empty: Console) -> None:
    """Whoever reaches the service may change it, also from other machines with `--insecure`."""
    assert "everybody who reaches this service may do everything" in empty.page("/")
    assert "everybody who reaches this service may do everything" in empty.text("/console/operations/keys")


def test_first_steps(empty: Console) -> None:
    text = empty.text("/")
    assert "The next things to do" in text
    assert "Nothing is learned yet" in text
    assert "No request has come in the last hour" in text


def test_arriving(console: Console, service: Service, tmp_path: Path) -> None:
    before = home_view(service, tmp_path, is_main=True).arriving
    for n in range(3):
        assert (
            console.client.post("/ratings", json={"user_id": f"new {n}", "item_id": "i1", "value": 4}).status_code
            == 201
        )
    service.store.arrivals.flush()
    ratings = home_view(service, tmp_path, is_main=True).arriving[0]
    assert (ratings.n - before[0].n, ratings.hour, ratings.day, ratings.line.values[-1]) == (3, 3, 3, 3)


def test_since_the_full_hour(console: Console, service: Service, tmp_path: Path) -> None:
    first = home_view(service, tmp_path, is_main=True).arriving[0]
    assert (first.since.minute, first.since.second) == (0, 0)
    assert f"since {moment(first.since)}" in console.page("/")


def test_worker(console: Console, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown when all is well, too."""
    assert "None: there was none in the last hour. none Start reckon worker ." in console.text("/")
    worker = Presence(service.store, "worker")
    worker.beat()
    assert "in the last hour. runs last seen" in console.text("/")
    Presence(service.store, "worker").beat()
    assert "in the last hour. runs 2 of them, last seen" in console.text("/")
    monkeypatch.setattr("app.store.processes.ALIVE_WITHIN", timedelta(seconds=-1))
    assert "in the last hour. silent last seen" in console.text("/")


def test_answers(service: Service, tmp_path: Path) -> None:
    activity = Activity()
    for _ in range(8):
        activity.count_request("/users/{user_id}/recommendations", 200, 0.004)
        activity.count_list("fold_in")
    activity.count_request("/ratings", 500, 0.2)
    activity.count_list("popular")
    presence = Presence(service.store, "api", snapshot_version=lambda: 1, activity=activity.as_json)
    presence.beat()
    answers = home_view(service, tmp_path, is_main=True).answers
    assert answers is not None
    assert (answers.n, answers.n_errors, answers.n_lists) == (9, 1, 9)
    assert [(each.name, round(each.share, 2)) for each in answers.strategies] == [("fold_in", 0.89), ("popular", 0.11)]
    assert all(each.meaning == STRATEGIES[each.name] for each in answers.strategies)
    assert answers.p50 is not None
    assert 0.0025 <= answers.p50 <= 0.005


def test_tenant(service: Service, tmp_path: Path) -> None:
    """What processes do for all catalogues is not shown to the operator of one."""
    view = home_view(service, tmp_path, is_main=False)
    assert (view.answers, view.worker) == (None, None)
    assert not any("worker" in each.reason for each in view.notices)


def notices(service: Service, folder: Path) -> list[str]:
    return [each.reason for each in service_notices(service, folder, service.store.processes.read())]


def test_no_worker(service: Service, tmp_path: Path) -> None:
    assert any("No worker runs" in each for each in notices(service, tmp_path))
    worker = Presence(service.store, "worker")
    worker.beat()
    assert not any("No worker runs" in each for each in notices(service, tmp_path))


@pytest.mark.parametrize(("n_bad", "is_noticed"), [(1, False), (30, True)])
def test_rejected_rows(service: Service, tmp_path: Path, n_bad: int, is_noticed: bool) -> None:
    good = [f"u{n},i{n},4" for n in range(500)]
    file = tmp_path / "ratings.csv"
    file.write_text("\n".join(["user,item,rating", *good, *(f"u{n},i{n},bad" for n in range(n_bad))]))
    import_path(file, service.store, rejected_dir=tmp_path / "rejected", check_settings=settings_to_store)
    found = [each for each in notices(service, tmp_path) if "rejected" in each]
    assert found == (
        [f"The last import, of ratings.csv, rejected {n_bad} of {500 + n_bad} rows."] if is_noticed else []
    )


def test_fallback(empty: Console) -> None:
    """Nothing is learned: no warning, since the page says what to do first."""
    assert "Everybody gets popular items" not in empty.text("/")


@pytest.mark.parametrize("is_pinned", [False, True])
def test_old_snapshot(service: Service, tmp_path: Path, is_pinned: bool) -> None:
    live = service.store.snapshots.live()
    assert live is not None
    service.store.ratings.record(incoming(("new", "i1", 4.0)))
    service.store.arrivals.flush()
    if is_pinned:
        service.store.snapshots.activate(live.version)
    with service.store.database.writing() as connection:
        connection.execute(sa.update(snapshots).values(created_at=snapshots.c.created_at - 9 * 86_400_000_000))
    found = service_notices(service, tmp_path, service.store.processes.read())
    (old,) = (each for each in found if "8 days old" in each.reason)
    assert old.advice.startswith("It is pinned" if is_pinned else "Start a training run")


def test_little_room(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.console.notices.LOW_SHARE", 1.0)
    assert any("of the disk is free" in each for each in notices(service, tmp_path))
