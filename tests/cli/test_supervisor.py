"""Pauses before restarts, signals, and what a service leaves behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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


SLEEP = "import time; time.sleep(600)"
ANSWER = "import os, pathlib; pathlib.Path({folder!r}, f'ready-{{os.getpid()}}').touch(); " + SLEEP


def running(name: str, program: str, ready_folder: Path | None = None) -> Child:
    return Child(name, ["timeit", "-n", "1", "-r", "1", program], dict(os.environ), ready_folder=ready_folder)


def run_until(is_over: Callable[[], bool], children: Sequence[Child], folder: Path) -> None:
    """Restart them one by one, and stop once `is_over` is true."""
    has_begun: list[None] = []

    def is_ready() -> bool:
        if not has_begun:
            has_begun.append(None)
            signal.raise_signal(signal.SIGUSR2)
            return False
        return is_over()

    run_together(
        children,
        folder / "processes.json",
        is_ready=is_ready,
        announce=lambda: signal.raise_signal(signal.SIGTERM),
        drain_seconds=0,
    )


def test_others_die_during_a_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are started again, and their states are written, while the new process does not answer yet."""
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_SECONDS", 0.01)
    slow, dying = running("slow", SLEEP, tmp_path), Child("dying", ["no_such_module"], dict(os.environ))
    beside: list[subprocess.Popen[bytes]] = []

    def is_over() -> bool:
        if slow._beside is not None:
            beside.append(slow._beside)
        return dying.n_ends >= 3 and '"exit code 1"' in (tmp_path / "processes.json").read_text()

    run_until(is_over, [slow, dying], tmp_path)
    assert len({process.pid for process in beside}) == 1
    # The stop ends both processes of the replacement.
    assert beside[0].returncode is not None
    assert (slow.n_ends, slow._process, slow._beside) == (0, None, None)


def test_each_replaced(tmp_path: Path) -> None:
    """One after the other; of the last one, only one process may run."""
    answering = ANSWER.format(folder=str(tmp_path))
    children = [running("api 1", answering, tmp_path), running("api 2", answering, tmp_path), running("worker", SLEEP)]
    pids: dict[str, list[int]] = {child.name: [] for child in children}

    def is_over() -> bool:
        assert sum(child._beside is not None for child in children) <= 1
        worker = children[2]
        assert worker._beside is None or worker._process is None
        for child in children:
            if child._process is not None and child._process.pid not in pids[child.name]:
                pids[child.name].append(child._process.pid)
        return all(len(each) == 2 for each in pids.values()) and not any(child._beside for child in children)

    run_until(is_over, children, tmp_path)
    assert [child.n_ends for child in children] == [0, 0, 0]


def test_dies_while_it_is_replaced(tmp_path: Path) -> None:
    """The new process then takes its place without a pause."""
    child = running("api 1", ANSWER.format(folder=str(tmp_path)), tmp_path)
    child.start()
    assert child._process is not None
    steps = child.replace()
    next(steps)
    new = child._beside
    child._process.kill()
    child._process.wait()
    child.watch()
    assert child.state.state == "restarting"
    for _ in steps:
        time.sleep(0.01)
    assert child._process is new
    assert child._beside is None
    child.terminate()
    child.wait()


def test_new_process_that_dies(tmp_path: Path) -> None:
    """The old one stays."""
    child = running("api 1", SLEEP, tmp_path)
    child.start()
    old = child._process
    child.command = ["no_such_module"]
    for _ in child.replace():
        time.sleep(0.01)
    assert child._process is old
    child.terminate()
    child.wait()


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
