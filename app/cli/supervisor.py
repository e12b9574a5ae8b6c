"""Child processes started, watched and stopped together, which end with their parent.

`python -m app.cli.supervisor MODULE ARGUMENTS...` is the child's side: it runs a module until the parent is gone.

The standard input of a child is a pipe whose other end only the parent holds, and never writes to. However the parent
ends, SIGKILL included, the kernel closes its end and the child reads the end of the file. PR_SET_PDEATHSIG was refused:
it exists on Linux alone, fires when the thread that made the child ends, and misses a parent that died before the call.
"""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import structlog

POLL_SECONDS = 0.1
STOP_SECONDS = 20.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
"""The pause before a restart doubles with every death, up to the longest."""

STEADY_SECONDS = 60.0
"""A child that lived this long starts again after the first pause. Longer than any pause."""

log = structlog.get_logger()


@dataclass(slots=True)
class Child:
    """One child process, restarted whenever it ends.

    `name` is what the log calls it; `command` a Python module and its arguments.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    passed_descriptors: tuple[int, ...] = ()
    _process: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0
    _pause_seconds: float = 0.0
    _restart_at: float = 0.0

    def start(self) -> None:
        """Raises `OSError` when the system cannot make another process."""
        self._started_at = time.monotonic()
        # In a session of its own, so that Ctrl-C in the terminal reaches it through the supervisor alone, in order.
        self._process = subprocess.Popen(  # noqa: S603  our own commands
            [sys.executable, "-m", "app.cli.supervisor", *self.command],
            env=self.environment,
            stdin=subprocess.PIPE,
            pass_fds=self.passed_descriptors,
            start_new_session=True,
        )

    def watch(self) -> None:
        """Start the process again if it ended and its pause is over. Never waits, so that the others are watched."""
        if self._process is None:
            if time.monotonic() >= self._restart_at:
                self._restart()
            return
        status = self._process.poll()
        if status is None:
            return
        pid = self._process.pid
        self._forget()
        # A negative status is the number of the signal that ended the process.
        ending = {"signal": signal.Signals(-status).name} if status < 0 else {"exit_code": status}
        log.error("process ended", child=self.name, pid=pid, **ending, pause_seconds=self._plan_restart())

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
            # The machine is out of processes or memory for now. The other children go on serving.
            log.error(  # noqa: TRY400  the traceback would only show this function
                "process not started", child=self.name, reason=str(error), pause_seconds=self._plan_restart()
            )
        else:
            log.info("process started again", child=self.name, pid=self._process.pid if self._process else None)

    def _forget(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    def terminate(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait until the process ended; kill it after `STOP_SECONDS`."""
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._forget()


def run_together(children: Sequence[Child], *, is_ready: Callable[[], bool], announce: Callable[[], None]) -> None:
    """Run until one of `STOP_SIGNALS`, then stop all. `announce` is called once, when `is_ready` is first true.

    A child that ends is started again, however often; the others go on meanwhile.
    """
    with _stop_signals() as received:
        try:
            for child in children:
                child.start()
            is_announced = False
            while not received:
                for child in children:
                    child.watch()
                if not is_announced and is_ready():
                    is_announced = True
                    announce()
                time.sleep(POLL_SECONDS)
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait()


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """The stop signals received so far."""
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    previous = {
        number: signal.signal(number, receive)
        for number in STOP_SIGNALS
        # Under `nohup` SIGHUP is ignored: the service is meant to outlive its terminal.
        if not (number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN)
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_child(module: str, arguments: list[str]) -> None:
    """Run the module as `python -m` does, in this process, until it ends or the parent is gone."""
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    """Stop this process as the parent would have: SIGTERM, so that requests in flight are finished, later SIGKILL."""
    # Not `sys.stdin.read`, whose lock would be held by this thread when the interpreter ends.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run_child(sys.argv[1], sys.argv[2:])
