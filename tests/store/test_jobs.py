"""The queue, the lease with its fencing token, and the register of snapshots."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from app.errors import NotFoundError
from app.store import Claim, JobCancelledError, LeaseLostError, Store
from app.store.jobs import COMMAND, JobEndedError, Jobs
from app.store.schema import training_jobs
from tests.support.published import live_version


def claimed(store: Store, worker: str = "w1", lease_seconds: float = 60) -> Claim:
    claim = store.jobs.claim(worker, lease_seconds=lease_seconds)
    assert claim is not None
    return claim


def published(store: Store, version: int | None = None) -> int:
    store.jobs.enqueue("request")
    version = store.snapshots.next_version() if version is None else version
    store.snapshots.register(claimed(store), version=version, path=f"snapshots/{version}", card={"n": version})
    return version


def test_job_runs_once(store: Store) -> None:
    job = store.jobs.enqueue("request", seed=3)
    assert store.jobs.enqueue("request", seed=3).job_id == job.job_id
    claim = claimed(store)
    assert (claim.job.job_id, claim.job.state, claim.job.attempts) == (job.job_id, "running", 1)
    assert store.jobs.claim("w2", lease_seconds=60) is None
    store.jobs.heartbeat(claim, progress=0.5, stage="fit")
    assert store.jobs.get(job.job_id).progress == 0.5
    store.jobs.finish(claim, state="failed", reason="why")
    assert store.jobs.get(job.job_id).reason == "why"
    assert store.jobs.claim("w2", lease_seconds=60) is None


def test_one_claim_of_many(store: Store) -> None:
    store.jobs.enqueue("request", seed=1)
    store.jobs.enqueue("request", seed=2)
    with ThreadPoolExecutor(6) as pool:
        claims = list(pool.map(lambda n: store.jobs.claim(f"w{n}", lease_seconds=60), range(6)))
    assert sum(claim is not None for claim in claims) == 1


def test_silent_worker_is_replaced(store: Store) -> None:
    store.jobs.enqueue("request")
    silent = claimed(store, "w1", lease_seconds=-1)
    taker = claimed(store, "w2")
    assert taker.job.job_id == silent.job.job_id
    assert taker.token > silent.token
    with pytest.raises(LeaseLostError):
        store.jobs.heartbeat(silent, progress=1, stage="late")
    with pytest.raises(LeaseLostError):
        store.snapshots.register(silent, version=1, path="p", card={})
    assert store.snapshots.entries() == []
    store.snapshots.register(taker, version=2, path="p", card={})
    assert live_version(store) == 2


class Clock:
    """Seconds, monotonic."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("hours", [-1, 1])
def test_lease_of_a_skewed_worker(store: Store, hours: int) -> None:
    """A worker whose clock is wrong keeps its job while it reports, and loses it once it is silent."""
    clock = Clock()
    watching = Jobs(store.database, clock)
    store.jobs.enqueue("request")
    claim = claimed(store, "skewed", lease_seconds=15)
    for beat in range(4):
        # What a heartbeat of that worker writes into a database without a clock of its own.
        skew_lease(store, beat, hours)
        clock.now += 14
        if not is_expired_by_database(store, hours):
            assert watching.claim("watching", lease_seconds=15) is None
    clock.now += 16
    taken = watching.claim("watching", lease_seconds=15)
    assert taken is not None
    assert taken.token > claim.token


def skew_lease(store: Store, beat: int, hours: int) -> None:
    lease_until = store.database.now() + beat + hours * 3_600_000_000
    with store.database.writing() as connection:
        connection.execute(sa.update(training_jobs).values(lease_until=lease_until))


def is_expired_by_database(store: Store, hours: int) -> bool:
    """In a database with a clock of its own, a lease in the past was written by that clock and has expired."""
    return hours < 0 and store.database.dialect.has_own_clock


def test_third_silence_fails(store: Store) -> None:
    job = store.jobs.enqueue("request")
    for _ in range(3):
        claimed(store, lease_seconds=-1)
    assert store.jobs.claim("w", lease_seconds=60) is None
    assert store.jobs.get(job.job_id).state == "failed"


def test_released_job_waits_again(store: Store) -> None:
    store.jobs.enqueue("request")
    store.jobs.release(claimed(store))
    assert claimed(store).job.attempts == 1


def test_unknown_job(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.jobs.get("nope")


def test_newest_goes_live(store: Store) -> None:
    assert store.snapshots.live() is None
    first, second = published(store), published(store)
    assert second > first
    assert live_version(store) == second
    assert [entry.version for entry in store.snapshots.entries()] == [second, first]
    assert store.jobs.latest(1)[0].snapshot_version == second


def test_activation_pins(store: Store) -> None:
    first, second = published(store), published(store)
    assert store.snapshots.activate(first).is_pinned
    third = published(store)
    assert live_version(store) == first
    assert not store.snapshots.forget(first)
    assert store.snapshots.forget(second)
    assert store.snapshots.activate(None).version == third
    published(store)
    assert live_version(store) == third + 1


def test_activate_unknown(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.snapshots.activate(9)
    with pytest.raises(NotFoundError):
        store.snapshots.activate(None)


def rejected(store: Store, reason: str = "worse") -> None:
    store.jobs.enqueue("request")
    store.jobs.finish(claimed(store), state="rejected", reason=reason, advice="train otherwise")


def test_rejections_since_success(store: Store) -> None:
    assert store.jobs.rejections() is None
    for n in range(1, 3):
        rejected(store, f"worse {n}")
        found = store.jobs.rejections()
        assert found is not None
        assert (found.n, found.newest.reason, found.newest.advice) == (n, f"worse {n}", "train otherwise")
    published(store)
    assert store.jobs.rejections() is None
    rejected(store)
    # A failure is neither a rejection nor a success.
    store.jobs.enqueue("request")
    store.jobs.finish(claimed(store), state="failed", reason="no room")
    found = store.jobs.rejections()
    assert found is not None
    assert found.n == 1


def test_acceptance_is_another_request(store: Store) -> None:
    plain, accepting = store.jobs.enqueue("request"), store.jobs.enqueue("request", accept=True)
    assert (plain.accept, accepting.accept) == (False, True)
    assert plain.job_id != accepting.job_id
    assert store.jobs.enqueue("request", accept=True).job_id == accepting.job_id


def test_acceptance_survives_attempts(store: Store) -> None:
    store.jobs.enqueue("request", accept=True)
    assert claimed(store, lease_seconds=-1).job.accept
    assert claimed(store, "w2").job.accept


def test_withdrawn(store: Store) -> None:
    job = store.jobs.enqueue("request")
    assert store.jobs.withdraw(job.job_id, reason="interrupted")
    ended = store.jobs.get(job.job_id)
    assert (ended.state, ended.reason) == ("failed", "interrupted")
    assert ended.finished_at is not None
    assert store.jobs.claim("w1", lease_seconds=60) is None
    assert not store.jobs.withdraw(job.job_id, reason="again")


def test_running_is_not_withdrawn(store: Store) -> None:
    job = store.jobs.enqueue("request")
    claim = claimed(store)
    assert not store.jobs.withdraw(job.job_id, reason="interrupted")
    store.jobs.heartbeat(claim, progress=0.5, stage="still running")


def test_running_command(store: Store) -> None:
    request: dict[str, Any] = {"seed": 3, "recipe": None, "accept": False}
    assert store.jobs.running_command(**request) is None
    job = store.jobs.enqueue(COMMAND, **request)
    assert store.jobs.running_command(**request) is None  # queued
    claimed(store, "alive", lease_seconds=60)
    assert found(store, request) == (job.job_id, False)
    assert store.jobs.running_command(**request | {"seed": 4}) is None
    assert store.jobs.running_command(**request | {"accept": True}) is None


def test_gone_command(store: Store) -> None:
    request: dict[str, Any] = {"seed": 3, "recipe": None, "accept": False}
    job = store.jobs.enqueue(COMMAND, **request)
    claimed(store, "killed", lease_seconds=-1)
    assert found(store, request) == (job.job_id, True)
    claimed(store, "worker", lease_seconds=60)
    assert found(store, request) == (job.job_id, True)


def test_request_of_api_is_no_command(store: Store) -> None:
    store.jobs.enqueue("request")
    claimed(store)
    assert store.jobs.running_command(seed=None, recipe=None, accept=False) is None


def found(store: Store, request: dict[str, Any]) -> tuple[str, bool] | None:
    running = store.jobs.running_command(**request)
    return None if running is None else (running[0].job_id, running[1])


def test_queued_is_cancelled(store: Store) -> None:
    job = store.jobs.enqueue("changes")
    ended = store.jobs.cancel(job.job_id)
    assert (ended.state, ended.reason) == ("cancelled", "cancelled by an operator")
    assert ended.finished_at == ended.cancel_requested_at is not None
    assert store.jobs.claim("w1", lease_seconds=60) is None
    assert store.jobs.cancel(job.job_id) == ended == store.jobs.get(job.job_id)
    assert store.jobs.enqueue("changes").job_id != job.job_id


def test_running_is_cancelled(store: Store) -> None:
    """Its run goes on until it notices, and cannot publish any more."""
    job = store.jobs.enqueue("request")
    claim = claimed(store)
    store.jobs.check_wanted(claim)
    asked = store.jobs.cancel(job.job_id)
    assert (asked.state, asked.reason, asked.finished_at) == ("running", None, None)
    assert store.jobs.cancel(job.job_id) == asked
    store.jobs.heartbeat(claim, progress=0.5, stage="fit")
    with pytest.raises(JobCancelledError):
        store.jobs.check_wanted(claim)
    with pytest.raises(JobCancelledError):
        store.snapshots.register(claim, version=1, path="p", card={})
    assert (store.snapshots.entries(), store.jobs.get(job.job_id).state) == ([], "running")
    store.jobs.finish(claim, state="cancelled", reason="cancelled by an operator")
    assert store.jobs.cancel(job.job_id).state == "cancelled"


def test_ended_is_not_cancelled(store: Store) -> None:
    published(store)
    rejected(store)
    for before in store.jobs.latest():
        with pytest.raises(JobEndedError, match=before.state):
            store.jobs.cancel(before.job_id)
        assert store.jobs.get(before.job_id) == before
    with pytest.raises(NotFoundError):
        store.jobs.cancel("nope")


def test_cancelled_run_of_a_dead_worker(store: Store) -> None:
    job = store.jobs.enqueue("request")
    following = store.jobs.enqueue("request", seed=1)
    silent = claimed(store, "w1", lease_seconds=-1)
    store.jobs.cancel(job.job_id)
    assert claimed(store, "w2").job.job_id == following.job_id
    ended = store.jobs.get(job.job_id)
    assert (ended.state, ended.reason, ended.attempts) == ("cancelled", "cancelled by an operator", 1)
    with pytest.raises(LeaseLostError):
        store.jobs.finish(silent, state="failed", reason="late")


def test_cancelled_after_a_takeover(store: Store) -> None:
    job = store.jobs.enqueue("request")
    claimed(store, "w1", lease_seconds=-1)
    taker = claimed(store, "w2")
    store.jobs.cancel(job.job_id)
    with pytest.raises(JobCancelledError):
        store.jobs.check_wanted(taker)


def test_released_after_a_cancellation(store: Store) -> None:
    job = store.jobs.enqueue("request")
    claim = claimed(store)
    store.jobs.cancel(job.job_id)
    store.jobs.release(claim)
    ended = store.jobs.get(job.job_id)
    assert (ended.state, ended.reason) == ("cancelled", "cancelled by an operator")
    assert ended.finished_at is not None
    assert store.jobs.claim("w2", lease_seconds=60) is None


def test_claimed_and_cancelled_at_once(store: Store) -> None:
    """Either no worker gets the job, or the one that gets it can see that it is to end."""
    for n in range(20):
        job = store.jobs.enqueue("request", seed=n)
        with ThreadPoolExecutor(2) as pool:
            claiming = pool.submit(store.jobs.claim, "w1", lease_seconds=60)
            cancelling = pool.submit(store.jobs.cancel, job.job_id)
        claim = claiming.result()
        assert cancelling.result().state == ("cancelled" if claim is None else "running")
        if claim is not None:
            with pytest.raises(JobCancelledError):
                store.jobs.check_wanted(claim)
            store.jobs.release(claim)
        assert store.jobs.get(job.job_id).state == "cancelled"


def test_published_and_cancelled_at_once(store: Store) -> None:
    """Either the snapshot is published, or the job is to end; never both."""
    for version in range(1, 21):
        job = store.jobs.enqueue("request", seed=version)
        claim = claimed(store)
        with ThreadPoolExecutor(2) as pool:
            publishing = pool.submit(store.snapshots.register, claim, version=version, path="p", card={})
            cancelling = pool.submit(store.jobs.cancel, job.job_id)
        is_published = publishing.exception() is None
        assert is_published == (live_version(store) == version) == isinstance(cancelling.exception(), JobEndedError)
        if not is_published:
            assert isinstance(publishing.exception(), JobCancelledError)
            store.jobs.release(claim)


def test_cancelled_is_counted(store: Store) -> None:
    published(store)
    store.jobs.cancel(store.jobs.enqueue("request").job_id)
    summary = store.jobs.summary()
    assert (summary.n_finished["passed"], summary.n_finished["cancelled"], summary.n_queued) == (1, 1, 0)
    assert summary.last is not None
    assert summary.last.state == "succeeded"  # the other one never ran
