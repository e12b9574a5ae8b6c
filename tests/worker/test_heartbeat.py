from typing import cast

import pytest
from structlog.testing import capture_logs

from app.errors import UnavailableError
from app.store import Claim, JobCancelledError, LeaseLostError, Store
from app.store.jobs import Jobs
from app.worker import heartbeat as worker_heartbeat
from app.worker.heartbeat import BEATS_PER_LEASE, Heartbeat
from tests.support.service import wait_until


def claimed(store: Store, lease_seconds: float) -> Claim:
    store.jobs.enqueue("request")
    claim = store.jobs.claim("a-worker", lease_seconds=lease_seconds)
    assert claim is not None
    return claim


def test_lease_is_renewed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker, whose clock the test sets, sees that the lease goes on until the run has ended."""
    monkeypatch.setattr(worker_heartbeat, "BEATS_PER_LEASE", 1_000)
    seconds = [0.0]
    jobs = Jobs(store.database, lambda: seconds[0])
    claim = claimed(store, lease_seconds=60)
    assert jobs.claim("another", lease_seconds=60) is None
    with Heartbeat(store.jobs, claim) as heartbeat:
        heartbeat.progress(0.25, "learning")
        wait_until(lambda: store.jobs.get(claim.job.job_id).stage == "learning")
    seconds[0] += 61
    assert jobs.claim("another", lease_seconds=60) is None
    assert store.jobs.get(claim.job.job_id).progress == 0.25
    seconds[0] += 61
    assert jobs.claim("another", lease_seconds=60) is not None


def test_unforeseen_error_is_survived(store: Store) -> None:
    """A stage that the driver cannot send raises no error of ours; the beats after it renew the lease."""
    claim = claimed(store, lease_seconds=0.4)
    with capture_logs() as entries, Heartbeat(store.jobs, claim) as heartbeat:
        heartbeat.progress(0.25, cast("str", object()))
        wait_until(lambda: any(entry["event"] == "heartbeat missed" for entry in entries))
        heartbeat.progress(0.5, "learning")
        wait_until(lambda: store.jobs.get(claim.job.job_id).stage == "learning")


def test_lost_lease_stops_the_run(store: Store) -> None:
    claim = claimed(store, lease_seconds=0.0)
    assert store.jobs.claim("another", lease_seconds=60) is not None
    heartbeat = Heartbeat(store.jobs, Claim(claim.job, "a-worker", claim.token, lease_seconds=0.1 * BEATS_PER_LEASE))

    def is_lost() -> bool:
        try:
            heartbeat.progress(0.5, "learning")
        except LeaseLostError:
            return True
        return False

    with heartbeat:
        wait_until(is_lost)
    with pytest.raises(LeaseLostError):
        heartbeat.progress(0.6, "learning")


def test_cancelled_stops_the_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it has stopped, its lease is renewed, so that no other run begins."""
    monkeypatch.setattr(worker_heartbeat, "LOOK_SECONDS", 0.01)
    claim = claimed(store, lease_seconds=0.1 * BEATS_PER_LEASE)

    def is_cancelled() -> bool:
        try:
            heartbeat.progress(0.5, "learning")
        except JobCancelledError:
            return True
        return False

    with Heartbeat(store.jobs, claim) as heartbeat:
        assert not is_cancelled()
        store.jobs.cancel(claim.job.job_id)
        wait_until(is_cancelled)
        with pytest.raises(JobCancelledError):
            heartbeat.progress(0.75, "still learning")
        wait_until(lambda: store.jobs.get(claim.job.job_id).stage == "still learning")


def test_looks_between_beats(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease of ten minutes is renewed rarely, and its job is stopped soon nevertheless."""
    monkeypatch.setattr(worker_heartbeat, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(worker_heartbeat, "LOOKS_PER_TELL", 1_000_000)
    claim = claimed(store, lease_seconds=600)

    def is_cancelled() -> bool:
        try:
            heartbeat.progress(0.5, "learning")
        except JobCancelledError:
            return True
        return False

    with Heartbeat(store.jobs, claim) as heartbeat:
        store.jobs.cancel(claim.job.job_id)
        wait_until(is_cancelled, 60)
    assert store.jobs.get(claim.job.job_id).stage is None


def test_news_are_told_soon(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress that is new is stored long before a lease of ten minutes is renewed, and so is the log."""
    monkeypatch.setattr(worker_heartbeat, "LOOK_SECONDS", 0.01)
    claim = claimed(store, lease_seconds=600)
    kept: list[str] = []
    with Heartbeat(store.jobs, claim, keep=lambda: kept.append("log")) as heartbeat:
        heartbeat.progress(0.5, "learning")
        wait_until(lambda: store.jobs.get(claim.job.job_id).stage == "learning" and bool(kept))
    assert len(kept) >= 2


def test_unkept_log_ends_no_run(store: Store) -> None:
    def fail() -> None:
        raise UnavailableError("the database is away")

    with capture_logs() as entries, Heartbeat(store.jobs, claimed(store, lease_seconds=60), keep=fail):
        pass
    assert [entry["event"] for entry in entries] == ["log of the run not kept"]
