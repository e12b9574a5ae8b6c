"""Learning: the published snapshots, how good each was, and the training jobs; starts and cancels jobs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from app.console.plots import Plot, Spec, channel
from app.console.rendering import link, page
from app.console.routing import changes, console_router, service_of
from app.errors import InvalidInputError
from app.store import Job, SnapshotEntry
from app.store.former_snapshots import MOST, FormerSnapshot
from app.training.measure import COVERAGE, NDCG
from app.training.recipe import check_source, default_recipe, parse_recipe
from app.training.rejections import rejection_warning
from app.training.validation_split import RMSE
from app.wiring import Service

router = console_router()

LEARNING = "/console/learning"
JOBS = f"{LEARNING}/jobs"
N_JOBS = 20
N_FORMER = 100
"""So many deleted snapshots are shown at first; the page of all of them is as large as a picture."""

MAX_RECIPE = 100_000
"""Characters. The largest recipes that mean anything have a few thousand."""

MAX_SEED = 2**63
FINISHED_SECONDS = 6
"""For how long the page of a job that has ended is still renewed: the last lines of its log come a moment later."""

TRIGGERS = {
    "request": "requested by an operator or a client",
    "command": "`reckon train`",
    "changes": "enough has changed",
    "interval": "the snapshot is old",
    "erasure": "a user is to be erased",
    "scale": "the rating scale was changed",
}
CAUSES = {"retention": "deleted by retention", "erasure": "deleted for the erasure of a user"}
STATES = {
    "queued": "waits for a worker",
    "running": "runs",
    "succeeded": "published a snapshot",
    "rejected": "rejected by the gate",
    "failed": "failed",
    "cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure and its 95 % interval; None for what was not measured."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, card: dict[str, Any], name: str, metric: str) -> "Measured":
        """`name`: whose figure, such as `snapshot` or `bestsellers`."""
        low, high = card.get("intervals", {}).get(name, {}).get(metric, (None, None))
        return cls(card.get("metrics", {}).get(name, {}).get(metric), low, high)


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate said of a snapshot. `kind`: passed, fallback, accepted or unmeasured. `advice`: what to do."""

    kind: str
    verdict: str
    reason: str | None = None
    advice: str | None = None

    @classmethod
    def of(cls, card: dict[str, Any]) -> "Gate":
        if card.get("reason") is not None:
            return cls("fallback", "popular items instead", card["reason"], card.get("advice"))
        if (accepted := card.get("accepted")) is not None:
            return cls("accepted", "published against the gate", accepted["reason"])
        if Measured.of(card, "snapshot", NDCG).value is None:
            return cls("unmeasured", "not measured")
        return cls("passed", "passed")


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One published snapshot. `gain`: its nDCG as a share above that of bestsellers.

    `deleted_at`, `cause`: of one that was deleted, of which the figures alone are left; None otherwise.
    """

    version: int
    href: str
    created_at: datetime
    is_live: bool
    is_pinned: bool
    gate: Gate
    ndcg: Measured
    rmse: Measured
    coverage: Measured
    gain: float | None
    n_ratings: int | None
    seconds: float | None
    deleted_at: datetime | None = None
    cause: str | None = None

    @classmethod
    def of(cls, entry: SnapshotEntry | FormerSnapshot) -> "SnapshotRow":
        card = entry.card
        former = entry if isinstance(entry, FormerSnapshot) else None
        ndcg, bestsellers = Measured.of(card, "snapshot", NDCG), Measured.of(card, "bestsellers", NDCG).value
        seconds = card.get("phase_seconds")
        return cls(
            version=entry.version,
            href=link(f"{LEARNING}/snapshots", entry.version),
            created_at=entry.created_at,
            is_live=isinstance(entry, SnapshotEntry) and entry.is_live,
            is_pinned=isinstance(entry, SnapshotEntry) and entry.is_pinned,
            gate=Gate.of(card),
            ndcg=ndcg,
            rmse=Measured.of(card, "snapshot", RMSE),
            coverage=Measured.of(card, "snapshot", COVERAGE),
            gain=None if ndcg.value is None or not bestsellers else ndcg.value / bestsellers - 1,
            n_ratings=card.get("counts", {}).get("ratings"),
            seconds=sum(seconds.values()) if seconds else None,
            deleted_at=None if former is None else former.deleted_at,
            cause=None if former is None else CAUSES[former.cause],
        )


@dataclass(frozen=True, slots=True)
class JobRow:
    """A training job. `seconds`: how long it has run. `is_unfinished`: it waits or runs. `can_cancel`: it may still be
    cancelled, and is not being.
    """

    job_id: str
    href: str
    state: str
    said: str
    trigger: str
    stage: str | None
    progress: float
    reason: str | None
    advice: str | None
    snapshot_version: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    is_unfinished: bool
    is_ending: bool
    can_cancel: bool
    attempts: int
    seed: int | None
    accept: bool

    @classmethod
    def of(cls, job: Job, now: datetime) -> "JobRow":
        """`now`: by the clock of the database, which times the jobs."""
        is_unfinished = job.finished_at is None
        is_ending = is_unfinished and job.cancel_requested_at is not None
        ended_at = job.finished_at or now
        ran = job.started_at is not None and job.state != "queued"
        return cls(
            job_id=job.job_id,
            href=link(JOBS, job.job_id),
            state=job.state,
            said="is being cancelled" if is_ending else STATES.get(job.state, job.state),
            trigger=TRIGGERS.get(job.trigger, job.trigger),
            stage=job.stage,
            progress=job.progress,
            reason=job.reason,
            advice=job.advice,
            snapshot_version=job.snapshot_version,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            seconds=max((ended_at - job.started_at).total_seconds(), 0.0) if ran and job.started_at else None,
            is_unfinished=is_unfinished,
            is_ending=is_ending,
            can_cancel=is_unfinished and not is_ending,
            attempts=job.attempts,
            seed=job.seed,
            accept=job.accept,
        )


@dataclass(frozen=True, slots=True)
class StartForm:
    """What the operator has chosen. `recipe`: `service` or `own`; `document`: the latter as JSON, as typed.

    `problem`: why the form was refused, and `field`: the part at fault; None before it was sent.
    """

    recipe: str = "service"
    document: str = ""
    seed: str = ""
    accept: bool = False
    problem: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class LearningView:
    """`unfinished`: jobs that run or wait, the running one first. `warning`: lines that say what is wrong and to do.

    `former`: deleted snapshots whose figures are kept, newest first; `n_former`: how many there are of them.
    """

    snapshots: list[SnapshotRow]
    former: list[SnapshotRow]
    n_former: int
    plots: list[Plot]
    unfinished: list[JobRow]
    jobs: list[JobRow]
    warning: list[str]
    start: StartForm
    last_seconds: float | None
    pinned: int | None
    is_renewed: bool
    pairs: list[int] = field(default_factory=list)


def learning_view(service: Service, start: StartForm | None = None, n_former: int = N_FORMER) -> LearningView:
    """`start`: the form as it was refused; None for a new one. `n_former`: how many deleted snapshots are shown."""
    store = service.store
    # Deleted ones first: one that is deleted in between is then missing, and not shown twice.
    former = store.former_snapshots.latest(n_former)
    entries, jobs, now = store.snapshots.entries(), store.jobs.latest(N_JOBS), store.jobs.now()
    rows = [JobRow.of(job, now) for job in jobs]
    unfinished = sorted((row for row in rows if row.is_unfinished), key=lambda row: row.state != "running")
    last = next((row for row in rows if row.state == "succeeded"), None)
    pinned = next((entry.version for entry in entries if entry.is_pinned), None)
    warning = rejection_warning(store)
    if start is None:
        start = StartForm(document=recipe_text(store.instance.recipe() or default_recipe().document))
    return LearningView(
        snapshots=[SnapshotRow.of(entry) for entry in entries],
        former=[SnapshotRow.of(each) for each in former],
        n_former=store.former_snapshots.count(),
        plots=timelines(sorted([*entries, *former], key=lambda each: -each.version)),
        unfinished=unfinished,
        jobs=rows,
        warning=[] if warning is None else [warning.reason, warning.advice],
        start=start,
        last_seconds=None if last is None else last.seconds,
        pinned=pinned,
        is_renewed=bool(unfinished),
        pairs=[entry.version for entry in entries],
    )


def recipe_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False)


def timelines(entries: Sequence[SnapshotEntry | FormerSnapshot]) -> list[Plot]:
    """How good the snapshots were, oldest first: nDCG beside that of bestsellers, RMSE beside that of biases, and
    coverage. `entries`: newest first.
    """
    return [
        _timeline(
            entries,
            "Quality of lists (nDCG@10)",
            "How well lists of ten rank what users liked later: 1 is perfect, 0 finds nothing. The bars are 95 % "
            "intervals. Each snapshot was measured on the newest ratings of its day, so compare it with the "
            "bestsellers of the same day.",
            NDCG,
            {"snapshot": "snapshot", "bestsellers": "bestsellers"},
        ),
        _timeline(
            entries,
            "Error of predicted ratings (RMSE)",
            "The typical distance between predicted and actual ratings, in units of the rating scale: lower is better. "
            "The bars are 95 % intervals. `biases` predicts from the means of users and items alone.",
            RMSE,
            {"snapshot": "snapshot", "biases": "biases"},
        ),
        _timeline(
            entries,
            "Coverage of the catalogue",
            "The share of items that are in at least one of the measured lists of ten: higher shows more of the "
            "catalogue.",
            COVERAGE,
            {"snapshot": "snapshot", "bestsellers": "bestsellers"},
        ),
    ]


def _timeline(
    entries: Sequence[SnapshotEntry | FormerSnapshot], title: str, meaning: str, metric: str, series: dict[str, str]
) -> Plot:
    columns = ("Snapshot", "Published", "Of", metric, "Low", "High")
    rows = []
    for entry in reversed(entries):
        for name, shown in series.items():
            measured = Measured.of(entry.card, name, metric)
            if measured.value is not None:
                at = f"{entry.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
                rows.append((entry.version, at, shown, measured.value, measured.low, measured.high))
    empty = "No snapshot has this figure yet: it takes users with several ratings."
    has_intervals = any(row[-1] is not None for row in rows)
    return Plot(title, meaning, columns, rows, _over_snapshots(metric, has_intervals=has_intervals), empty, height=200)


def _over_snapshots(metric: str, *, has_intervals: bool) -> Spec:
    """A line of values over the snapshots for each series, with bars from the low to the high end of the interval."""
    x = channel("Snapshot", "ordinal", axis={"labelAngle": 0, "labelOverlap": True})
    y = channel(metric, "quantitative", scale={"zero": False})
    # In the order of the rows, so that the snapshot has the first colour.
    colour = channel("Of", "nominal", legend={"orient": "bottom", "title": None}, sort=None)
    tooltip = [
        channel(name, kind)
        for name, kind in (
            ("Snapshot", "ordinal"),
            ("Published", "temporal"),
            ("Of", "nominal"),
            (metric, "quantitative"),
            ("Low", "quantitative"),
            ("High", "quantitative"),
        )
    ]
    intervals = {
        "transform": [{"filter": "isValid(datum.Low)"}],
        "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6},
        "encoding": {"y": channel("Low", "quantitative", title=metric), "y2": {"field": "High"}},
    }
    values = {"mark": {"type": "line", "point": {"size": 60}}, "encoding": {"y": y, "tooltip": tooltip}}
    return {"encoding": {"x": x, "color": colour}, "layer": [intervals, values] if has_intervals else [values]}


@router.get(LEARNING)
async def show(request: Request, deleted: Annotated[str, Query(max_length=10)] = "") -> Response:
    """`deleted`: with `all`, all deleted snapshots whose figures are kept are shown."""
    n_former = MOST if deleted == "all" else N_FORMER
    view = await run_in_threadpool(learning_view, service_of(request), n_former=n_former)
    return page(request, "learning.html", view)


@router.post(JOBS)
@changes("training.request")
async def start(
    request: Request,
    recipe: Annotated[str, Form()] = "service",
    document: Annotated[str, Form()] = "",
    seed: Annotated[str, Form()] = "",
    accept: Annotated[str, Form()] = "",
) -> Response:
    """Request a training run."""
    form = StartForm(recipe, document, seed, bool(accept))
    service = service_of(request)
    try:
        wanted = parse_start(form)
        if wanted.recipe is not None:
            check_source(parse_recipe(wanted.recipe), service.store)
    except InvalidInputError as error:
        request.state.audited = ""
        refused = StartForm(form.recipe, form.document, form.seed, form.accept, error.detail, error.field)
        view = await run_in_threadpool(learning_view, service, refused)
        return page(request, "learning.html", view, status=error.status)
    job = await run_in_threadpool(
        service.store.jobs.enqueue, "request", seed=wanted.seed, recipe=wanted.recipe, accept=form.accept
    )
    request.state.audited = job.job_id
    return RedirectResponse(link(JOBS, job.job_id, said="started"), status_code=303)


@router.post(f"{JOBS}/{{job_id}}/cancel")
@changes("training.cancel")
async def cancel(request: Request, job_id: str) -> Response:
    await run_in_threadpool(service_of(request).store.jobs.cancel, job_id)
    return RedirectResponse(link(JOBS, job_id, said="cancelled"), status_code=303)


@dataclass(frozen=True, slots=True)
class WantedRun:
    """What the form asks for. None: the recipe of the service, and the default seed."""

    recipe: dict[str, Any] | None
    seed: int | None


def parse_start(form: StartForm) -> WantedRun:
    """Raises `InvalidInputError`, whose `field` is `recipe` or `seed`."""
    seed = None
    if text := form.seed.strip():
        # Digits of other scripts are digits to `int` as well.
        if not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_SEED)) or int(text) >= MAX_SEED:
            raise InvalidInputError("the seed is a whole number from 0 to 2^63 - 1, or empty", field="seed")
        seed = int(text)
    if form.recipe == "service":
        return WantedRun(None, seed)
    if form.recipe != "own":
        raise InvalidInputError("choose the recipe of the service or one of your own", field="recipe")
    return WantedRun(_parsed_recipe(form.document), seed)


def _parsed_recipe(text: str) -> dict[str, Any]:
    if len(text) > MAX_RECIPE:
        raise InvalidInputError(f"a recipe has at most {MAX_RECIPE:,} characters", field="recipe")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidInputError(f"the recipe is not JSON: {error.msg} ({where})", field="recipe") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("the recipe is not JSON that can be read", field="recipe") from error
    if not isinstance(document, dict):
        raise InvalidInputError("a recipe is a JSON object, as in the card of a snapshot", field="recipe")
    try:
        return parse_recipe(document).document
    except InvalidInputError as error:
        # An escaped half of a surrogate pair is JSON, and no text that a page can hold.
        raise InvalidInputError(error.detail.encode(errors="replace").decode(), field="recipe") from error
