"""What the newest runs did and decided, for those who look at them later: a document a job."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from app.store.database import Database
from app.store.jobs import Claim
from app.store.schema import run_logs
from app.store.schema import training_jobs as jobs

N_KEPT = 100
"""Logs of newer jobs push out older ones."""


@dataclass(frozen=True, slots=True)
class RunLogEntry:
    """A line of the log of a run.

    `at`: seconds since the epoch, by the clock of the worker. `stage`: the names of the stages around it, joined by
    " > ". `event`: `decision`, `finished` or `failed`. `text`: the decision, or the error's name. `seconds`: how long
    the stage took; None for a decision. `figures`: what was measured, by name.
    """

    at: float
    stage: str
    event: str
    text: str = ""
    seconds: float | None = None
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunLog:
    """`attempt`: the one that the entries are of, counted from 1."""

    attempt: int
    entries: tuple[RunLogEntry, ...]


class RunLogs:
    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, claim: Claim, entries: Sequence[RunLogEntry]) -> None:
        """Replaces the log of the claimed job, which may have ended; nothing if another worker has claimed it since."""
        document = {"attempt": claim.job.attempts, "entries": [asdict(entry) for entry in entries]}
        is_this = (jobs.c.job_id == claim.job.job_id) & (jobs.c.fencing_token == claim.token)
        with self._database.writing(uses_reserve=True) as connection:
            # The lock of the row keeps another worker from claiming the job meanwhile.
            key = connection.execute(sa.select(jobs.c.job_key).where(is_this).with_for_update()).scalar_one_or_none()
            if key is None:
                return
            connection.execute(sa.delete(run_logs).where(run_logs.c.job_key == key))
            connection.execute(sa.insert(run_logs).values(job_key=key, document=document))
            newest = sa.select(run_logs.c.job_key).order_by(run_logs.c.job_key.desc()).offset(N_KEPT).limit(1)
            oldest = connection.execute(newest).scalar_one_or_none()
            if oldest is not None:
                connection.execute(sa.delete(run_logs).where(run_logs.c.job_key <= oldest))

    def of_job(self, job_id: str) -> RunLog | None:
        """None where none is kept."""
        wanted = sa.select(run_logs.c.document).join(jobs, jobs.c.job_key == run_logs.c.job_key)
        with self._database.reading() as connection:
            document = connection.execute(wanted.where(jobs.c.job_id == job_id)).scalar_one_or_none()
        if document is None:
            return None
        return RunLog(document["attempt"], tuple(RunLogEntry(**entry) for entry in document["entries"]))
