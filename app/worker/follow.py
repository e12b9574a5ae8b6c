"""Runs a job to its end in the process that requested it (`reckon train`)."""

import threading
import time

from app.algorithms.progress import ProgressCallback, ignore
from app.store.jobs import Job
from app.training.run import Trainer
from app.worker.attempt import attempt
from app.worker.loop import new_worker_id

POLL_SECONDS = 0.5


def run_to_end(job: Job, trainer: Trainer, *, lease_seconds: float, progress: ProgressCallback = ignore) -> Job:
    """Returns the finished job. Also runs the jobs before it in the queue, unless a live worker runs them.

    A user is waiting, so an unexpected error fails the job at once instead of leaving it to a later attempt.
    """
    jobs, worker_id = trainer.store.jobs, new_worker_id()
    while job.finished_at is None:
        claim = jobs.claim(worker_id, lease_seconds=lease_seconds)
        # No claim: a live worker runs this job, or one before it, and its progress is in the job row.
        if claim is None:
            progress(job.progress, job.stage or job.state)
            time.sleep(POLL_SECONDS)
        elif attempt(claim, trainer, jobs, stopping=threading.Event(), progress=progress, n_allowed=1) is not None:
            trainer.publisher.tidy()
        job = jobs.get(job.job_id)
    return job
