import threading
from dataclasses import dataclass, field

import pytest

from app.algorithms.progress import ProgressCallback, StageLog, ignore
from app.errors import ReckonError, StorageFullError, UnavailableError
from app.store import Claim, LeaseLostError, Store
from app.store.jobs import MAX_ATTEMPTS
from app.training.errors import SnapshotRejectedError, TrainingFailedError
from app.training.recipe import rating_recipe
from app.training.run import Trainer
from app.worker import heartbeat
from app.worker.attempt import attempt
from tests.support.published import live_version
from tests.support.user_states import tasteful_ratings


@dataclass(frozen=True)
class Scripted(Trainer):
    """A run that ends as the test says, after one sign of progress."""

    error: BaseException = field(kw_only=True)

    def run(self, claim: Claim, progress: ProgressCallback = ignore, record: StageLog | None = None) -> int:
        assert claim.job.state == "running"
        progress(0.5, "halfway")
        if record is not None:
            record.info("decision", stage="halfway", decision="to end")
        raise self.error


def claimed(store: Store, lease_seconds: float = 60) -> Claim:
    claim = store.jobs.claim("a-worker", lease_seconds=lease_seconds)
    assert claim is not None
    return claim


def end_of(trainer: Trainer, error: BaseException) -> tuple[str, str | None]:
    store = trainer.store
    store.jobs.enqueue("request")
    claim = claimed(store)
    scripted = Scripted(store, trainer.publisher, error=error)
    assert attempt(claim, scripted, store.jobs, stopping=threading.Event()) is None
    job = store.jobs.get(claim.job.job_id)
    return job.state, job.reason


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (SnapshotRejectedError("not good enough"), "rejected"),
        (TrainingFailedError("diverged"), "failed"),
        (StorageFullError("no room"), "failed"),
    ],
)
def test_foreseen_end_is_recorded(trainer: Trainer, error: ReckonError, state: str) -> None:
    """With the log of the run, whatever came of it."""
    assert end_of(trainer, error) == (state, error.detail)
    log = trainer.store.run_logs.of_job(trainer.store.jobs.latest(1)[0].job_id)
    assert log is not None
    assert [(entry.stage, entry.text) for entry in log.entries] == [("halfway", "to end")]


@pytest.mark.parametrize("cancelled_in", ["loading", "evaluating", "publishing: registering"])
def test_cancelled_publishes_nothing(trainer: Trainer, cancelled_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the last report as well, after which the run looks no more; its folder is gone."""
    monkeypatch.setattr(heartbeat, "LOOK_SECONDS", 0.01)
    store = trainer.store
    store.ratings.record(tasteful_ratings(n_users=60))
    job = store.jobs.enqueue("request", recipe=rating_recipe("funk_svd").document)
    cancelled: list[str] = []

    def cancel(_share: float, stage: str) -> None:
        if stage.startswith(cancelled_in) and not cancelled:
            cancelled.append(store.jobs.cancel(job.job_id).state)

    assert attempt(claimed(store), trainer, store.jobs, stopping=threading.Event(), progress=cancel) is None
    ended = store.jobs.get(job.job_id)
    assert cancelled == ["running"]
    assert (ended.state, ended.reason, ended.advice) == ("cancelled", "cancelled by an operator", None)
    assert ended.finished_at is not None
    assert (store.snapshots.entries(), list(trainer.publisher.root.glob("*"))) == ([], [])
    assert store.jobs.claim("another", lease_seconds=60) is None


@pytest.mark.parametrize("error", [ZeroDivisionError(), MemoryError(), UnavailableError("database away")])
def test_unforeseen_end_is_tried_again(trainer: Trainer, error: Exception) -> None:
    assert end_of(trainer, error) == ("running", None)


def test_last_attempt_fails_job(trainer: Trainer) -> None:
    jobs = trainer.store.jobs
    job = jobs.enqueue("request")
    scripted = Scripted(trainer.store, trainer.publisher, error=ZeroDivisionError())
    for attempts in range(1, MAX_ATTEMPTS + 1):
        claim = claimed(trainer.store, lease_seconds=0)
        assert claim.job.attempts == attempts
        attempt(claim, scripted, jobs, stopping=threading.Event())
    assert jobs.get(job.job_id).state == "failed"
    assert "ZeroDivisionError" in (jobs.get(job.job_id).reason or "")
    assert jobs.claim("a-worker", lease_seconds=60) is None


def test_stop_gives_job_back(trainer: Trainer) -> None:
    job = trainer.store.jobs.enqueue("request")
    trainer.store.ratings.record(tasteful_ratings(n_users=20))
    stopping = threading.Event()
    stopping.set()
    assert attempt(claimed(trainer.store), trainer, trainer.store.jobs, stopping=stopping) is None
    released = trainer.store.jobs.get(job.job_id)
    assert (released.state, released.attempts) == ("queued", 0)


def test_interrupt_gives_job_back(trainer: Trainer) -> None:
    job = trainer.store.jobs.enqueue("request")
    scripted = Scripted(trainer.store, trainer.publisher, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        attempt(claimed(trainer.store), scripted, trainer.store.jobs, stopping=threading.Event())
    assert trainer.store.jobs.get(job.job_id).state == "queued"


def test_taken_over_touches_nothing(trainer: Trainer) -> None:
    job = trainer.store.jobs.enqueue("request")
    stale = claimed(trainer.store, lease_seconds=0)
    current = claimed(trainer.store)
    for error in (LeaseLostError("taken over"), SnapshotRejectedError("no good")):
        scripted = Scripted(trainer.store, trainer.publisher, error=error)
        attempt(stale, scripted, trainer.store.jobs, stopping=threading.Event())
    assert trainer.store.jobs.get(job.job_id).state == "running"
    trainer.store.jobs.heartbeat(current, progress=0.5, stage="still mine")


def test_published(trainer: Trainer) -> None:
    trainer.store.ratings.record(tasteful_ratings(n_users=60))
    job = trainer.store.jobs.enqueue("request", recipe=rating_recipe("funk_svd").document)
    told: list[float] = []
    version = attempt(
        claimed(trainer.store),
        trainer,
        trainer.store.jobs,
        stopping=threading.Event(),
        progress=lambda share, _: told.append(share),
    )
    assert version == live_version(trainer.store) is not None
    assert trainer.store.jobs.get(job.job_id).state == "succeeded"
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 1
