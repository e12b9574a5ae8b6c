"""`reckon train` that is interrupted or killed, as a process: its job is trained once or not at all."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.settings import Settings
from app.store import Store
from app.store.jobs import COMMAND, MAX_ATTEMPTS
from app.training.recipe import rating_recipe
from app.training.run import Trainer
from app.worker.follow import request, run_to_end
from app.worker.loop import Worker
from tests.support.published import expire_lease
from tests.support.service import Instance, wait_until
from tests.support.user_states import tasteful_ratings

pytestmark = pytest.mark.slow

QUICK = rating_recipe("funk_svd").document

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def instance(store: Store, database_url: str, tmp_path: Path) -> Instance:
    """With so many ratings that the default recipe takes seconds."""
    store.ratings.record(tasteful_ratings(n_users=400, n_items=200, n_each=50))
    return Instance(tmp_path, database_url)


@contextmanager
def training(instance: Instance, store: Store) -> Iterator[subprocess.Popen[str]]:
    """`reckon train`, once it trains."""
    process = instance.start("train")
    try:
        wait_until(lambda: any(job.state == "running" for job in store.jobs.latest(1)))
        yield process
    finally:
        process.kill()
        process.communicate(timeout=120)


def worker(store: Store, instance: Instance) -> Worker:
    """One that trains when it is requested, and not by itself."""
    settings = Settings(data_dir=instance.data_dir, train_after_percent=0, train_interval_seconds=0)
    return Worker.build(settings, store)


@on_sqlite
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_is_over(instance: Instance, store: Store, number: signal.Signals) -> None:
    with training(instance, store) as process:
        process.send_signal(number)
        # Python ends itself by SIGINT if the interrupt came while an import made a class; shells report 130, too.
        assert process.wait(120) in {130, -signal.SIGINT}
    (job,) = store.jobs.latest()
    assert (job.state, job.reason, job.attempts) == ("failed", "interrupted", 1)
    assert "interrupted; the job has ended" in instance.log_path.read_text()
    assert not worker(store, instance).step(threading.Event())
    assert store.snapshots.entries() == []


@on_sqlite
def test_cancelled_command(instance: Instance, store: Store) -> None:
    with training(instance, store) as process:
        asked = store.jobs.cancel(store.jobs.latest(1)[0].job_id)
        output, _ = process.communicate(timeout=120)
    assert asked.state == "running"
    assert (process.returncode, output) == (1, "cancelled: cancelled by an operator\n")
    (job,) = store.jobs.latest()
    assert (job.state, job.attempts) == ("cancelled", 1)
    assert not worker(store, instance).step(threading.Event())
    assert store.snapshots.entries() == []


@on_sqlite
def test_killed_and_begun_again(instance: Instance, store: Store) -> None:
    with training(instance, store) as process:
        process.kill()
    expire_lease(store)
    store.instance.set_recipe(QUICK)
    instance.run("train", "--json")
    (job,) = store.jobs.latest()
    assert (job.state, job.attempts) == ("succeeded", 2)
    assert not worker(store, instance).step(threading.Event())
    assert len(store.snapshots.entries()) == 1


@on_sqlite
def test_killed_beside_a_worker(instance: Instance, store: Store) -> None:
    beside = worker(store, instance)
    with training(instance, store) as process:
        assert not beside.step(threading.Event())  # the command trains
        process.kill()
    expire_lease(store)
    store.instance.set_recipe(QUICK)
    assert beside.step(threading.Event())
    (job,) = store.jobs.latest()
    assert (job.state, job.attempts) == ("succeeded", 2)
    assert not beside.step(threading.Event())


def test_interrupt_while_another_trains(trainer: Trainer) -> None:
    """Its own job is over; the other one goes on."""
    jobs = trainer.store.jobs
    other = jobs.enqueue("changes")
    assert jobs.claim("another", lease_seconds=60) is not None
    own = request(jobs, seed=1)

    def interrupt(_share: float, _stage: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_to_end(own, trainer, lease_seconds=15, progress=interrupt)
    assert (jobs.get(own.job_id).state, jobs.get(own.job_id).reason) == ("failed", "interrupted")
    assert jobs.get(other.job_id).state == "running"


def test_interrupt_leaves_jobs_of_others(trainer: Trainer) -> None:
    """A job before its own in the queue, and one that the API requested with the same settings."""
    trainer.store.ratings.record(tasteful_ratings(n_users=20))
    jobs = trainer.store.jobs
    first = jobs.enqueue("changes", seed=7)
    shared = jobs.enqueue("request")
    own = request(jobs)
    assert own.job_id == shared.job_id

    def interrupt(_share: float, _stage: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_to_end(own, trainer, lease_seconds=15, progress=interrupt)
    assert [jobs.get(each.job_id).state for each in (first, shared)] == ["queued", "queued"]


def test_cancelled_while_another_trains(trainer: Trainer) -> None:
    jobs = trainer.store.jobs
    other = jobs.enqueue("changes")
    assert jobs.claim("another", lease_seconds=60) is not None
    own = request(jobs, seed=1)

    def cancel(_share: float, _stage: str) -> None:
        jobs.cancel(own.job_id)

    ended = run_to_end(own, trainer, lease_seconds=15, progress=cancel)
    assert (ended.state, jobs.get(other.job_id).state) == ("cancelled", "running")


def test_cancelled_job_is_not_taken_over(trainer: Trainer) -> None:
    """A command that has only begun must not end with the cancelled job of one that was killed."""
    jobs = trainer.store.jobs
    killed = request(jobs)
    assert jobs.claim("killed", lease_seconds=-1) is not None
    jobs.cancel(killed.job_id)
    own = request(jobs)
    assert own.job_id != killed.job_id
    claim = jobs.claim("w", lease_seconds=60)
    assert claim is not None
    assert claim.job.job_id == own.job_id
    assert jobs.get(killed.job_id).state == "cancelled"


def test_other_request_is_another_job(trainer: Trainer) -> None:
    jobs = trainer.store.jobs
    killed = request(jobs, seed=1)
    assert jobs.claim("killed", lease_seconds=-1) is not None
    assert request(jobs, seed=1).job_id == killed.job_id
    assert request(jobs, seed=2).job_id != killed.job_id
    assert request(jobs, seed=1, accept=True).job_id != killed.job_id


def test_waits_for_a_running_command(trainer: Trainer) -> None:
    """What was stored since the other one began is not in its snapshot, so this one trains afterwards."""
    jobs = trainer.store.jobs
    running = jobs.enqueue(COMMAND)
    claim = jobs.claim("other terminal", lease_seconds=60)
    assert claim is not None
    told: list[str] = []

    def progress(_share: float, stage: str) -> None:
        told.append(stage)
        jobs.finish(claim, state="failed", reason="done")

    own = request(jobs, progress=progress)
    assert own.job_id != running.job_id
    assert told == ["waiting for another `reckon train`: running"]


def test_spent_job_is_not_taken_over(trainer: Trainer) -> None:
    jobs = trainer.store.jobs
    spent = request(jobs)
    for _ in range(MAX_ATTEMPTS):
        assert jobs.claim("killed", lease_seconds=-1) is not None
    own = request(jobs)
    assert own.job_id != spent.job_id
    claim = jobs.claim("w", lease_seconds=60)
    assert claim is not None
    assert claim.job.job_id == own.job_id
    assert jobs.get(spent.job_id).state == "failed"
