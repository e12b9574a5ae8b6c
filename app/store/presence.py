"""Tells the database, from a thread of its own, that this process runs and what it does.

With each beat go the counts of what was stored since the last one (`arrivals.py`), so that neither is written by a
request. A beat that fails disturbs nothing: the next one comes ten seconds later.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog

from app import __version__
from app.errors import ReckonError
from app.store.processes import Identity
from app.store.store import Store

FIRST_BEAT_SECONDS = 1.0
BEAT_SECONDS = 10.0

PROCESS_NAME = "RECKON_PROCESS_NAME"
"""The environment variable by which `reckon serve` tells a process what it is called."""

log = structlog.get_logger()


class Presence:
    """Keeps the row of this process in `processes` from `start` to `stop`.

    `kind`: the name of a process to which none was given. `snapshot_version`: returns that of the snapshot served.
    `activity`: returns what the process did, as `Activity.as_json`.
    """

    def __init__(
        self,
        store: Store,
        kind: str,
        *,
        snapshot_version: Callable[[], int | None] = lambda: None,
        activity: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._store = store
        self._snapshot_version = snapshot_version
        self._activity = activity
        host, pid = socket.gethostname(), os.getpid()
        name = os.environ.get(PROCESS_NAME, kind)
        self.identity = Identity(f"{host}-{pid}-{secrets.token_hex(3)}", name, host, pid, __version__)
        self._since = time.monotonic()
        self._has_beaten = False
        self._is_failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Deletes the row, once the beat in progress is over. Does nothing more where none was written."""
        self._stopping.set()
        self._thread.join()
        self._quietly(self._store.arrivals.flush)
        if self._has_beaten:
            self._quietly(lambda: self._store.processes.end(self.identity.process_id))

    def beat(self) -> None:
        """Raises `ReckonError` if the database does not take it."""
        self._store.processes.beat(
            self.identity,
            age=timedelta(seconds=time.monotonic() - self._since),
            snapshot_version=self._snapshot_version(),
            activity=self._activity(),
        )
        self._has_beaten = True
        self._store.arrivals.flush()

    def _run(self) -> None:
        pause = FIRST_BEAT_SECONDS
        while not self._stopping.wait(pause):
            pause = BEAT_SECONDS
            self._quietly(self.beat)

    def _quietly(self, write: Callable[[], object]) -> None:
        """Logs the first of several failures in a row."""
        try:
            write()
        except ReckonError as error:
            if not self._is_failing:
                log.warning("heartbeat of the process not stored", reason=error.detail)
            self._is_failing = True
        except Exception:
            # The thread must not end: the process would count as dead.
            if not self._is_failing:
                log.exception("heartbeat of the process not stored")
            self._is_failing = True
        else:
            self._is_failing = False
