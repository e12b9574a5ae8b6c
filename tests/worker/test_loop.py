import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.settings import Settings
from app.store import Store, counters
from app.store.jobs import LeaseLostError
from app.store.schema import snapshots
from app.store.trends import begin_recount, recounted_up_to
from app.training.recipe import rating_recipe
from app.training.run import Trainer
from app.worker.follow import run_to_end
from app.worker.loop import Worker
from app.worker.rounds import Rounds
from tests.support.published import expire_lease, live_version
from tests.support.service import Instance, wait_until
from tests.support.user_states import tasteful_ratings

QUICK = rating_recipe("funk_svd").document
"""Takes a tenth of the time of the default recipe."""


@pytest.fixture
def worker(store: Store, tmp_path: Path) -> Worker:
    store.instance.set_recipe(QUICK)
    settings = Settings(data_dir=tmp_path, train_after_changes=1, train_after_percent=0, train_interval_seconds=0)
    return Worker.build(settings, store)


def rounds_of(worker: Worker) -> Rounds:
    settings = Settings(
        data_dir=worker.trainer.publisher.data_dir,
        worker_poll_seconds=0.01,
        train_after_changes=1,
        train_after_percent=0,
        train_interval_seconds=0,
    )
    return Rounds(settings, worker.store)


def test_works_until_nothing_is_due(worker: Worker) -> None:
    stopping = threading.Event()
    assert not worker.step(stopping)  # nothing rated, nothing due
    worker.store.ratings.record(tasteful_ratings(n_users=60))
    assert not worker.step(stopping)  # due, enqueued
    assert worker.step(stopping)
    assert live_version(worker.store) is not None
    assert not worker.step(stopping)
    assert len(worker.store.jobs.latest()) == 1


def test_idle_worker_writes_nothing(worker: Worker) -> None:
    worker.step(threading.Event())
    before = fencing_tokens(worker.store)
    for _ in range(3):
        worker.step(threading.Event())
    assert fencing_tokens(worker.store) == before


def test_goes_on_with_a_recount(worker: Worker) -> None:
    """Of trends, which a process that changed a weight and ended has left."""
    with worker.store.database.writing() as connection:
        begin_recount(connection)
    worker.step(threading.Event())
    with worker.store.database.reading() as connection:
        assert recounted_up_to(connection) is None


def fencing_tokens(store: Store) -> int:
    with store.database.reading() as connection:
        return counters.read(connection, "fencing")


def test_rejection_is_no_end(worker: Worker) -> None:
    worker.store.jobs.enqueue("request")
    assert worker.step(threading.Event())
    assert worker.store.jobs.latest(1)[0].state == "rejected"
    assert not worker.step(threading.Event())


def test_rejections_are_a_warning(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the second in a row, and again when a worker starts."""
    monkeypatch.setattr("app.worker.rounds.yield_to_requests", lambda: None)
    warnings = []
    for _ in range(2):
        worker.store.jobs.enqueue("request")
        with capture_logs() as entries:
            assert worker.step(threading.Event())
        warnings.append([entry for entry in entries if entry["event"] == "training runs are rejected"])
    assert [len(each) for each in warnings] == [0, 1]
    assert "no ratings" in warnings[1][0]["reason"]
    stopped = threading.Event()
    stopped.set()
    with capture_logs() as entries:
        rounds_of(worker).run(stopped)
    assert any(entry["event"] == "training runs are rejected" for entry in entries)


def test_takes_over_silent_worker(worker: Worker, trainer: Trainer) -> None:
    """The silent one was not dead after all; it wakes, finishes its run, and must not publish."""
    store = worker.store
    store.ratings.record(tasteful_ratings(n_users=60))
    job = store.jobs.enqueue("request")
    silent = store.jobs.claim("silent", lease_seconds=0.0)
    assert silent is not None
    assert worker.step(threading.Event())
    taken = store.jobs.get(job.job_id)
    assert (taken.state, taken.attempts) == ("succeeded", 2)
    with pytest.raises(LeaseLostError):
        trainer.run(silent)
    assert [entry.version for entry in store.snapshots.entries()] == [taken.snapshot_version]
    assert len(list(trainer.publisher.root.iterdir())) == 1


def test_many_workers_publish_once(worker: Worker) -> None:
    worker.store.ratings.record(tasteful_ratings(n_users=60))
    worker.store.jobs.enqueue("request")
    workers = [Worker.build(Settings(data_dir=worker.trainer.publisher.data_dir), worker.store) for _ in range(4)]
    has_worked: list[bool] = []
    threads = [
        threading.Thread(target=lambda one=one: has_worked.append(one.step(threading.Event()))) for one in workers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(has_worked) == [False, False, False, True]
    assert len(worker.store.snapshots.entries()) == 1


def test_run_stops_when_told(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "app.worker.rounds.yield_to_requests", lambda: None
    )  # the rest of the suite runs in this process
    stopping = threading.Event()
    thread = threading.Thread(target=rounds_of(worker).run, args=(stopping,))
    thread.start()
    worker.store.ratings.record(tasteful_ratings(n_users=60))
    wait_until(lambda: live_version(worker.store) is not None)
    stopping.set()
    thread.join(120)
    assert not thread.is_alive()


def test_run_survives_defects(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card without a watermark breaks the triggers with a `KeyError`. Once it is mended, training goes on."""
    monkeypatch.setattr("app.worker.rounds.yield_to_requests", lambda: None)
    store = worker.store
    store.ratings.record(tasteful_ratings(n_users=60))
    store.jobs.enqueue("request")
    worker.step(threading.Event())
    card = store.snapshots.entries()[0].card
    set_card(store, {})
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE training_jobs SET finished_at = 0"))  # or the worker rests after the run
    with pytest.raises(KeyError):
        worker.step(threading.Event())
    stopping = threading.Event()
    thread = threading.Thread(target=rounds_of(worker).run, args=(stopping,))
    with capture_logs() as entries:
        thread.start()
        wait_until(lambda: sum(entry["event"] == "worker waits" for entry in entries) > 1)
    set_card(store, card)
    store.jobs.enqueue("request")
    try:
        wait_until(lambda: len(store.snapshots.entries()) == 2)
    finally:
        stopping.set()
        thread.join(120)
    assert not thread.is_alive()


def test_tidies_after_a_run(worker: Worker) -> None:
    orphan = worker.trainer.publisher.root / ".staging-000009-ab"
    orphan.mkdir(parents=True)
    os.utime(orphan, (0, 0))
    worker.step(threading.Event())
    assert not orphan.exists()


def test_run_to_end(worker: Worker) -> None:
    worker.store.ratings.record(tasteful_ratings(n_users=60))
    job = run_to_end(worker.store.jobs.enqueue("request"), worker.trainer, lease_seconds=15)
    assert job.state == "succeeded"


def test_run_to_end_follows_live_worker(worker: Worker) -> None:
    store = worker.store
    job = store.jobs.enqueue("request")
    claim = store.jobs.claim("another", lease_seconds=60)
    assert claim is not None
    told: list[str] = []

    def progress(_share: float, stage: str) -> None:
        told.append(stage)
        store.jobs.finish(claim, state="failed", reason="by the other one")

    ended = run_to_end(job, worker.trainer, lease_seconds=15, progress=progress)
    assert (ended.state, ended.reason) == ("failed", "by the other one")
    assert told == ["queued"]


def test_killed_worker_is_followed(store: Store, database_url: str, tmp_path: Path) -> None:
    instance = Instance(tmp_path, database_url)
    store.ratings.record(tasteful_ratings(n_users=400, n_items=200, n_each=50))
    job = store.jobs.enqueue("request")
    killed = instance.start("worker")
    try:
        wait_until(lambda: store.jobs.get(job.job_id).state == "running")
        killed.kill()
    finally:
        killed.communicate(timeout=120)
    assert store.jobs.get(job.job_id).state == "running"
    shortly = store.jobs.get(job.job_id)
    assert shortly.snapshot_version is None
    expire_lease(store)
    store.instance.set_recipe(QUICK)
    follower = Worker.build(Settings(data_dir=tmp_path), store)
    assert follower.step(threading.Event())
    ended = store.jobs.get(job.job_id)
    assert (ended.state, ended.attempts) == ("succeeded", 2)


@pytest.mark.parametrize(
    ("database_url", "number"), [("sqlite", signal.SIGHUP), ("postgres", signal.SIGTERM)], indirect=["database_url"]
)
def test_stopped_worker_gives_back(store: Store, database_url: str, tmp_path: Path, number: signal.Signals) -> None:
    """A closed terminal stops it as SIGTERM does."""
    store.ratings.record(tasteful_ratings(n_users=400, n_items=200, n_each=50))
    job = store.jobs.enqueue("request")
    worker = Instance(tmp_path, database_url).start("worker")
    try:
        wait_until(lambda: store.jobs.get(job.job_id).state == "running")
        worker.send_signal(number)
        assert worker.wait(120) == 0
    finally:
        worker.communicate()
    assert store.jobs.get(job.job_id).state in {"queued", "succeeded"}


def set_card(store: Store, card: dict[str, Any]) -> None:
    with store.database.writing() as connection:
        connection.execute(sa.update(snapshots).values(card=card))
