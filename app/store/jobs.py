"""Training jobs: the table is the queue. A claim carries a fencing token and expires without heartbeats.

Whether a lease has expired is never decided by comparing times of different hosts or processes: their clocks differ and
can be set. A process that waits for a job watches its lease: if it has not seen it renewed for `lease_seconds` of its
own monotonic clock, the lease has expired. A database with a clock of its own, Postgres, also decides by that clock, so
that a process that has only begun need not watch first. The fencing token covers the rest: a worker that was only slow
cannot publish.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.entities import from_microseconds
from app.errors import ConflictError, NotFoundError, ReckonError
from app.store import counters
from app.store.database import Database
from app.store.schema import training_jobs as jobs

MAX_ATTEMPTS = 3

PAUSE = timedelta(seconds=30)
"""From the end of a run to the next automatic one; doubled after every run that published nothing."""

LONGEST_PAUSE = timedelta(days=1)

CANCELLED_PAUSE = timedelta(hours=1)
"""From the end of a cancelled job to the next automatic run, unless a run has succeeded since."""

LATEST_JOBS = 20

CANCELLED = "cancelled by an operator"
"""The reason of cancelled jobs."""

COMMAND = "command"
"""The trigger of jobs of `reckon train`, whose process runs the job itself and may be interrupted or killed."""


class LeaseLostError(ReckonError):
    """Another worker has taken over the job: this one must not publish anything."""

    type = "lease-lost"
    title = "Another worker has taken over this job"
    status = 409


class JobCancelledError(ReckonError):
    """The job was cancelled while it ran: the run must not publish anything."""

    type = "job-cancelled"
    title = "The training job was cancelled"
    status = 409

    def __init__(self) -> None:
        super().__init__(CANCELLED)


class JobEndedError(ConflictError):
    """The job has ended otherwise than by being cancelled."""

    type = "job-ended"
    title = "The training job has ended"

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(f"job {job_id} has ended ({state}) and cannot be cancelled")


@dataclass(frozen=True, slots=True)
class Job:
    """A request to train.

    `state`: queued, running, succeeded, rejected, failed or cancelled. `progress`: from 0 to 1.
    `accept`: whether the snapshot is published even if it does not pass the gate.
    `reason`: why the job was rejected, failed, was cancelled, or published a fallback; `advice`: what to do about it.
    None where there is nothing to say.
    `cancel_requested_at`: of a running job, that it ends as soon as its worker notices.
    """

    job_id: str
    state: str
    trigger: str
    recipe: dict[str, Any] | None
    seed: int | None
    accept: bool
    reason: str | None
    advice: str | None
    stage: str | None
    progress: float
    snapshot_version: int | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rejections:
    """`n` rejected jobs without a success between or after them, and the `newest` of them."""

    n: int
    newest: Job


@dataclass(frozen=True, slots=True)
class JobSummary:
    """All jobs at one time.

    `n_finished`: by outcome, `passed`, `fallback` (popular items were published), `rejected`, `failed` or `cancelled`.
    `running_until`: when the lease of the `running` job expires. `last`: the job that finished last of those that ran.
    """

    n_finished: dict[str, int]
    n_queued: int
    queued_since: datetime | None
    running: Job | None
    running_until: datetime | None
    last: Job | None


@dataclass(frozen=True, slots=True)
class Claim:
    """One worker's hold on one job, until `lease_seconds` after its last heartbeat."""

    job: Job
    worker_id: str
    token: int
    lease_seconds: float


class Jobs:
    """`clock`: seconds, monotonic; what other workers' leases are watched by."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        # Key of a running job -> its token and `lease_until` as last seen, and since when these have been the same.
        self._watched: dict[int, tuple[tuple[int, int], float]] = {}

    def enqueue(
        self, trigger: str, *, seed: int | None = None, recipe: dict[str, Any] | None = None, accept: bool = False
    ) -> Job:
        """A new queued job, or the queued one with the same seed, recipe and `accept`."""
        with self._database.writing() as connection:
            now = self._database.dialect.now(connection)
            return add_job(connection, trigger=trigger, now=now, seed=seed, recipe=recipe, accept=accept)

    def running_command(
        self, *, seed: int | None, recipe: dict[str, Any] | None, accept: bool
    ) -> tuple[Job, bool] | None:
        """The running job of `reckon train` with the same seed, recipe and `accept`, if there is one.

        And whether its process is gone: its lease has expired, or another process has taken the job over.
        """
        running = sa.select(jobs).where(jobs.c.state == "running", jobs.c.trigger == COMMAND)
        with self._database.reading() as connection:
            now = self._database.dialect.now(connection)
            for row in connection.execute(running.order_by(jobs.c.job_key)):
                if (row.recipe, row.seed, row.accept) == (recipe, seed, accept):
                    return _to_job(row), row.attempts > 1 or self._has_expired(row, now)
        return None

    def claim(self, worker_id: str, *, lease_seconds: float) -> Claim | None:
        """The job to work on: a running one whose lease has expired, else the oldest queued one.

        None while another run holds its lease: one database trains one job at a time. A job whose lease expires in its
        last allowed attempt becomes failed, and one that was to be cancelled becomes cancelled.
        """
        waiting = jobs.c.state.in_(("running", "queued"))
        # An idle worker calls this every second, which must not be a write every second.
        with self._database.reading() as connection:
            if connection.execute(sa.select(jobs.c.job_key).where(waiting).limit(1)).first() is None:
                return None
        with self._database.writing() as connection:
            token = counters.grow(connection, "fencing")  # the lock of its row serialises claims
            now = self._database.dialect.now(connection)
            # A job that kills its workers must not be retried forever.
            running = connection.execute(sa.select(jobs).where(jobs.c.state == "running")).all()
            silent = [row.job_key for row in running if self._has_expired(row, now)]
            unwanted = sa.update(jobs).where(jobs.c.job_key.in_(silent), jobs.c.cancel_requested_at.is_not(None))
            connection.execute(unwanted.values(state="cancelled", reason=CANCELLED, finished_at=now))
            spent = sa.update(jobs).where(
                jobs.c.job_key.in_(silent), jobs.c.state == "running", jobs.c.attempts >= MAX_ATTEMPTS
            )
            reason = f"the worker fell silent {MAX_ATTEMPTS} times"
            connection.execute(spent.values(state="failed", reason=reason, finished_at=now))
            if len(silent) < len(running):
                return None
            # A run that lost its worker comes before queued jobs, or a busy queue could starve it.
            is_queued = sa.case((jobs.c.state == "queued", 1), else_=0)
            oldest = sa.select(jobs.c.job_key).where(waiting).order_by(is_queued, jobs.c.job_key).limit(1)
            key = connection.execute(oldest).scalar_one_or_none()
            if key is None:
                return None
            # The state again: the job may have been cancelled or withdrawn since it was read.
            taken = connection.execute(
                sa.update(jobs)
                .where(jobs.c.job_key == key, waiting)
                .values(
                    state="running",
                    worker_id=worker_id,
                    fencing_token=token,
                    lease_until=now + round(lease_seconds * 1e6),
                    lease_seconds=lease_seconds,
                    attempts=jobs.c.attempts + 1,
                    started_at=now,
                    progress=0.0,
                    stage=None,
                )
                .returning(jobs)
            ).one_or_none()
            return None if taken is None else Claim(_to_job(taken), worker_id, token, lease_seconds)

    def _has_expired(self, running: Any, now: int) -> bool:
        """Whether the lease of the row of a running job has expired. `now`: by the clock of the database."""
        seen_at = self._clock()
        lease = running.fencing_token, running.lease_until
        known, since = self._watched.get(running.job_key, (None, seen_at))
        if lease != known:
            # Jobs that ended are forgotten: one database runs one job at a time.
            self._watched, since = {running.job_key: (lease, seen_at)}, seen_at
        # An earlier release, which cannot be running any more, did not store how long a lease is.
        is_silent = seen_at - since >= (running.lease_seconds or 0.0)
        return is_silent or (self._database.dialect.has_own_clock and bool(running.lease_until < now))

    def heartbeat(self, claim: Claim, *, progress: float, stage: str) -> None:
        """Renews the lease and stores the progress. Raises `LeaseLostError` once another worker has taken over."""
        with self._database.writing(uses_reserve=True) as connection:
            lease_until = self._database.dialect.now(connection) + round(claim.lease_seconds * 1e6)
            update_held(connection, claim, progress=progress, stage=stage, lease_until=lease_until)

    def check_wanted(self, claim: Claim) -> None:
        """Raises `JobCancelledError` once the job was cancelled."""
        with self._database.reading() as connection:
            check_wanted(connection, claim)

    def cancel(self, job_id: str) -> Job:
        """Ends a queued job as `cancelled`; notes at a running one that it is to end.

        A job that is cancelled, or is to end, stays as it is. After this, the job publishes nothing.

        Raises `NotFoundError`, and `JobEndedError` for a job that has ended otherwise.
        """
        is_this = jobs.c.job_id == job_id
        with self._database.writing(uses_reserve=True) as connection:
            # The lock of the row keeps a claim, a heartbeat or the end of the run from changing it meanwhile.
            row = connection.execute(sa.select(jobs).where(is_this).with_for_update()).one_or_none()
            if row is None:
                raise NotFoundError("training job", job_id)
            if row.state not in {"queued", "running", "cancelled"}:
                raise JobEndedError(job_id, row.state)
            if row.cancel_requested_at is not None:
                return _to_job(row)
            now = self._database.dialect.now(connection)
            changes: dict[str, Any] = {"cancel_requested_at": now}
            if row.state == "queued":
                changes |= {"state": "cancelled", "reason": CANCELLED, "finished_at": now}
            return _to_job(connection.execute(sa.update(jobs).where(is_this).values(**changes).returning(jobs)).one())

    def finish(self, claim: Claim, *, state: str, reason: str, advice: str | None = None) -> None:
        """Ends the run without a snapshot: `rejected`, `failed` or `cancelled`.

        Raises `LeaseLostError` once taken over.
        """
        with self._database.writing(uses_reserve=True) as connection:
            now = self._database.dialect.now(connection)
            update_held(connection, claim, state=state, reason=reason, advice=advice, finished_at=now)

    def withdraw(self, job_id: str, worker_id: str | None = None, *, reason: str) -> bool:
        """Ends a job that no worker but this one runs as `failed`; whether it was queued or its own until now."""
        with self._database.writing(uses_reserve=True) as connection:
            now = self._database.dialect.now(connection)
            is_own = (jobs.c.state == "running") & (jobs.c.worker_id == worker_id)
            withdrawn = sa.update(jobs).where(jobs.c.job_id == job_id, (jobs.c.state == "queued") | is_own)
            return connection.execute(withdrawn.values(state="failed", reason=reason, finished_at=now)).rowcount == 1

    def release(self, claim: Claim) -> None:
        """Returns the job to the queue, because the worker is stopping; the attempt does not count.

        A job that is to be cancelled becomes cancelled.
        """
        with self._database.writing(uses_reserve=True) as connection:
            is_wanted = jobs.c.cancel_requested_at.is_(None)
            update_held(
                connection,
                claim,
                state=sa.case((is_wanted, "queued"), else_="cancelled"),
                reason=sa.case((is_wanted, None), else_=CANCELLED),
                finished_at=sa.case((is_wanted, None), else_=self._database.dialect.now(connection)),
                stage=None,
                progress=0.0,
                attempts=jobs.c.attempts - 1,
            )

    def get(self, job_id: str) -> Job:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(jobs).where(jobs.c.job_id == job_id)).one_or_none()
        if row is None:
            raise NotFoundError("training job", job_id)
        return _to_job(row)

    def latest(self, limit: int = 20) -> list[Job]:
        """The newest jobs, newest first."""
        with self._database.reading() as connection:
            return [
                _to_job(row) for row in connection.execute(sa.select(jobs).order_by(jobs.c.job_key.desc()).limit(limit))
            ]

    def now(self) -> datetime:
        """The time by the clock of the database, which times the jobs."""
        return from_microseconds(self._database.now())

    def is_busy_or_resting(self, now: datetime, longest: timedelta = LONGEST_PAUSE) -> bool:
        """Whether a job is unfinished, or the pause after the last run is not over.

        `now`: by the clock of the database. `longest`: the longest pause.
        """
        latest = self.latest(LATEST_JOBS)
        if any(job.finished_at is None for job in latest):
            return True
        n_since = next((n for n, job in enumerate(latest) if job.state == "succeeded"), len(latest))
        cancelled = [job for job in latest[:n_since] if job.state == "cancelled"]
        ran = [job for job in latest if job.state != "cancelled"]
        # A run that published nothing would most likely publish nothing again: pause = 30 s * 2^n after n such runs.
        # A cancelled one is none of these: it might have published. Its operator needs time to change what was wrong.
        pauses = [(job, CANCELLED_PAUSE) for job in cancelled]
        pauses += [(job, PAUSE * (1 << (n_since - len(cancelled)))) for job in ran[:1]]
        return any(
            job.finished_at is not None and is_within(now, job.finished_at, min(pause, longest))
            for job, pause in pauses
        )

    def summary(self) -> JobSummary:
        of_state = sa.select(
            jobs.c.state, jobs.c.reason.is_not(None), sa.func.count(), sa.func.min(jobs.c.created_at)
        ).group_by(jobs.c.state, jobs.c.reason.is_not(None))
        has_run = jobs.c.finished_at.is_not(None) & jobs.c.started_at.is_not(None)
        last = sa.select(jobs).where(has_run).order_by(jobs.c.finished_at.desc()).limit(1)
        with self._database.reading() as connection:
            counts = connection.execute(of_state).all()
            running = connection.execute(sa.select(jobs).where(jobs.c.state == "running").limit(1)).one_or_none()
            finished = connection.execute(last).one_or_none()
        n_finished = dict.fromkeys(("passed", "fallback", "rejected", "failed", "cancelled"), 0)
        n_queued, queued_since = 0, None
        for state, has_reason, n, first in counts:
            if state == "queued":
                n_queued += n
                queued_since = first if queued_since is None else min(first, queued_since)
            elif state == "succeeded":
                n_finished["fallback" if has_reason else "passed"] += n
            elif state != "running":
                n_finished[state] += n
        return JobSummary(
            n_finished,
            n_queued,
            None if queued_since is None else from_microseconds(queued_since),
            None if running is None else _to_job(running),
            None if running is None else from_microseconds(running.lease_until),
            None if finished is None else _to_job(finished),
        )

    def rejections(self) -> Rejections | None:
        """The jobs rejected since the last one that succeeded; None without any."""
        succeeded = sa.select(sa.func.max(jobs.c.job_key)).where(jobs.c.state == "succeeded").scalar_subquery()
        rejected = sa.select(jobs, sa.func.count().over().label("n")).where(
            jobs.c.state == "rejected", jobs.c.job_key > sa.func.coalesce(succeeded, 0)
        )
        with self._database.reading() as connection:
            row = connection.execute(rejected.order_by(jobs.c.job_key.desc()).limit(1)).one_or_none()
        return None if row is None else Rejections(row.n, _to_job(row))


def add_job(
    connection: sa.Connection,
    *,
    trigger: str,
    now: int,
    seed: int | None = None,
    recipe: dict[str, Any] | None = None,
    accept: bool = False,
) -> Job:
    """Enqueues inside the transaction of the job's cause; see `Jobs.enqueue`."""
    # Equal requests share one job: a second run would repeat the same training.
    queued = connection.execute(sa.select(jobs).where(jobs.c.state == "queued").order_by(jobs.c.job_key)).all()
    for row in queued:
        if (row.recipe, row.seed, row.accept) == (recipe, seed, accept):
            return _to_job(row)
    values = {"job_id": uuid.uuid4().hex, "state": "queued", "trigger": trigger, "created_at": now, "accept": accept}
    statement = sa.insert(jobs).values(**values, recipe=recipe, seed=seed).returning(jobs)
    return _to_job(connection.execute(statement).one())


def update_held(connection: sa.Connection, claim: Claim, **values: Any) -> None:
    """Changes the claimed job. Raises `LeaseLostError`, and changes nothing, where the claim no longer holds."""
    if connection.execute(sa.update(jobs).where(_is_held(claim)).values(**values)).rowcount != 1:
        raise _lost(claim)


def refuse_lost(connection: sa.Connection, claim: Claim) -> None:
    """Raises `LeaseLostError` where the claim no longer holds; otherwise it holds until the transaction ends."""
    # The lock keeps a takeover from coming between this check and the commit.
    held = sa.select(jobs.c.job_key).where(_is_held(claim))
    if connection.execute(held.with_for_update()).first() is None:
        raise _lost(claim)


def _is_held(claim: Claim) -> sa.ColumnElement[bool]:
    # The fencing token fails a worker that was only slow: a takeover has written a newer one.
    is_of_claim = (jobs.c.job_id == claim.job.job_id) & (jobs.c.fencing_token == claim.token)
    return is_of_claim & (jobs.c.state == "running")


def _lost(claim: Claim) -> LeaseLostError:
    return LeaseLostError(f"job {claim.job.job_id} was taken over from worker {claim.worker_id}")


def check_wanted(connection: sa.Connection, claim: Claim) -> None:
    """Raises `JobCancelledError` if the claimed job was cancelled."""
    requested = sa.select(jobs.c.cancel_requested_at).where(jobs.c.job_id == claim.job.job_id)
    if connection.execute(requested).scalar_one_or_none() is not None:
        raise JobCancelledError


def is_within(now: datetime, since: datetime, span: timedelta) -> bool:
    """Whether `span` is not over. It is if it lies ahead: the clock was set back, and might take years to get there."""
    return since <= now < since + span


def _to_job(row: Any) -> Job:
    def moment(value: int | None) -> datetime | None:
        return None if value is None else from_microseconds(value)

    return Job(
        job_id=row.job_id,
        state=row.state,
        trigger=row.trigger,
        recipe=row.recipe,
        seed=row.seed,
        accept=row.accept,
        reason=row.reason,
        advice=row.advice,
        stage=row.stage,
        progress=row.progress,
        snapshot_version=row.snapshot_version,
        attempts=row.attempts,
        created_at=from_microseconds(row.created_at),
        started_at=moment(row.started_at),
        finished_at=moment(row.finished_at),
        cancel_requested_at=moment(row.cancel_requested_at),
    )
