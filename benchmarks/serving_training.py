"""Answers while the worker trains: the server keeps its core, the worker takes what is left of both."""

import statistics
from collections.abc import Callable
from functools import partial

from benchmarks.load import Load, measure, reckon_server
from benchmarks.serving_data import N_USERS, served_data
from benchmarks.serving_rates import RECOMMENDATIONS
from benchmarks.table import Row
from tests.support.service import Instance, RunningService, wait_until

IDLE_ROUNDS = 3


def training_rows() -> list[Row]:
    """One connection, another user each time; before, during and after a run."""
    with served_data() as data_dir, reckon_server(data_dir) as address:
        once = partial(measure, address, RECOMMENDATIONS, 1, N_USERS, connections=1)
        once()
        idle = [once() for _ in range(IDLE_ROUNDS)]
        worker = Instance(data_dir).start("worker")
        try:
            during = _while_training(RunningService(address, worker), once)
        finally:
            worker.terminate()
            worker.wait()
        idle += [once() for _ in range(IDLE_ROUNDS)]
    ratio = _p99(during) / _p99(idle)
    note = f"p99 {_p99(during):.2f} ms, idle {_p99(idle):.2f} ms; {len(during)} rounds of 2 s, {_errors(during)} errors"
    return [Row("answers during a training run, one connection", "p99 <= 1.5 x idle", f"{ratio:.2f} x", note)]


def _while_training(service: RunningService, once: Callable[[], Load]) -> list[Load]:
    status, job = service.call("POST", "/training-jobs", {"seed": 1})
    if status != 202:
        raise RuntimeError(job)

    def is_running() -> bool:
        return bool(service.get(f"/training-jobs/{job['job_id']}")["state"] == "running")

    wait_until(is_running)
    during = []
    while is_running():
        during.append(once())
    return during


def _p99(loads: list[Load]) -> float:
    return statistics.median(load.p99_milliseconds for load in loads)


def _errors(loads: list[Load]) -> int:
    return sum(load.errors for load in loads)
