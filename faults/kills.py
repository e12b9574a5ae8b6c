"""API processes, the worker and the whole service are killed while a client counts what they acknowledge."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from app.store import migrate
from faults.trial import Figure, Trial
from faults.write_load import Batch, WriteLoad, stored_rows
from tests.support.service import ROOT, Instance, free_port, wait_until

WRITER = """
import sys
from pathlib import Path
from app.store import Store
from faults.write_load import Batch
store = Store.open("", Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 1_000_000_000, 3):
    Batch(number, 5).record(store)
    print(number, flush=True)
"""
"""Prints the number of each batch of ratings once it is acknowledged."""


def run(trial: Trial) -> Iterator[Figure]:
    folder = trial.fresh_folder("sqlite")
    if trial.size == "test":
        yield _kill_writers(trial, folder)
        return
    yield _kill_services(trial, Instance(folder), "SQLite")
    with trial.postgres() as server, server.database() as url:
        yield _kill_services(trial, Instance(trial.fresh_folder("data"), url), "Postgres")


def _kill_services(trial: Trial, instance: Instance, name: str) -> Figure:
    """Each round kills API processes and the worker of one service, which starts them again, and in the end all."""
    migrate(instance.database_url, instance.data_dir)
    load, port, n_kills = WriteLoad(), free_port(), 0
    with load.to_service(f"http://127.0.0.1:{port}", n_writers=3, size=trial.times(test=5, short=20, long=60)):
        for _ in range(trial.times(test=0, short=1, long=75)):
            with instance.serving("--processes", "2", "--port", str(port)) as service:
                service.call("POST", "/training-jobs")
                for _ in range(2):
                    time.sleep(trial.choose.uniform(0.1, 1.0))
                    n_kills += _kill(trial.choose.sample(service.children(), 1))
                _wait_for_writes(load)
                n_kills += _kill([*service.children(), service.process.pid])
    rows = stored_rows(instance.data_dir / "reckon.db" if name == "SQLite" else instance.database_url)
    if name == "SQLite":
        _check_integrity(instance.data_dir / "reckon.db")
    acknowledged = [row for each in load.acknowledged() for row in each.batch.rows]
    return _figure(name, n_kills, acknowledged, rows)


def _wait_for_writes(load: WriteLoad) -> None:
    n = len(load.acknowledged())
    with suppress(AssertionError):  # both API processes may be gone; the service starts them again later
        wait_until(lambda: len(load.acknowledged()) > n + 20, 5)


def _kill(pids: list[int]) -> int:
    n_killed = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            n_killed += 1
    return n_killed


def _kill_writers(trial: Trial, folder: Path) -> Figure:
    """The same without a service: processes that write to one database and are killed."""
    migrate("", folder)
    command = [sys.executable, "-c", WRITER, str(folder)]
    writers = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, cwd=ROOT, text=True) for n in (1, 2)]
    numbers = []
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(trial.choose.uniform(0.05, 0.15))
        writer.kill()
    for first, writer in enumerate(writers, start=1):
        text, _ = writer.communicate()
        n_whole = text.count("\n") + 1  # the line that was read, and whole lines
        numbers += [first + 3 * n for n in range(n_whole)]
    _check_integrity(folder / "reckon.db")
    acknowledged = [row for number in numbers for row in Batch(number, 5).rows]
    return _figure("SQLite, without a service", len(writers), acknowledged, stored_rows(folder / "reckon.db"))


def _check_integrity(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _figure(name: str, n_kills: int, acknowledged: list[str], rows: Counter[str]) -> Figure:
    n_lost = sum(row not in rows for row in acknowledged)
    n_twice = sum(n > 1 for n in rows.values())
    return Figure(
        f"acknowledged writes lost over kill -9, {name}",
        "0, and none stored twice",
        f"{n_lost} of {len(acknowledged):,} over {n_kills} kills; {n_twice} stored twice",
        is_reached=n_lost == 0 and n_twice == 0 and len(acknowledged) > 0,
    )
