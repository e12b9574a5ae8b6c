"""The queue, the lease with its fencing token, and the register of snapshots."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import NotFoundError
from app.store import Claim, LeaseLostError, Store
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
