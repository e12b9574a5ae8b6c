"""Child processes started, watched and stopped together."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

POLL_SECONDS = 0.1
STOP_SECONDS = 20.0
RESTART_SECONDS = 1.0
QUICK_DEATH_SECONDS = 5.0
MAX_QUICK_DEATHS = 3


@dataclass(slots=True)
class Child:
    """One process of ours; its own session, so that Ctrl-C reaches it through us alone, in order."""

    command: list[str]
    environment: dict[str, str]
    passed_descriptors: tuple[int, ...] = ()
    _process: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0
    _quick_deaths: int = 0

    def start(self) -> None:
        self._started_at = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603  our own commands
            self.command, env=self.environment, pass_fds=self.passed_descriptors, start_new_session=True
        )

    def watch(self) -> bool:
        """Start it again if it died; False once it keeps dying right after its start."""
        if self._process is None or self._process.poll() is None:
            return True
        lived = time.monotonic() - self._started_at
        self._quick_deaths = self._quick_deaths + 1 if lived < QUICK_DEATH_SECONDS else 0
        if self._quick_deaths >= MAX_QUICK_DEATHS:
            return False
        time.sleep(RESTART_SECONDS)
        self.start()
        return True

    def terminate(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def run_together(children: Sequence[Child], *, is_ready: Callable[[], bool], announce: Callable[[], None]) -> bool:
    """Run until SIGINT or SIGTERM, then stop all; False if one kept dying. `announce` is called once, when ready."""
    with _stop_signals() as received:
        try:
            for child in children:
                child.start()
            is_announced = False
            while not received:
                if not all(child.watch() for child in children):
                    return False
                if not is_announced and is_ready():
                    is_announced = True
                    announce()
                time.sleep(POLL_SECONDS)
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait()
    return True


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """The stop signals received so far."""
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    previous = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
