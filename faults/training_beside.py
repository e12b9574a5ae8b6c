"""Answers while the worker trains on the same machine, and training while requests are answered.

In one run, turn and turn about, so that a machine that drifts moves all: a load without training, training under the
load, training without load. Requests start at fixed times (`load.py`), 50 a second, each for another user.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from app.worker.priority import NICENESS
from benchmarks.serving_data import RECIPE, fill
from faults.load import Answers, Request, load
from faults.trial import Figure, Trial
from tests.support.service import Instance, RunningService

PER_SECOND = 50
MAX_LATENCY, MAX_DURATION = 1.5, 1.3
N_USERS = {"short": 1_000, "long": 10_000}
IDLE_SECONDS = {"short": 5.0, "long": 20.0}
TRAINING_SECONDS, LOOK_SECONDS = 600, 0.5
ACCEPTED = 202
YIELDING_PROCESS = """
import numpy
from app.worker.priority import yield_to_requests
yield_to_requests()
print(flush=True)
import sys; sys.stdin.read()
"""


def run(trial: Trial) -> Iterator[Figure]:
    if trial.size == "test":  # ratios of times need real processes and minutes
        yield Figure("threads of a worker that yield", "all", *yielding_of_process())
        return
    data_dir = trial.fresh_folder("data")
    fill(data_dir, n_users=N_USERS[trial.size])
    instance = Instance(data_dir)
    with instance.serving("--no-worker") as service:
        worker = instance.start("worker")
        try:
            train(service, seed=0)  # compiles the kernels, and publishes what is answered from
            yield from measure(trial, service, worker.pid)
        finally:
            worker.terminate()
            worker.communicate()


def measure(trial: Trial, service: RunningService, worker: int) -> Iterator[Figure]:
    idle, beside, alone_seconds, beside_seconds = [], [], [], []
    for number in range(trial.times(test=1, short=1, long=3)):
        with asked(service, trial) as answers:
            time.sleep(IDLE_SECONDS[trial.size])
        idle.append(answers)
        with asked(service, trial) as answers:
            beside_seconds.append(train(service, seed=2 * number + 1))
        beside.append(answers)
        alone_seconds.append(train(service, seed=2 * number + 2))
    ratio = p99(beside) / p99(idle)
    n_failed = sum(len(each) - each.count(200) for each in (*idle, *beside))
    yield Figure(
        "p99 of answers while training",
        f"<= {MAX_LATENCY} x idle, no errors",
        f"{ratio:.2f} x ({p99(beside) * 1e3:.1f} ms, idle {p99(idle) * 1e3:.1f} ms; {sum(map(len, beside)):,} and"
        f" {sum(map(len, idle)):,} requests, {n_failed} failed)",
        ratio <= MAX_LATENCY and not n_failed,
        is_timed=True,
    )
    slower = statistics.median(beside_seconds) / statistics.median(alone_seconds)
    yield Figure(
        f"training beside {PER_SECOND} requests a second",
        f"<= {MAX_DURATION} x as long",
        f"{slower:.2f} x ({statistics.median(beside_seconds):.1f} s, alone {statistics.median(alone_seconds):.1f} s)",
        slower <= MAX_DURATION,
        is_timed=True,
    )
    yield Figure("threads of the worker that yield", "all", *yielding(worker))


def asked(service: RunningService, trial: Trial) -> AbstractContextManager[Answers]:
    users = [f"/users/u{trial.choose.randrange(N_USERS[trial.size]) + 1}/recommendations" for _ in range(20_000)]
    return load(service.address, lambda n: Request("GET", users[n % len(users)]), per_second=PER_SECOND)


def p99(loads: list[Answers]) -> float:
    """The median of the loads, seconds."""
    return statistics.median(each.percentile(99) for each in loads)


def train(service: RunningService, seed: int) -> float:
    """The seconds from the start of the run to its end."""
    status, job = service.call("POST", "/training-jobs", {"seed": seed, "recipe": RECIPE, "accept": True})
    if status != ACCEPTED:
        raise RuntimeError(job)

    deadline, run = time.monotonic() + TRAINING_SECONDS, job
    while run["finished_at"] is None and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)  # seldom, since this is a request, too
        run = service.get(f"/training-jobs/{job['job_id']}")
    if run["state"] != "succeeded":
        raise RuntimeError(run)
    started, finished = (datetime.fromisoformat(run[name]) for name in ("started_at", "finished_at"))
    return (finished - started).total_seconds()


def yielding(worker: int) -> tuple[str, bool]:
    """How many threads of the process have the lowest priority, and whether all have."""
    nicenesses = [os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path(f"/proc/{worker}/task").iterdir()]
    n_yielding = nicenesses.count(NICENESS)
    return f"{n_yielding} of {len(nicenesses)}", n_yielding == len(nicenesses)


def yielding_of_process() -> tuple[str, bool]:
    """As `yielding`, of a process that only has the threads of numpy."""
    command = [sys.executable, "-c", YIELDING_PROCESS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("no pipes")
        process.stdout.readline()
        seen = yielding(process.pid)
        process.stdin.close()
    return seen
