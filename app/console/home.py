"""Home: what the service is doing now, what needs attention, and what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from app.console.learning import Gate
from app.console.notices import Notice, is_worker, service_notices
from app.console.plots import Sparkline
from app.console.rendering import page
from app.console.routing import caller_of, console_router, data_dir_of, service_of
from app.observability.activity import LATENCY_BUCKETS, LastHour, last_hour
from app.store.arrivals import HourOfArrivals
from app.store.jobs import Job
from app.store.processes import ProcessBeats
from app.store.snapshots import SnapshotEntry
from app.wiring import Service

WEEK_HOURS, DAY_HOURS = 168, 24
KINDS = {
    "ratings": "Stored ratings of users for items. A rating that is given again counts once.",
    "events": "Stored events: what users were shown, clicked, bought or watched.",
    "users": "Users with a rating, an event or a profile.",
    "items": "Items of the catalogue, those known from ratings alone included.",
}
STRATEGIES = {
    "personalized": "made from the vector of the user in the snapshot",
    "fold_in": "computed for this answer, since the user has newer ratings or events",
    "profile": "made from country and attributes, since nothing else is known of the user",
    "popular": "popular items, since nothing is known of the user or nothing is learned yet",
}

router = console_router()


@dataclass(frozen=True, slots=True)
class SnapshotTile:
    """The snapshot that is live. `ndcg`: with `low` and `high`, the ends of its 95 % interval; None if not measured."""

    version: int
    created_at: datetime
    is_pinned: bool
    gate: Gate
    ndcg: float | None
    low: float | None
    high: float | None
    bestsellers: float | None

    @property
    def gain(self) -> float | None:
        """By how many times the measure of bestsellers; None where they find nothing."""
        return self.ndcg / self.bestsellers if self.ndcg is not None and self.bestsellers else None

    @property
    def gate_note(self) -> str:
        if self.gate.reason is not None:
            return self.gate.reason
        if self.is_pinned:
            return "pinned: later runs do not go live"
        if self.gate.kind == "unmeasured":
            return "it takes users with two ratings or more to measure it"
        return "later runs go live if they pass as well"


@dataclass(frozen=True, slots=True)
class Arriving:
    """How many there are of a kind, and how many came since the full hour `since`, in the 24 hours that end with this
    one, and in the 168.
    """

    name: str
    meaning: str
    n: int
    since: datetime
    hour: int
    day: int
    week: int
    line: Sparkline


@dataclass(frozen=True, slots=True)
class WorkerTile:
    """`state`: runs, silent or none. `beat_at`: when a worker was last seen in the last hour; None if none was."""

    state: str
    n_running: int
    beat_at: datetime | None

    @classmethod
    def of(cls, beats: ProcessBeats) -> "WorkerTile":
        workers = [each for each in beats.beats if is_worker(each)]
        n_running = sum(each.is_alive for each in workers)
        state = "runs" if n_running else "silent" if workers else "none"
        return cls(state, n_running, max((each.beat_at for each in workers), default=None))


@dataclass(frozen=True, slots=True)
class StrategyShare:
    name: str
    meaning: str
    share: float


@dataclass(frozen=True, slots=True)
class Answers:
    """What all processes answered in the last hour. `p50`, `p99`: seconds within which that part was answered,
    infinity beyond `longest`.
    """

    n: int
    n_lists: int
    n_errors: int
    n_refused: int
    p50: float | None
    p99: float | None
    strategies: Sequence[StrategyShare]
    requests: Sparkline
    longest: float = LATENCY_BUCKETS[-1]


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do next. `is_done`: whether it has been done."""

    text: str
    href: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class HomeView:
    """`job`: that runs or waits; otherwise the newest one. `answers`, `worker`: None for a tenant, whose share is not
    known.
    """

    snapshot: SnapshotTile | None
    arriving: Sequence[Arriving]
    counted_at: datetime
    answers: Answers | None
    worker: WorkerTile | None
    job: Job | None
    n_waiting: int
    notices: Sequence[Notice]
    steps: Sequence[Step]

    @property
    def is_training(self) -> bool:
        return self.job is not None and self.job.state in {"queued", "running"}

    @property
    def is_new(self) -> bool:
        """Whether the service still needs one of its first steps."""
        return not all(step.is_done for step in self.steps[:2])


@router.get("/")
@router.get("/console")
async def show(request: Request) -> Response:
    service, is_main = service_of(request), caller_of(request).tenant is None
    view = await run_in_threadpool(home_view, service, data_dir_of(request), is_main=is_main)
    return page(request, "home.html", view)


def home_view(service: Service, data_dir: Path, *, is_main: bool) -> HomeView:
    """`is_main`: whether it is of the main catalogue, whose database keeps what the processes do."""
    store = service.store
    live = store.snapshots.live()
    beats = store.processes.read() if is_main else None
    jobs = store.jobs.summary()
    newest = store.jobs.latest(limit=1)
    totals, hours = store.arrivals.totals(), store.arrivals.by_hour(WEEK_HOURS)
    return HomeView(
        snapshot=None if live is None else snapshot_tile(live),
        arriving=[arriving(name, totals[name].n, hours) for name in KINDS],  # type: ignore[index]  # the same names
        counted_at=min(each.counted_at for each in totals.values()),
        answers=None if beats is None else answers(beats),
        worker=None if beats is None else WorkerTile.of(beats),
        job=jobs.running or (newest[0] if newest else None),
        n_waiting=jobs.n_queued,
        notices=service_notices(service, data_dir, beats),
        steps=[
            Step(
                "Import ratings, items and events from a file.",
                "/console/data",
                totals["ratings"].n + totals["events"].n > 0,
            ),
            Step("Train: learn from what is stored.", "/console/learning", live is not None),
            Step("Try it: rate a few items and watch the list change.", "/console/try", False),
        ],
    )


def snapshot_tile(entry: SnapshotEntry) -> SnapshotTile:
    card = entry.card
    measured = card["metrics"].get("snapshot", {})
    interval = card.get("intervals", {}).get("snapshot", {}).get("ndcg@10")
    low, high = interval or (None, None)
    return SnapshotTile(
        version=entry.version,
        created_at=entry.created_at,
        is_pinned=entry.is_pinned,
        gate=Gate.of(card),
        ndcg=measured.get("ndcg@10"),
        low=low,
        high=high,
        bestsellers=card["metrics"].get("bestsellers", {}).get("ndcg@10"),
    )


def arriving(name: str, n: int, hours: Sequence[HourOfArrivals]) -> Arriving:
    values = [getattr(each, name) for each in hours]
    day, week = sum(values[-DAY_HOURS:]), sum(values)
    label = f"{name} by hour of the last week, {week:,} in all"
    return Arriving(name.capitalize(), KINDS[name], n, hours[-1].hour, values[-1], day, week, Sparkline(values, label))


def answers(beats: ProcessBeats) -> Answers:
    hour: LastHour = last_hour([each.activity for each in beats.beats], beats.read_at)
    total = hour.total
    by_minute = [minute.requests for _, minute in hour.minutes]
    return Answers(
        n=total.requests,
        n_lists=total.lists.total(),
        n_errors=total.server_errors,
        n_refused=total.refused,
        p50=total.latency_seconds(0.5),
        p99=total.latency_seconds(0.99),
        strategies=[StrategyShare(name, STRATEGIES.get(name, ""), share) for name, share in total.shares.items()],
        requests=Sparkline(by_minute, f"requests by minute of the last hour, {total.requests:,} in all"),
    )
