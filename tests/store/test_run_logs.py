"""The logs of runs: replaced as they grow, kept for the newest jobs, and written by the holder of the claim alone."""

import pytest

from app.store import Claim, Store, run_logs
from app.store.run_logs import RunLog, RunLogEntry

LOADED = RunLogEntry(1.5, "loading", "finished", seconds=0.2, figures={"n_ratings": 7})
CHOSEN = RunLogEntry(2.5, "evaluating > candidate", "decision", "rating by biases: RMSE 0.9")


def claimed(store: Store, lease_seconds: float = 60) -> Claim:
    store.jobs.enqueue("request")
    claim = store.jobs.claim("a-worker", lease_seconds=lease_seconds)
    assert claim is not None
    return claim


def test_kept_as_written(store: Store) -> None:
    claim = claimed(store)
    job_id = claim.job.job_id
    assert store.run_logs.of_job(job_id) is None
    store.run_logs.keep(claim, [LOADED])
    store.run_logs.keep(claim, [LOADED, CHOSEN])
    store.jobs.finish(claim, state="rejected", reason="why")
    assert store.run_logs.of_job(job_id) == RunLog(1, (LOADED, CHOSEN))
    store.run_logs.keep(claim, [CHOSEN])
    assert store.run_logs.of_job(job_id) == RunLog(1, (CHOSEN,))
    assert store.run_logs.of_job("another") is None


def test_not_by_replaced_worker(store: Store) -> None:
    silent = claimed(store, lease_seconds=-1)
    store.run_logs.keep(silent, [LOADED])
    taker = store.jobs.claim("another", lease_seconds=60)
    assert taker is not None
    store.run_logs.keep(taker, [CHOSEN])
    store.run_logs.keep(silent, [LOADED])
    assert store.run_logs.of_job(silent.job.job_id) == RunLog(2, (CHOSEN,))


def test_old_ones_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_logs, "N_KEPT", 2)
    job_ids = []
    for _ in range(4):
        claim = claimed(store)
        store.run_logs.keep(claim, [LOADED])
        store.jobs.finish(claim, state="failed", reason="why")
        job_ids.append(claim.job.job_id)
    assert [store.run_logs.of_job(job_id) is not None for job_id in job_ids] == [False, False, True, True]
