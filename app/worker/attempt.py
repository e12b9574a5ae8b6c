"""One attempt at one job: runs it under heartbeats and records its outcome."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from app.algorithms.progress import ProgressCallback, ignore
from app.errors import ReckonError, UnavailableError
from app.store.jobs import MAX_ATTEMPTS, Claim, JobCancelledError, Jobs, LeaseLostError
from app.training.errors import RunFailedError, SnapshotRejectedError
from app.training.run import Trainer
from app.training.run_record import RunRecord
from app.worker.heartbeat import Heartbeat
from app.worker.system_errors import advice_on, reason_of

log = structlog.get_logger()


class StoppedError(Exception):
    """The worker is stopping; the job returns to the queue."""


def attempt(
    claim: Claim,
    trainer: Trainer,
    jobs: Jobs,
    *,
    stopping: threading.Event,
    progress: ProgressCallback = ignore,
    n_allowed: int = MAX_ATTEMPTS,
    interrupted: Callable[[Claim], None] | None = None,
) -> int | None:
    """Runs the claimed job. Returns the published version, or None if the run ended without one.

    The job row then holds the state, the reason and the advice. An unexpected error leaves the lease to expire, so that
    any worker starts the next attempt one lease later. The last of `n_allowed` attempts fails the job.
    `interrupted`: what becomes of the job at an interrupt or an exit; by default it returns to the queue.
    """
    log_job = log.bind(job_id=claim.job.job_id, attempt=claim.job.attempts)
    log_job.info("run started", trigger=claim.job.trigger)
    record = RunRecord(log_job)
    version = None
    try:
        with Heartbeat(jobs, claim, keep=lambda: trainer.store.run_logs.keep(claim, record.entries)) as heartbeat:
            version = trainer.run(claim, _stoppable(stopping, heartbeat.progress, progress), record)
        log_job.info("snapshot published", version=version)
    except JobCancelledError as error:
        log_job.info("run cancelled")
        with unrecorded_is_logged():
            jobs.finish(claim, state="cancelled", reason=error.detail)
    except ReckonError as error:
        advice = (error.advice if isinstance(error, RunFailedError) else advice_on(error)) or None
        log_job.warning("run ended without a snapshot", problem=error.type, reason=error.detail, advice=advice)
        # After a lost lease another worker owns the job. While the database is unavailable nothing can be recorded, and
        # the next attempt starts when the lease expires.
        if not isinstance(error, LeaseLostError | UnavailableError):
            state = "rejected" if isinstance(error, SnapshotRejectedError) else "failed"
            with unrecorded_is_logged():
                jobs.finish(claim, state=state, reason=error.detail, advice=advice)
    except StoppedError:
        log_job.info("run stopped; the job returns to the queue")
        with unrecorded_is_logged():
            jobs.release(claim)
    except Exception as error:
        log_job.exception("run failed with an unexpected error")
        if claim.job.attempts >= n_allowed:
            reason = f"{type(error).__name__} in attempt {claim.job.attempts}: the log holds the traceback"
            if isinstance(error, OSError):
                reason = f"attempt {claim.job.attempts}: {reason_of(error, trainer.publisher.data_dir)}"
            with unrecorded_is_logged():
                jobs.finish(claim, state="failed", reason=reason, advice=advice_on(error))
    except BaseException:
        # An interrupt or an exit is no failure of the job, which another worker may take at once.
        with unrecorded_is_logged():
            (interrupted or jobs.release)(claim)
        raise
    return version


def _stoppable(stopping: threading.Event, *listeners: ProgressCallback) -> ProgressCallback:
    def progress(share: float, stage: str) -> None:
        # Learners call this often, so a stop takes effect within an epoch and leaves no half-written state.
        if stopping.is_set():
            raise StoppedError
        for listener in listeners:
            listener(share, stage)

    return progress


@contextmanager
def unrecorded_is_logged() -> Iterator[None]:
    """Logs an outcome that cannot be recorded (lost lease, no database); the next attempt follows the expired lease."""
    try:
        yield
    except ReckonError as error:
        log.warning("outcome of the run not recorded", reason=error.detail)
