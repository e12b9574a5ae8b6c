"""One attempt at one job: run it under heartbeats, and record how it ended."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from app.errors import ReckonError, UnavailableError
from app.store.jobs import MAX_ATTEMPTS, Claim, Jobs, LeaseLostError
from app.training.errors import SnapshotRejectedError
from app.training.progress import ProgressCallback, ignore
from app.training.run import Trainer
from app.worker.heartbeat import Heartbeat

log = structlog.get_logger()


class StoppedError(Exception):
    """The worker was told to stop: the job goes back to the queue."""


def attempt(
    claim: Claim,
    trainer: Trainer,
    jobs: Jobs,
    *,
    stopping: threading.Event,
    progress: ProgressCallback = ignore,
    n_allowed: int = MAX_ATTEMPTS,
) -> int | None:
    """Work the claimed job; the version published, or None where the run ended otherwise (the job says how).

    An error that no one foresaw leaves the claim to run out: the next attempt, by whichever worker, begins a lease
    later. The last attempt of the `n_allowed` fails the job.
    """
    log_job = log.bind(job_id=claim.job.job_id, attempt=claim.job.attempts)
    log_job.info("run started", trigger=claim.job.trigger)
    version = None
    try:
        with Heartbeat(jobs, claim) as heartbeat:
            version = trainer.run(claim, _stoppable(stopping, heartbeat.progress, progress))
        log_job.info("snapshot published", version=version)
    except ReckonError as error:
        log_job.warning("run ended without a snapshot", problem=error.type, reason=error.detail)
        # A lost lease is another's job now; a database that is away leaves it to the next attempt.
        if not isinstance(error, LeaseLostError | UnavailableError):
            state = "rejected" if isinstance(error, SnapshotRejectedError) else "failed"
            with _settled_later():
                jobs.finish(claim, state=state, reason=error.detail)
    except StoppedError:
        log_job.info("run stopped, job back in the queue")
        with _settled_later():
            jobs.release(claim)
    except Exception as error:
        log_job.exception("run broke off")
        if claim.job.attempts >= n_allowed:
            reason = f"{type(error).__name__} in attempt {claim.job.attempts}: the log has it all"
            with _settled_later():
                jobs.finish(claim, state="failed", reason=reason)
    except BaseException:
        with _settled_later():
            jobs.release(claim)
        raise
    return version


def _stoppable(stopping: threading.Event, *listeners: ProgressCallback) -> ProgressCallback:
    def progress(share: float, stage: str) -> None:
        if stopping.is_set():
            raise StoppedError
        for listener in listeners:
            listener(share, stage)

    return progress


@contextmanager
def _settled_later() -> Iterator[None]:
    """What cannot be recorded (the job was taken over, the database is away) is settled when the lease runs out."""
    try:
        yield
    except ReckonError as error:
        log.warning("end of the run not recorded", reason=error.detail)
