"""The rounds of a worker over the catalogues of a deployment: the main one and those of all tenants.

In each round, every catalogue gets one step, which runs one job at most: a tenant with many jobs makes the others wait
for one of them. Catalogues of suspended tenants are served as well, because erasures have to be completed.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from structlog.contextvars import bound_contextvars

from app.errors import ReckonError
from app.settings import Settings
from app.store.store import Store
from app.wiring import open_store
from app.worker.loop import Chores, Worker
from app.worker.priority import yield_to_requests

SERVED = frozenset({"active", "suspended"})
MOST_OPEN = 32
"""Databases of tenants that are kept open between rounds."""

PAUSE_SHARE = 4.0
"""A round over very many tenants takes long; the pause after it is this many times longer at least."""

log = structlog.get_logger()


@dataclass
class Rounds:
    """`settings`: of the deployment. `store`: the main one."""

    settings: Settings
    store: Store
    most_open: int = MOST_OPEN
    _open: OrderedDict[str, Worker] = field(default_factory=OrderedDict)
    _chores: dict[str, Chores] = field(default_factory=dict)

    def run(self, stopping: threading.Event) -> None:
        """Runs jobs until `stopping` is set; the job of a run in progress then returns to the queue."""
        yield_to_requests()
        main = Worker.build(self.settings, self.store)
        log.info("worker started", worker_id=main.worker_id)
        with suppress(ReckonError):  # the first step says that the database is unavailable
            main.warn_of_rejections()
        try:
            while not stopping.is_set():
                since = time.monotonic()
                if not self.round(main, stopping):
                    took = time.monotonic() - since
                    stopping.wait(max(self.settings.worker_poll_seconds, PAUSE_SHARE * took if self._chores else 0.0))
        finally:
            self.close()
        log.info("worker stopped", worker_id=main.worker_id)

    def round(self, main: Worker, stopping: threading.Event) -> bool:
        """Gives each catalogue one step; returns whether a job was run."""
        has_worked = _step(main, stopping)
        for name in self._tenants():
            if stopping.is_set():
                break
            # Named in each line of the log, also in those that the steps of a run write.
            with bound_contextvars(tenant=name):
                worker = self._worker_of(name)
                has_worked |= worker is not None and _step(worker, stopping)
        return has_worked

    def close(self) -> None:
        for name in list(self._open):
            self._close(name)

    def _tenants(self) -> Iterator[str]:
        """Those that are served when their turn comes: one may be deleted while the job of another one runs."""
        try:
            names = [each.name for each in self.store.tenants.all()]
            for gone in set(self._chores).difference(names):
                self._close(gone)
                del self._chores[gone]
            for name in names:
                if self.store.tenants.get(name).state in SERVED:
                    yield name
                else:
                    self._close(name)
        except ReckonError as error:
            log.warning("worker waits", reason=error.detail)

    def _worker_of(self, name: str) -> Worker | None:
        """None if the database of the tenant cannot be used now."""
        if name not in self._open:
            own = self.settings.of_tenant(name)
            try:
                store = open_store(own)
            except (ReckonError, OSError) as error:
                log.warning("worker waits", reason=str(error))
                return None
            chores = self._chores.setdefault(name, Chores())
            self._open[name] = Worker.build(own, store, chores=chores)
            if len(self._open) > self.most_open:
                self._close(next(iter(self._open)))
        self._open.move_to_end(name)
        return self._open[name]

    def _close(self, name: str) -> None:
        if (worker := self._open.pop(name, None)) is not None:
            worker.store.close()


def _step(worker: Worker, stopping: threading.Event) -> bool:
    try:
        return worker.step(stopping)
    except (ReckonError, OSError) as error:  # the database or the disk may be unavailable for a while
        log.warning("worker waits", reason=str(error))
    except Exception:
        # A defect that one job or one snapshot meets must not stop the training of all that follow.
        log.exception("worker waits")
    return False
