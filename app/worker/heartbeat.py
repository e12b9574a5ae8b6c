"""The sign of life of a run, from a thread of its own: the database may wait for it, the learning may not."""

import threading
from types import TracebackType
from typing import Self

import structlog

from app.errors import ReckonError
from app.store.jobs import Claim, Jobs, LeaseLostError

BEATS_PER_LEASE = 4
"""Three may be lost to a slow database before the lease runs out."""

log = structlog.get_logger()


class Heartbeat:
    """Renews the lease of `claim` while the context is open, and carries the progress that it is told."""

    def __init__(self, jobs: Jobs, claim: Claim) -> None:
        self._jobs = jobs
        self._claim = claim
        self._progress = (0.0, "starting")
        self._lost: LeaseLostError | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def progress(self, share: float, stage: str) -> None:
        """Report how far the run is. Raises `LeaseLostError` once another worker has the job: stop working."""
        self._progress = (share, stage)
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
            except ReckonError as error:  # the database is away: publication is fenced, so go on and try again
                log.warning("heartbeat missed", job_id=self._claim.job.job_id, reason=error.detail)
            except Exception:
                # Without further beats the lease would run out, and another worker would repeat a run that is alive.
                log.exception("heartbeat missed", job_id=self._claim.job.job_id)
