"""Several workers with wrong clocks, stopped and continued: no stale one publishes, and a dead one is taken over.

Stopped for twice its lease, a worker wakes in the middle of a run that another one has taken over. Its clock may be an
hour ahead or behind.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from unittest.mock import patch

import sqlalchemy as sa

from app.store import Job, Store, migrate
from app.store.schema import training_jobs
from faults.trial import Figure, Trial
from tests.support.service import Instance
from tests.support.user_states import tasteful_ratings

LEASE_SECONDS = 4.0
HOURS = (-1, 0, 1)


def run(trial: Trial) -> Iterator[Figure]:
    n_rounds = trial.times(test=1, short=2, long=100)
    folder = trial.fresh_folder("service")
    migrate("", folder)
    n_published, n_taken_over, n_stopped, n_ended = 0, 0, 0, 0
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store.open("", folder)))
        store.ratings.record(tasteful_ratings(n_users=120, n_items=60, n_each=20))
        leases = {
            "RECKON_WORKER_LEASE_SECONDS": str(LEASE_SECONDS),
            "RECKON_TRAIN_AFTER_PERCENT": "0",
            "RECKON_TRAIN_INTERVAL_SECONDS": "0",
        }
        stack.enter_context(patch.dict(os.environ, leases))
        instance = Instance(folder)
        workers = [_start(instance, hours) for hours in HOURS[: trial.times(test=2, short=3, long=3)]]
        for worker in workers:
            stack.callback(_end, worker)
        for number in range(n_rounds):
            job = store.jobs.enqueue("request", seed=number)
            running = _wait(store, job, {"running"}, 60)
            stopped = next((each for each in workers if f"-{each.pid}-" in _worker_of(store, job)), None)
            if stopped is not None and running.state == "running":
                n_stopped += 1
                stopped.send_signal(signal.SIGSTOP)
                time.sleep(2 * LEASE_SECONDS + trial.choose.random())
                stopped.send_signal(signal.SIGCONT)
            ended = _wait(store, job, {"succeeded", "rejected", "failed"}, 120)
            n_ended += ended.state in {"succeeded", "rejected"}
            n_published += ended.state == "succeeded"
            n_taken_over += ended.attempts > 1
        # What was published twice, or by a stale worker, has no job of its own.
        n_snapshots = store.snapshots.next_version() - 1
        by_jobs = {job.snapshot_version for job in store.jobs.latest(1_000)} - {None}
        stale = [entry.version for entry in store.snapshots.entries() if entry.version not in by_jobs]
    counts = f"{len(stale)}, {n_published} published of {n_snapshots} versions begun, {n_stopped} workers stopped"
    yield Figure("promotions under a stale token", "0", counts, is_reached=not stale and n_stopped > 0)
    ended_counts = f"{n_ended} of {n_rounds}, {n_taken_over} taken over"
    yield Figure("jobs that ended well though workers stopped", "all", ended_counts, is_reached=n_ended == n_rounds)


def _start(instance: Instance, hours: int) -> subprocess.Popen[str]:
    return instance.start(str(3600 * hours), "app.cli", "worker", module="faults.shifted_clock")


def _end(worker: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        worker.send_signal(signal.SIGCONT)
    worker.kill()
    worker.communicate(timeout=30)


def _worker_of(store: Store, job: Job) -> str:
    with store.database.reading() as connection:
        find = sa.select(training_jobs.c.worker_id).where(training_jobs.c.job_id == job.job_id)
        return str(connection.execute(find).scalar_one())


def _wait(store: Store, job: Job, states: set[str], seconds: float) -> Job:
    """The job once it is in one of the states, or has ended."""
    deadline = time.monotonic() + seconds
    while (now := store.jobs.get(job.job_id)).state not in states and now.finished_at is None:
        if time.monotonic() > deadline:
            return now
        time.sleep(0.02)
    return now
