"""Renews the lease of a run from a thread of its own, so that a slow database never delays training.

The thread also looks whether the job was cancelled, more often than it renews the lease: a look is a read. New progress
is stored sooner, and with it the log of the run, for those who watch it.
"""

import threading
from collections.abc import Callable
from itertools import count
from math import ceil
from types import TracebackType
from typing import Self

import structlog

from app.errors import ReckonError
from app.store.jobs import Claim, JobCancelledError, Jobs, LeaseLostError

BEATS_PER_LEASE = 4
"""Three heartbeats may fail before the lease expires."""

LOOK_SECONDS = 1.0
"""The longest pause between two looks."""

LOOKS_PER_TELL = 2
"""Looks from one storing of new progress to the next."""

log = structlog.get_logger()


class Heartbeat:
    """Renews the lease of `claim` while the context is open, and stores the latest reported progress with it.

    `keep`: stores the log of the run as it is then; called with new progress, and when the context ends.
    """

    def __init__(self, jobs: Jobs, claim: Claim, keep: Callable[[], None] = lambda: None) -> None:
        self._jobs = jobs
        self._claim = claim
        self._keep = keep
        self._progress = (0.0, "starting")
        self._end: LeaseLostError | JobCancelledError | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def progress(self, share: float, stage: str) -> None:
        """Records the progress of the run.

        Raises `LeaseLostError` once another worker owns the job, and `JobCancelledError` once it was cancelled.
        """
        # One assignment of a tuple is atomic, so the thread reads a share and a text that belong together.
        self._progress = (share, stage)
        # An exception of the thread would be lost there; raised here, it ends the run.
        if self._end is not None:
            raise self._end

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        try:
            self._keep()
        except ReckonError as unkept:  # the outcome of the run matters more
            log.warning("log of the run not kept", job_id=self._claim.job.job_id, reason=unkept.detail)

    def _watch(self) -> None:
        pause = self._claim.lease_seconds / BEATS_PER_LEASE
        n_looks = max(1, ceil(pause / LOOK_SECONDS))
        told = self._progress
        for n in count(1):
            if self._stopping.wait(pause / n_looks):
                return
            try:
                if self._end is None:
                    self._look()
                # Also once it was cancelled: until the run has ended, no other one may begin.
                is_news = self._progress != told and n % LOOKS_PER_TELL == 0
                if n % n_looks == 0 or is_news:
                    told = share, stage = self._progress
                    self._jobs.heartbeat(self._claim, progress=share, stage=stage)
                    self._keep()
            except LeaseLostError as error:
                self._end = error
                return
            except ReckonError as error:  # the database may be unavailable; publication is fenced, so the run goes on
                log.warning("heartbeat missed", job_id=self._claim.job.job_id, reason=error.detail)
            except Exception:
                # Without further heartbeats the lease would expire, and another worker would repeat a live run.
                log.exception("heartbeat missed", job_id=self._claim.job.job_id)

    def _look(self) -> None:
        try:
            self._jobs.check_wanted(self._claim)
        except JobCancelledError as error:
            self._end = error
        except ReckonError as error:  # a heartbeat that is missed says it louder
            log.debug("look missed", job_id=self._claim.job.job_id, reason=error.detail)
