"""Pauses before restarts, signals, and what a service leaves behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from app.cli import supervisor
from app.cli.serve import METRICS_PREFIX, metrics_folder
from app.cli.supervisor import STEADY_SECONDS, Child, _stop_signals, log, run_together


def test_pauses_grow() -> None:
    child = Child("dying", [], {}, _started_at=time.monotonic())
    assert [child._plan_restart() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_steady_child_starts_anew() -> None:
    child = Child("steady", [], {}, _started_at=time.monotonic() - STEADY_SECONDS, _pause_seconds=16)
    assert child._plan_restart() == 1


def test_child_that_dies_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is started anew however often it dies, and the child beside it is not touched."""
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_SECONDS", 0.01)
    dying = Child("dying", ["no_such_module"], dict(os.environ))
    steady = Child("steady", ["timeit", "-n", "1", "-r", "1", "import time; time.sleep(600)"], dict(os.environ))
    pids: list[int | None] = []

    def died_often() -> bool:
        pids.append(None if steady._process is None else steady._process.pid)
        return dying.n_ends >= 4

    run_together(
        [dying, steady],
        tmp_path / "processes.json",
        is_ready=died_often,
        announce=lambda: signal.raise_signal(signal.SIGTERM),
        drain_seconds=0,
    )
    assert len(set(pids)) == 1
    assert (steady.n_ends, dying.last_exit) == (0, "exit code 1")


def test_nohup_is_heeded() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _stop_signals() as received:
            signal.raise_signal(signal.SIGHUP)
            assert received == []
            signal.raise_signal(signal.SIGQUIT)
            assert received == [signal.SIGQUIT]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_unwritable_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child is started again where its end cannot be logged."""

    def fail(*_: object, **_named: object) -> None:
        raise BrokenPipeError

    for method in ("info", "error"):
        monkeypatch.setattr(log, method, fail, raising=False)
    child = Child("dying", ["this"], dict(os.environ))
    child.start()
    child.terminate()
    child.wait()
    child._restart()
    assert child._process is not None
    child._process.wait()
    child.watch()
    assert child._process is None


def test_unreachable_database_is_one_line() -> None:
    command = [sys.executable, "-m", "app.cli.supervisor", "uvicorn", "app.main:create_app", "--factory", "--port", "0"]
    environment = os.environ | {
        "RECKON_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none",
        "RECKON_LOG_FORMAT": "json",
    }
    # The child ends when its standard input does, so that stays open until the error is logged.
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        (line,) = child.stderr.read().splitlines()
    assert child.returncode == 1
    assert json.loads(line)["reason"] == "the database does not answer"


def test_metrics_of_killed_services_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a running service stays; one whose service was killed is removed by the next start."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = tmp_path / f"{METRICS_PREFIX}killed"
    killed.mkdir()
    (killed / "counter_1.db").touch()
    with metrics_folder() as running:
        assert not killed.exists()
        with metrics_folder() as another:
            assert running.exists()
            assert another.exists()
    assert list(tmp_path.iterdir()) == []
