"""Runs a job to its end in the process that requested it (`reckon train`)."""

import threading
import time
from typing import Any

import structlog

from app.algorithms.progress import ProgressCallback, ignore
from app.erasure.eraser import Eraser
from app.errors import ReckonError
from app.store.jobs import COMMAND, MAX_ATTEMPTS, Claim, Job, Jobs
from app.training.run import Trainer
from app.worker.attempt import attempt, unrecorded_is_logged
from app.worker.loop import new_worker_id

POLL_SECONDS = 0.5
INTERRUPTED = "interrupted"

log = structlog.get_logger()


def request(
    jobs: Jobs,
    *,
    seed: int | None = None,
    recipe: dict[str, Any] | None = None,
    accept: bool = False,
    progress: ProgressCallback = ignore,
) -> Job:
    """The job to run to its end: that of a command that was killed, if it asked for the same, or else a new one.

    A killed command leaves a job that any worker takes over, so a second job would train twice. Until its lease
    expires, it cannot be told from a command that runs: this one waits, as one database trains one job at a time.
    """
    wanted: dict[str, Any] = {"seed": seed, "recipe": recipe, "accept": accept}
    while (running := jobs.running_command(**wanted)) is not None:
        job, is_gone = running
        if is_gone:
            # After its last attempt the job fails, and with it would fail a command that has only begun. A cancelled
            # one ends as well.
            is_to_run = job.attempts < MAX_ATTEMPTS and job.cancel_requested_at is None
            return job if is_to_run else jobs.enqueue(COMMAND, **wanted)
        progress(0.0, f"waiting for another `reckon train`: {job.stage or job.state}")
        time.sleep(POLL_SECONDS)
    return jobs.enqueue(COMMAND, **wanted)


def run_to_end(job: Job, trainer: Trainer, *, lease_seconds: float, progress: ProgressCallback = ignore) -> Job:
    """Returns the finished job, which may have been cancelled by an operator.

    Also runs the jobs before it in the queue, unless a live worker runs them.

    A user is waiting, so an unexpected error fails the job at once instead of leaving it to a later attempt. An
    interrupt ends a job of `reckon train`: its user does not want it any more. Other jobs return to the queue, and a
    run by another worker goes on.
    """
    jobs, worker_id = trainer.store.jobs, new_worker_id()

    def interrupted(claim: Claim) -> None:
        if claim.job.job_id == job.job_id and job.trigger == COMMAND:
            jobs.finish(claim, state="failed", reason=INTERRUPTED)
        else:
            jobs.release(claim)

    options: dict[str, Any] = {"progress": progress, "n_allowed": 1, "interrupted": interrupted}
    try:
        while job.finished_at is None:
            trainer.store.generation.check()  # after a restore, the file of the database is opened again
            claim = jobs.claim(worker_id, lease_seconds=lease_seconds)
            # No claim: a live worker runs this job, or one before it, and its progress is in the job row.
            if claim is None:
                progress(job.progress, job.stage or job.state)
                time.sleep(POLL_SECONDS)
            elif attempt(claim, trainer, jobs, stopping=threading.Event(), **options) is not None:
                try:
                    Eraser(trainer.store, trainer.publisher.folders).proceed()
                except (ReckonError, OSError) as error:  # the run has succeeded; a worker completes them
                    log.warning("erasures wait", reason=str(error))
                trainer.publisher.tidy()
            job = jobs.get(job.job_id)
    except KeyboardInterrupt:
        if job.trigger == COMMAND:
            with unrecorded_is_logged():
                # The interrupt may have come between the claim and the attempt, which ends its own jobs.
                jobs.withdraw(job.job_id, worker_id, reason=INTERRUPTED)
        raise
    return job
