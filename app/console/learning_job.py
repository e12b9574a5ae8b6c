"""A training job: its stages as they run, what was decided, and the log of its run."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from app.console.learning import FINISHED_SECONDS, JOBS, JobRow, recipe_text
from app.console.rendering import page
from app.console.routing import console_router, service_of
from app.store.run_logs import RunLog, RunLogEntry
from app.wiring import Service

router = console_router()

STEPS = {
    "loading": "reads the ratings, events, items and users",
    "quarantine": "looks for users that were made to push an item",
    "bursts": "caps what came in bursts",
    "splitting": "holds back the newest ratings, to measure on",
    "evaluating": "chooses between algorithms, measures the choice, and asks the gate",
    "learning curve": "learns from shares of the ratings, to see whether more would help",
    "similar items": "weighs what makes items similar",
    "refitting": "learns again, from all ratings",
    "publishing": "writes the snapshot, opens it as a reader does, and registers it",
}
"""The steps of a run in their order -> what each does."""


PATH = " > "
"""Between the names of stages."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of the run. `state`: done, failed, running or waiting. `text`: what it does just now."""

    name: str
    meaning: str
    state: str
    seconds: float | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class LogRow:
    """A line of the log. `after`: seconds from the start of the run. `stage`: the innermost two names of `path`.

    `figures`: as one text.
    """

    after: float
    stage: str
    path: str
    event: str
    text: str
    seconds: float | None
    figures: str


@dataclass(frozen=True, slots=True)
class JobView:
    """`log`: None where none is kept. `recipe`: as JSON; None for that of the service. `gate`: the decisions of the
    gate. `attempt`: the one that the log is of. `is_renewed`: the page is asked for again, as more may come.
    """

    job: JobRow
    steps: list[StepRow]
    gate: list[LogRow]
    decisions: list[LogRow]
    log: list[LogRow] | None
    attempt: int | None
    recipe: str | None
    is_renewed: bool


def job_view(service: Service, job_id: str) -> JobView:
    """Raises `NotFoundError`."""
    job, now = service.store.jobs.get(job_id), service.store.jobs.now()
    # Read after the job, so that the log of a job that has ended holds its last lines.
    log = service.store.run_logs.of_job(job_id)
    row = JobRow.of(job, now)
    started_at = job.started_at or job.created_at
    rows = None if log is None else [_log_row(entry, started_at) for entry in log.entries]
    decisions = [each for each in rows or [] if each.event == "decision"]
    has_just_ended = job.finished_at is not None and (now - job.finished_at).total_seconds() < FINISHED_SECONDS
    return JobView(
        job=row,
        steps=steps(row, log),
        gate=[each for each in decisions if is_of_gate(each.path, each.text)],
        decisions=decisions,
        log=rows,
        attempt=None if log is None else log.attempt,
        recipe=None if job.recipe is None else recipe_text(job.recipe),
        is_renewed=row.is_unfinished or has_just_ended,
    )


def is_of_gate(stage: str, text: str) -> bool:
    """Whether a decision is one of whether to publish."""
    return stage.endswith("gate") or text.startswith(("fitted: ", "shift: ", "rejected: ", "accepted"))


def steps(job: JobRow, log: RunLog | None) -> list[StepRow]:
    """All steps of a run, and how far it is."""
    ended = {} if log is None else {entry.stage: entry for entry in log.entries if entry.event != "decision"}
    now, _, text = (job.stage or "").partition(": ")
    rows = []
    for name, meaning in STEPS.items():
        entry = ended.get(name)
        if job.state == "running" and name == now:
            rows.append(StepRow(name, meaning, "running", text=text or None))
        elif entry is not None:
            rows.append(StepRow(name, meaning, "done" if entry.event == "finished" else "failed", entry.seconds))
        elif job.state == "running" and now in STEPS and list(STEPS).index(name) < list(STEPS).index(now):
            # Its end is not stored yet.
            rows.append(StepRow(name, meaning, "done"))
        else:
            rows.append(StepRow(name, meaning, "waiting" if job.is_unfinished else "not reached"))
    return rows


def _log_row(entry: RunLogEntry, started_at: datetime) -> LogRow:
    return LogRow(
        # The clocks of the worker and of the database may differ.
        after=max(entry.at - started_at.timestamp(), 0.0),
        stage=PATH.join(entry.stage.split(PATH)[-2:]),
        path=entry.stage,
        event=entry.event,
        text=entry.text,
        seconds=entry.seconds,
        figures=", ".join(f"{name} {_figure(value)}" for name, value in entry.figures.items()),
    )


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@router.get(f"{JOBS}/{{job_id}}")
async def show(request: Request, job_id: str) -> Response:
    return page(request, "learning_job.html", await run_in_threadpool(job_view, service_of(request), job_id))
