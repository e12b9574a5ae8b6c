"""Starts, watches and stops child processes, which end when their parent ends.

`python -m app.cli.supervisor MODULE ARGUMENTS...` is the side of the child: it runs a module until the parent is gone.

The standard input of a child is a pipe. Only the parent holds the other end, and it never writes to it. However the
parent ends, SIGKILL included, the kernel closes that end and the child reads the end of the file.

Rejected alternative: PR_SET_PDEATHSIG exists only on Linux, fires when the thread that made the child ends, and misses
a parent that died before the call.
"""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from app.errors import ReckonError
from app.observability.processes import ProcessState, write_processes

POLL_SECONDS = 0.1
STOP_SECONDS = 20.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
RESTART_SIGNAL = signal.SIGUSR2
READY_SECONDS = 60.0
"""How long a new process may take until it answers, before the old one of a rolling restart stays instead."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
"""The pause before a restart doubles each time the process ends, up to the longest pause."""

STEADY_SECONDS = 60.0
"""A child that ran this long starts again after the first pause. Longer than any pause."""

OVER = object()
"""Instead of the next step of a replacement."""

log = structlog.get_logger()


@dataclass(slots=True)
class Child:
    """One child process, restarted whenever it ends.

    `name`: the name in the log.
    `command`: a Python module and its arguments.
    `environment`: the environment variables of the process.
    `passed_descriptors`: open files that the process inherits.
    `ready_folder`: where the process creates its `ready_file` once it answers. It may then run beside the process that
    it replaces. None: of such processes only one may run.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    passed_descriptors: tuple[int, ...] = ()
    ready_folder: Path | None = None
    last_exit: str | None = None
    n_ends: int = 0
    _since: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _beside: subprocess.Popen[bytes] | None = None
    """Of a replacement: the new process until it answers, and the old one until it has ended."""
    _started_at: float = 0.0
    _pause_seconds: float = 0.0
    _restart_at: float = 0.0

    def start(self) -> None:
        """Start the process. Raises `OSError` if the system cannot make another one."""
        self._started_at, self._since = time.monotonic(), _utc_now()
        self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        # The child has its own session: Ctrl-C in the terminal reaches only the supervisor, which stops all in order.
        return subprocess.Popen(  # noqa: S603  our own commands
            [sys.executable, "-m", "app.cli.supervisor", *self.command],
            env=self.environment,
            stdin=subprocess.PIPE,
            pass_fds=self.passed_descriptors,
            start_new_session=True,
        )

    def watch(self) -> None:
        """Start the process again if it ended and its pause is over. Returns at once, so the others are watched too."""
        if self._process is None:
            if time.monotonic() >= self._restart_at:
                self._restart()
            return
        status = self._process.poll()
        if status is None:
            return
        pid = self._process.pid
        self._forget()
        self._since = _utc_now()
        self.n_ends += 1
        self.last_exit = signal.Signals(-status).name if status < 0 else f"exit code {status}"
        # A negative status is the number of the signal that ended the process.
        ending = {"signal": signal.Signals(-status).name} if status < 0 else {"exit_code": status}
        _log(log.error, "process ended", child=self.name, pid=pid, **ending, pause_seconds=self._plan_restart())

    @property
    def state(self) -> ProcessState:
        if self._process is None:
            return ProcessState(self.name, "restarting", self._since, self.last_exit, self.n_ends)
        if time.monotonic() - self._started_at >= STEADY_SECONDS:
            self.last_exit = None
        return ProcessState(self.name, "running", self._since, self.last_exit, self.n_ends)

    def replace(self) -> Iterator[None]:
        """Put a new process in the place of the running one, in steps between which the others are watched.

        Where the new one cannot be started or does not answer, the running one stays.
        """
        if self._process is None:  # it is restarted anyway
            return
        if self.ready_folder is None:
            self._beside, self._process = self._process, None
            self._since, self._restart_at = _utc_now(), float("inf")  # its end is no failure
            yield from self._end_beside()
            self._restart_at = 0.0
            return
        started_at, since = time.monotonic(), _utc_now()
        try:
            self._beside = new = self._spawn()
        except OSError as error:
            _log(log.error, "process not replaced", child=self.name, reason=str(error))
            return
        while not (is_ready := ready_file(self.ready_folder, new.pid).exists()):
            if new.poll() is not None or time.monotonic() - started_at > READY_SECONDS:
                break
            yield
        if is_ready:
            old, self._process, self._beside = self._process, new, self._process
            self._started_at, self._since = started_at, since
            replaced = None if old is None else old.pid  # it may have ended meanwhile
            _log(log.info, "process replaced", child=self.name, pid=new.pid, replaced=replaced)
        else:
            _log(log.error, "process not replaced", child=self.name, reason="the new one does not answer")
        yield from self._end_beside()

    def _end_beside(self) -> Iterator[None]:
        """Stop the process that is not `_process`; kill it after `STOP_SECONDS`."""
        if (process := self._beside) is None:
            return
        process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            yield
        _close(process)
        self._beside = None

    def _plan_restart(self) -> float:
        """The pause before the next start, in seconds."""
        now = time.monotonic()
        if now - self._started_at >= STEADY_SECONDS:
            self._pause_seconds = 0.0
        self._pause_seconds = min(max(2 * self._pause_seconds, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self._restart_at = now + self._pause_seconds
        return self._pause_seconds

    def _restart(self) -> None:
        try:
            self.start()
        except OSError as error:
            # The machine may be short of processes or memory for a while. The other children go on serving.
            pause_seconds = self._plan_restart()
            _log(log.error, "process not started", child=self.name, reason=str(error), pause_seconds=pause_seconds)
        else:
            pid = None if self._process is None else self._process.pid
            _log(log.info, "process started again", child=self.name, pid=pid)

    def _forget(self) -> None:
        if self._process is not None:
            _close(self._process)
        self._process = None

    @property
    def _processes(self) -> list[subprocess.Popen[bytes]]:
        return [each for each in (self._process, self._beside) if each is not None]

    def terminate(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()

    def wait(self) -> None:
        """Wait until the process has ended. Kill it after `STOP_SECONDS`."""
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _close(process)
        self._process = self._beside = None


def _close(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe to a process that has ended."""
    if process.stdin is not None:
        process.stdin.close()


def ready_file(folder: Path, pid: int) -> Path:
    """What an API process creates once it answers."""
    return folder / f"ready-{pid}"


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _log(write: Callable[..., Any], event: str, **values: Any) -> None:
    # The reader of the log may have closed its pipe, or the disk may be full. The children must go on serving.
    with suppress(OSError):
        write(event, **values)


def run_together(
    children: Sequence[Child],
    processes_file: Path,
    *,
    is_ready: Callable[[], bool],
    announce: Callable[[], None],
    drain_seconds: float,
) -> None:
    """Run the children until one of `STOP_SIGNALS` arrives, then stop all of them. `RESTART_SIGNAL` replaces each.

    Their states are kept in `processes_file`. A child that ends is started again, however often; the others go on
    meanwhile. `announce` is called once, when `is_ready` returns true for the first time.

    SIGTERM, by which a service is taken from behind a balancer, first makes it unready for `drain_seconds`, in which
    all children go on. Another stop signal ends that time.
    """
    with _stop_signals() as received, _restart_signals() as requested:
        try:
            for child in children:
                child.start()
            is_announced = False
            reported: list[ProcessState] = []
            replacing: Iterator[None] = iter(())
            while not received:
                for child in children:
                    child.watch()
                # A step each time: a replacement may take minutes.
                if next(replacing, OVER) is OVER and requested:
                    requested.clear()
                    replacing = _replace_each(children)
                if (states := [child.state for child in children]) != reported:
                    reported = states
                    write_processes(processes_file, states)
                if not is_announced and is_ready():
                    is_announced = True
                    announce()
                time.sleep(POLL_SECONDS)
            _drain(children, processes_file, received, drain_seconds)
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait()


def _replace_each(children: Sequence[Child]) -> Iterator[None]:
    """One after the other, so that the others answer meanwhile."""
    for child in children:
        yield from child.replace()


def _drain(children: Sequence[Child], processes_file: Path, received: Sequence[int], seconds: float) -> None:
    """After SIGTERM, report all children as stopping, and wait for a balancer or a second stop signal."""
    if received[0] != signal.SIGTERM:
        return
    write_processes(processes_file, [replace(child.state, state="stopping") for child in children])
    deadline = time.monotonic() + seconds
    while len(received) == 1 and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


@contextmanager
def _restart_signals() -> Iterator[list[int]]:
    """The restart signals received since the list was cleared."""
    received: list[int] = []
    previous = signal.signal(RESTART_SIGNAL, lambda number, _frame: received.append(number))
    try:
        yield received
    finally:
        signal.signal(RESTART_SIGNAL, previous)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """The stop signals received so far."""
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    previous = {
        number: signal.signal(number, receive)
        for number in STOP_SIGNALS
        # `nohup` makes the process ignore SIGHUP, because the service is to outlive its terminal.
        if not (number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_child(module: str, arguments: list[str]) -> None:
    """Run the module as `python -m` does, in this process, until it ends or the parent is gone.

    An expected error is one line of the log, and exit code 1.
    """
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()
    sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except ReckonError as error:
        # A child is started again as long as the database is unreachable; a traceback each time would bury the reason.
        log.error("process cannot start", reason=error.detail)  # noqa: TRY400  see above
        sys.exit(1)


def _end_with_parent() -> None:
    """Wait for the end of the parent, then stop this process: SIGTERM first, so that requests finish, later SIGKILL."""
    # `sys.stdin.read` would leave this thread holding a lock when the interpreter ends.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run_child(sys.argv[1], sys.argv[2:])
