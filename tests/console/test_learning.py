"""Learning: snapshots, jobs, what their runs decided, and the acts of an operator."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from app.console.learning import Gate, JobRow, Measured, StartForm, learning_view, parse_start
from app.console.learning_compare import compare_view, lists_view
from app.console.learning_job import STEPS, job_view
from app.console.learning_map import map_view
from app.console.learning_snapshot import count_rows, diagnosis_plots, snapshot_view
from app.console.rendering import MISSING, moment
from app.entities import Item, to_microseconds
from app.errors import InvalidInputError, NotFoundError
from app.snapshots.folders import SnapshotFolders
from app.store import Store
from app.store.run_logs import RunLogEntry
from app.training.publisher import Publisher
from app.training.recipe import default_recipe
from app.training.run import Trainer
from app.wiring import Service
from app.worker.attempt import attempt
from tests.support.console import Console, text_of
from tests.support.keys import stored_key
from tests.support.trained import RATED_LIGHTLY, train

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


def claim(store: Store) -> Any:
    claimed = store.jobs.claim("a-worker", lease_seconds=60)
    assert claimed is not None
    return claimed


def audited(service: Service) -> list[tuple[str, str, str]]:
    return [(each.action, each.target, each.outcome) for each in service.store.audit.entries(10)]


def test_overview(service: Service) -> None:
    view = learning_view(service)
    (row,) = view.snapshots
    assert row.is_live
    assert not row.is_pinned
    assert row.gate == Gate("passed", "passed")
    assert row.ndcg.value is not None
    assert row.ndcg.low is not None
    assert row.ndcg.low < row.ndcg.value < (row.ndcg.high or 0)
    assert (row.gain or 0) > 0
    assert [len(plot.rows) for plot in view.plots] == [2, 2, 2]
    assert [(job.state, job.snapshot_version) for job in view.jobs] == [("succeeded", row.version)]
    assert not view.unfinished
    assert not view.is_renewed
    assert json.loads(view.start.document) == default_recipe().document


def test_deleted_snapshots(console: Console, service: Service, tmp_path: Path) -> None:
    """Retention of one: the plots show all three, and nothing offers the deleted ones."""
    first = learning_view(service).snapshots[0]
    for seed in (1, 2):
        train(service.store, tmp_path, seed=seed, recipe=RATED_LIGHTLY)
        Publisher(service.store, SnapshotFolders(tmp_path), n_kept=1).tidy()
    view = learning_view(service)
    (kept,) = view.snapshots
    assert [row.version for row in view.former] == [kept.version - 1, first.version]
    assert view.n_former == 2
    before = view.former[-1]
    assert (before.ndcg, before.rmse, before.coverage) == (first.ndcg, first.rmse, first.coverage)
    assert (before.gate, before.gain, before.n_ratings) == (first.gate, first.gain, first.n_ratings)
    assert view.pairs == [kept.version]
    for plot in view.plots:
        assert [row[0] for row in plot.rows] == sorted([first.version, kept.version - 1, kept.version] * 2)
    assert len(learning_view(service, n_former=1).former) == 1
    page = console.page("/console/learning")
    assert text_of(page).count("deleted by retention; figures kept") == 2
    assert f'href="{first.href}"' not in page.partition('id="jobs"')[0]
    assert "deleted by retention" in console.text("/console/learning?deleted=all")
    assert [each["version"] for each in console.client.get("/snapshots").json()["snapshots"]] == [kept.version]


def test_newest_rating() -> None:
    """Its time is shown in the zone of the viewer."""
    at = datetime(2026, 11, 30, 21, 5, 1, tzinfo=UTC)
    values = {name: value for name, value, _ in count_rows({"watermark": {"newest_rated_at": to_microseconds(at)}})}
    assert values["Newest rating"] == moment(at)
    assert {name: value for name, value, _ in count_rows({})}["Newest rating"] == MISSING


def test_nothing_learned(empty: Console) -> None:
    text = empty.text("/console/learning")
    assert "Nothing is learned yet" in text
    assert "No job was requested yet" in text
    assert 'hx-trigger="every' not in empty.page("/console/learning")


def test_gate_in_words() -> None:
    accepted = {"at": "2026-11-01", "reason": "nDCG@10 is not above"}
    assert Gate.of({"reason": "too few", "advice": "import"}) == Gate(
        "fallback", "popular items instead", "too few", "import"
    )
    assert Gate.of({"reason": None, "accepted": accepted}).reason == "nDCG@10 is not above"
    assert Gate.of({"metrics": {"snapshot": {}}}).kind == "unmeasured"
    assert Measured.of({"metrics": {"snapshot": {"rmse": 1.0}}}, "snapshot", "rmse") == Measured(1.0)


@pytest.mark.parametrize("trained_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"seed": "-1"}, "seed"),
        ({"seed": "1.5"}, "seed"),
        ({"seed": str(2**63)}, "seed"),
        ({"seed": "9" * 5_000}, "seed"),
        ({"seed": "\N{ARABIC-INDIC DIGIT ONE}"}, "seed"),
        ({"recipe": "another"}, "recipe"),
        ({"recipe": "own", "document": ""}, "recipe"),
        ({"recipe": "own", "document": "[1]"}, "recipe"),
        ({"recipe": "own", "document": "{" * 50_000}, "recipe"),
        ({"recipe": "own", "document": "[" * 90_000}, "recipe"),
        ({"recipe": "own", "document": " " * 200_000}, "recipe"),
        ({"recipe": "own", "document": '{"segments": []}'}, "recipe"),
        ({"recipe": "own", "document": '{"segments": [], "holdout_fraction": NaN}'}, "recipe"),
        ({"recipe": "own", "document": '{"\\ud800": 1}'}, "recipe"),
        ({"recipe": "own", "document": json.dumps({HOSTILE: 1})}, "recipe"),
        ({"recipe": "own", "document": json.dumps(RATED_LIGHTLY | {"holdout_fraction": 1})}, "recipe"),
    ],
)
def test_bad_start(console: Console, fields: dict[str, str], field: str) -> None:
    """The form comes back with what was typed, and says what is wrong beside the field."""
    got = console.post("/console/learning/jobs", fields)
    assert got.status_code == 422, got.text
    assert 'role="alert"' in got.text
    assert 'aria-invalid="true"' in got.text
    assert HOSTILE not in got.text
    with pytest.raises(InvalidInputError) as refused:
        parse_start(StartForm(**({"recipe": "service"} | fields)))  # type: ignore[arg-type]  # texts
    assert refused.value.field == field


def test_start_and_cancel(console: Console, service: Service) -> None:
    fields = {"recipe": "own", "document": json.dumps(RATED_LIGHTLY), "seed": " 7 ", "accept": "yes"}
    address = console.done("/console/learning/jobs", fields)
    job = service.store.jobs.latest(1)[0]
    assert address == f"/console/learning/jobs/{job.job_id}?said=started"
    assert (job.state, job.seed, job.accept, job.trigger) == ("queued", 7, True, "request")
    assert job.recipe is not None
    assert [each["algorithm"] for each in job.recipe["segments"]] == ["funk_svd", "als_implicit", "popularity"]
    page = console.page(address)
    assert "The training run waits for the worker" in text_of(page)
    assert 'hx-trigger="every 2s"' in page
    assert 'hx-trigger="every 2s"' in console.page("/console/learning")
    console.done(f"/console/learning/jobs/{job.job_id}/cancel")
    assert service.store.jobs.get(job.job_id).state == "cancelled"
    assert "Cancel this run" not in console.page(f"/console/learning/jobs/{job.job_id}")
    assert audited(service)[:2] == [
        ("training.cancel", job.job_id, "succeeded"),
        ("training.request", job.job_id, "succeeded"),
    ]


def test_too_late_to_cancel(console: Console, service: Service) -> None:
    job = service.store.jobs.latest(1)[0]
    got = console.post(f"/console/learning/jobs/{job.job_id}/cancel")
    assert got.status_code == 409
    assert "has ended" in text_of(got.text)
    assert console.post("/console/learning/jobs/none/cancel").status_code == 404
    assert console.get("/console/learning/jobs/none").status_code == 404


def test_running_job(console: Console, service: Service) -> None:
    """The steps before the one that runs are done, those after it wait, and decisions so far are shown."""
    store = service.store
    store.jobs.enqueue("request")
    claimed = claim(store)
    store.jobs.heartbeat(claimed, progress=0.25, stage="evaluating: als epoch 3 of 10")
    decision = f"rating by {HOSTILE}"
    store.run_logs.keep(
        claimed,
        [
            RunLogEntry(1.0, "loading", "finished", seconds=0.25, figures={"n_ratings": 2400}),
            RunLogEntry(2.0, "evaluating > candidate", "decision", decision),
        ],
    )
    view = job_view(service, claimed.job.job_id)
    states = {step.name: step.state for step in view.steps}
    assert list(states) == [*STEPS]
    assert (states["loading"], states["bursts"], states["evaluating"], states["publishing"]) == (
        *("done", "done", "running", "waiting"),
    )
    assert next(step for step in view.steps if step.state == "running").text == "als epoch 3 of 10"
    assert [each.text for each in view.decisions] == [decision]
    assert view.is_renewed
    page = console.page(f"/console/learning/jobs/{claimed.job.job_id}")
    assert HOSTILE not in page
    assert decision in text_of(page)
    assert 'value="0.2500"' in page
    assert 'value="0.2500"' in console.page("/console/learning")


def test_rejected_job(console: Console, service: Service) -> None:
    store = service.store
    store.jobs.enqueue("request")
    claimed = claim(store)
    store.run_logs.keep(
        claimed,
        [
            RunLogEntry(1.0, "evaluating", "decision", "rejected: nDCG 0.1 is not above; snapshot 1 stays live"),
            RunLogEntry(1.0, "evaluating", "failed", "SnapshotRejectedError", 2.0),
        ],
    )
    store.jobs.finish(claimed, state="rejected", reason="nDCG 0.1 is not above", advice="import more")
    view = job_view(service, claimed.job.job_id)
    assert [each.text[:8] for each in view.gate] == ["rejected"]
    assert {step.name: step.state for step in view.steps}["evaluating"] == "failed"
    assert {step.name: step.state for step in view.steps}["publishing"] == "not reached"
    text = console.text(f"/console/learning/jobs/{claimed.job.job_id}")
    assert "import more" in text
    job = store.jobs.get(claimed.job.job_id)
    assert job.finished_at is not None
    later = JobRow.of(job, job.finished_at + timedelta(hours=1))
    assert later.seconds is not None
    assert later.seconds < 3_600


def test_steps_are_those_of_a_run(service: Service, tmp_path: Path) -> None:
    """A run under the worker keeps its log, and its outermost stages are the steps that the page shows."""
    store = service.store
    store.jobs.enqueue("request", recipe=RATED_LIGHTLY)
    claimed = claim(store)
    version = attempt(
        claimed, Trainer(store, Publisher(store, SnapshotFolders(tmp_path))), store.jobs, stopping=threading.Event()
    )
    assert version is not None
    view = job_view(service, claimed.job.job_id)
    assert [step.state for step in view.steps] == ["done"] * len(STEPS)
    assert all(step.seconds is not None for step in view.steps)
    assert any(each.text.startswith("passed alone: ") for each in view.gate)
    assert snapshot_view(service, version).job_href == f"/console/learning/jobs/{claimed.job.job_id}"


def test_snapshot(console: Console, service: Service) -> None:
    version = service.serving.current.scorer.version
    assert version is not None
    view = snapshot_view(service, version)
    assert [row.name for row in view.figures][:2] == ["this snapshot", "bestsellers"]
    assert sum(each.share for each in view.segments) == pytest.approx(1)
    assert {plot.title.partition(",")[0] for plot in view.plots} >= {
        "Error by rating",
        "Exposure against popularity",
        "Lorenz curve of exposure",
    }
    assert view.problem is None
    assert any("ratings of 120 users" in each for each in view.words)
    text = console.text(f"/console/learning/snapshots/{version}")
    assert "Pin this snapshot" in text
    assert console.get("/console/learning/snapshots/999").status_code == 404
    assert console.get("/console/learning/snapshots/0").status_code == 422


def test_card_of_earlier_release() -> None:
    plots, lacks = diagnosis_plots({})
    assert plots == []
    assert "earlier release" in lacks[0]


def test_map(console: Console, service: Service) -> None:
    version = service.serving.current.scorer.version
    assert version is not None
    view = map_view(service, version)
    assert view.n_shown == 60
    assert {row[2] for row in view.plot.rows} == {"even", "odd"}
    assert "Map of the items" in console.text(f"/console/learning/snapshots/{version}/map")
    with pytest.raises(NotFoundError):
        map_view(service, 999)


def test_activate_pin_follow(console: Console, service: Service, tmp_path: Path) -> None:
    first = service.serving.current.scorer.version
    second = train(service.store, tmp_path, recipe=RATED_LIGHTLY)
    # The page was loaded when the first was live.
    got = console.post(f"/console/learning/snapshots/{first}/activate", {"seen": str(first)})
    assert got.status_code == 409
    assert f"snapshot {second} is live since this page was loaded" in text_of(got.text)
    assert learning_view(service).pinned is None
    assert f'name="seen" value="{second}"' in console.page(f"/console/learning/snapshots/{first}")
    assert console.done(f"/console/learning/snapshots/{first}/activate", {"seen": str(second)}) == (
        f"/console/learning/snapshots/{first}?said=activated"
    )
    assert learning_view(service).pinned == first
    assert f"Snapshot {first} is pinned" in console.text("/console/learning")
    assert console.done("/console/learning/snapshots/latest/activate") == "/console/learning?said=followed"
    assert learning_view(service).pinned is None
    live = service.store.snapshots.live()
    assert live is not None
    assert live.version == second
    assert audited(service)[:2] == [
        ("snapshots.activate", "latest", "succeeded"),
        ("snapshots.activate", str(first), "succeeded"),
    ]


def test_removed_while_open(console: Console, service: Service, tmp_path: Path) -> None:
    """The page was open when the snapshot was removed: a clear message, and nothing changes."""
    first = service.serving.current.scorer.version
    assert first is not None
    second = train(service.store, tmp_path, recipe=RATED_LIGHTLY)
    assert service.store.snapshots.forget(first)
    got = console.post(f"/console/learning/snapshots/{first}/activate", {"seen": str(second)})
    assert got.status_code == 404
    assert f"there is no snapshot {first}, or no longer" in text_of(got.text)
    assert "there is no snapshot" in text_of(console.get(f"/console/learning/snapshots/{first}").text)
    live = service.store.snapshots.live()
    assert live is not None
    assert (live.version, live.is_pinned) == (second, False)


def test_compare(console: Console, service: Service, tmp_path: Path) -> None:
    first = service.serving.current.scorer.version
    assert first is not None
    second = train(service.store, tmp_path, recipe=RATED_LIGHTLY)
    view = compare_view(service, first, second)
    by_name = {pair.name: pair for pair in view.figures}
    ndcg = by_name["nDCG@10"]
    assert ndcg.change == pytest.approx((ndcg.b.value or 0) - (ndcg.a.value or 0))
    assert {pair.name for pair in view.weights} >= {"rating", "taste", "popularity"}
    lists = lists_view(service, first, second)
    assert len(lists.users) == 10
    assert lists.n_users == lists.n_common == 120
    assert all(len(user.a) == len(user.b) == 10 for user in lists.users)
    text = console.text(f"/console/learning/compare?a={first}&b={second}")
    assert "What the data chose" in text
    assert "user-0" in console.text(f"/console/learning/compare/lists?a={first}&b={second}")
    service.store.items.record([Item(each.href.rpartition("/")[2], title="x" * 10_000) for each in lists.users[0].a])
    assert "x" * 301 not in console.page(f"/console/learning/compare/lists?a={first}&b={second}")
    assert console.get(f"/console/learning/compare?a={first}&b={first}").status_code == 422
    assert console.get(f"/console/learning/compare?a={first}&b=999").status_code == 404
    assert console.get(f"/console/learning/compare?a={first}&b=x").status_code == 422


def test_may_only_look(app: FastAPI, console: Console, service: Service) -> None:
    """A key with the scope `console` sees all pages without forms, and its POSTs are refused and change nothing."""
    version = service.serving.current.scorer.version
    service.store.jobs.enqueue("request")
    job = service.store.jobs.latest(1)[0]
    key = stored_key(service.store, "console")
    app.state.control.keys.refresh()
    console.log_in(key)
    for path in ("", f"/jobs/{job.job_id}", f"/snapshots/{version}"):
        page = console.page(f"/console/learning{path}")
        assert page.count('method="post"') == 1, path  # logging out
    for path in ("jobs", f"jobs/{job.job_id}/cancel", f"snapshots/{version}/activate", "snapshots/latest/activate"):
        assert console.post(f"/console/learning/{path}").status_code == 403
    assert service.store.jobs.latest(2)[0].state == "queued"
    live = service.store.snapshots.live()
    assert live is not None
    assert not live.is_pinned
