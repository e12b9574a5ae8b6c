"""Renews the lease of a run from a thread of its own, so that a slow database never delays training."""

import threading
from types import TracebackType
from typing import Self

import structlog

from app.errors import ReckonError
from app.store.jobs import Claim, Jobs, LeaseLostError

BEATS_PER_LEASE = 4
"""Three heartbeats may fail before the lease expires."""

log = structlog.get_logger()


class Heartbeat:
    """Renews the lease of `claim` while the context is open, and stores the latest reported progress with it."""

    def __init__(self, jobs: Jobs, claim: Claim) -> None:
        self._jobs = jobs
        self._claim = claim
        self._progress = (0.0, "starting")
        self._lost: LeaseLostError | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def progress(self, share: float, stage: str) -> None:
        """Records the progress of the run. Raises `LeaseLostError` once another worker owns the job."""
        # One assignment of a tuple is atomic, so the thread reads a share and a text that belong together.
        self._progress = (share, stage)
        # An exception of the thread would be lost there; raised here, it ends the run.
        if self._lost is not None:
            raise self._lost

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stopping.wait(self._claim.lease_seconds / BEATS_PER_LEASE):
            share, stage = self._progress
            try:
                self._jobs.heartbeat(self._claim, progress=share, stage=stage)
            except LeaseLostError as error:
                self._lost = error
                return
            except ReckonError as error:  # the database may be unavailable; publication is fenced, so the run goes on
                log.warning("heartbeat missed", job_id=self._claim.job.job_id, reason=error.detail)
            except Exception:
                # Without further heartbeats the lease would expire, and another worker would repeat a live run.
                log.exception("heartbeat missed", job_id=self._claim.job.job_id)
