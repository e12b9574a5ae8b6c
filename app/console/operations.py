"""Operations: processes, requests, jobs, erasures, database, disk and settings."""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from app.auth.errors import ForbiddenError
from app.console.learning import JobRow
from app.console.notices import Notice, service_notices
from app.console.plots import Plot, channel
from app.console.rendering import page
from app.console.routing import caller_of, console_router, data_dir_of, service_of, settings_of
from app.observability.activity import LAG_BUCKETS, LATENCY_BUCKETS, LastHour, last_hour
from app.observability.consumption import ConsumerState
from app.settings import Settings
from app.store.erasures import Erasure
from app.store.processes import ProcessBeat
from app.wiring import Service

SIZES_SECONDS = 60
N_ERASURES = 20

_ASKED = "to the first answer of a process that takes it into account, the wait for being asked included."
LAGS = {
    "ratings": f"From a rating {_ASKED}",
    "events": f"From an event {_ASKED}",
    "snapshot": "From the publication of a snapshot to the moment at which a process serves it.",
}

router = console_router("/console/operations")


@dataclass(frozen=True, slots=True)
class SettingView:
    """`value`: as text, without passwords. `is_default`: whether nothing sets it."""

    name: str
    value: str
    meaning: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class FolderSize:
    name: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class StorageView:
    """`down_since`: when the database stopped answering; None while it answers. `database_bytes`: of the tables.

    `size_bytes`, `free_bytes`: of the disk.
    """

    kind: str
    down_since: datetime | None
    database_bytes: int
    size_bytes: int | None
    free_bytes: int | None
    folders: Sequence[FolderSize]


@dataclass(frozen=True, slots=True)
class LagView:
    """How soon writes took effect in the last hour. `p50`, `p99`: seconds within which that part did; None if
    none, infinity beyond `longest`.
    """

    name: str
    meaning: str
    p50: float | None
    p99: float | None
    longest: float = LAG_BUCKETS[-1]


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """`consumer`: what a consumer of messages does; None for all others."""

    beat: ProcessBeat
    consumer: ConsumerState | None


@dataclass(frozen=True, slots=True)
class OperationsView:
    """`processes`: empty for a tenant, which shares them with others; then there are neither plots nor settings.
    `erasures`: the oldest of the `n_erasures` that are pending.
    """

    is_main: bool
    processes: Sequence[ProcessRow]
    live_version: int | None
    requests: Plot | None
    latency: Plot | None
    lags: Sequence[LagView]
    storage: StorageView
    jobs: Sequence[JobRow]
    notices: Sequence[Notice]
    erasures: Sequence[Erasure]
    n_erasures: int
    settings: Sequence[SettingView]


@router.get("")
async def show(request: Request) -> Response:
    is_main = caller_of(request).tenant is None
    arguments = service_of(request), data_dir_of(request), settings_of(request)
    return page(request, "operations.html", await run_in_threadpool(operations_view, *arguments, is_main=is_main))


def operations_view(service: Service, data_dir: Path, settings: Settings, *, is_main: bool) -> OperationsView:
    store = service.store
    beats = store.processes.read() if is_main else None
    live, now = store.snapshots.live(), store.jobs.now()
    hour = None if beats is None else last_hour([each.activity for each in beats.beats], beats.read_at)
    return OperationsView(
        is_main=is_main,
        processes=[] if beats is None else [ProcessRow(each, ConsumerState.of(each.activity)) for each in beats.beats],
        live_version=None if live is None else live.version,
        requests=None if hour is None else requests_plot(hour),
        latency=None if hour is None else latency_plot(hour),
        lags=[] if hour is None else lag_views(hour),
        storage=storage_view(service, data_dir, settings),
        jobs=[JobRow.of(each, now) for each in store.jobs.latest()],
        notices=service_notices(service, data_dir, beats),
        erasures=store.erasures.pending(N_ERASURES),
        n_erasures=store.erasures.count_open()[0],
        settings=list(settings_view(settings)) if is_main else [],
    )


@router.get("/metrics")
async def show_metrics(request: Request) -> Response:
    """As `GET /metrics`, which takes API keys alone. Those of all tenants together."""
    if caller_of(request).tenant is not None:
        raise ForbiddenError("the metrics are of the whole deployment: they need a key of the main catalogue")
    text = await run_in_threadpool(service_of(request).metrics.render)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def requests_plot(hour: LastHour) -> Plot:
    """Answers of all processes by minute and outcome."""
    rows = [
        (f"{at:%Y-%m-%dT%H:%M:%SZ}", kind, n)
        for at, minute in hour.minutes
        for kind, n in (
            ("answered", minute.requests - minute.server_errors - minute.refused),
            ("refused", minute.refused),
            ("errors", minute.server_errors),
        )
    ]
    marks = {
        "mark": {"type": "bar"},
        "encoding": {
            "x": channel("minute", "temporal"),
            "y": channel("requests", "quantitative", aggregate="sum"),
            "color": channel("outcome", "nominal"),
            "tooltip": [
                channel("minute", "temporal"),
                channel("outcome", "nominal"),
                channel("requests", "quantitative"),
            ],
        },
    }
    return Plot(
        "Requests by minute, last hour",
        "Answers of all API processes. Refused: by a limit or because of overload. Errors: answers of 500 or more.",
        ("minute", "outcome", "requests"),
        rows if hour.total.requests else [],
        marks,
        "No request has come in the last hour.",
    )


def latency_plot(hour: LastHour) -> Plot:
    """How many requests took how long."""
    starts = (0.0, *LATENCY_BUCKETS)
    names = [f"{1_000 * start:g} to {1_000 * end:g} ms" for start, end in zip(starts, LATENCY_BUCKETS, strict=False)]
    names.append(f"over {LATENCY_BUCKETS[-1]:g} s")
    marks = {
        "mark": {"type": "bar"},
        "encoding": {
            "x": channel("time to answer", "ordinal", sort=None, axis={"labelAngle": -45}),
            "y": channel("requests", "quantitative"),
            "tooltip": [channel("time to answer", "ordinal"), channel("requests", "quantitative")],
        },
    }
    return Plot(
        "Time to answer, last hour",
        "How many requests were answered within which time, inside of the service. Refused ones are left out.",
        ("time to answer", "requests"),
        list(zip(names, hour.total.latency, strict=True)) if any(hour.total.latency) else [],
        marks,
        "No request has come in the last hour.",
    )


def lag_views(hour: LastHour) -> list[LagView]:
    total = hour.total
    return [
        LagView(name.capitalize(), meaning, total.lag_seconds(name, 0.5), total.lag_seconds(name, 0.99))
        for name, meaning in LAGS.items()
    ]


def storage_view(service: Service, data_dir: Path, settings: Settings) -> StorageView:
    outage = service.store.availability.outage
    try:
        disk = shutil.disk_usage(data_dir)
    except OSError:
        disk = None
    return StorageView(
        kind="Postgres" if settings.database_url.startswith("postgresql") else "SQLite",
        down_since=None if outage is None else outage.since,
        database_bytes=service.store.database.size(),
        size_bytes=None if disk is None else disk.total,
        free_bytes=None if disk is None else disk.free,
        folders=_folder_sizes(data_dir, int(time.monotonic() // SIZES_SECONDS)),
    )


@lru_cache(maxsize=64)
def _folder_sizes(data_dir: Path, _minute: int) -> Sequence[FolderSize]:
    """Of what lies in the data folder; files that vanish meanwhile do not count. Looked up once a minute."""
    sizes = []
    for entry in sorted(data_dir.iterdir()) if data_dir.is_dir() else ():
        files = entry.glob("**/*") if entry.is_dir() else (entry,)
        n_bytes = 0
        for file in files:
            try:
                n_bytes += file.stat().st_size if file.is_file() else 0
            except OSError:
                continue
        sizes.append(FolderSize(entry.name + ("/" if entry.is_dir() else ""), n_bytes))
    return sizes


def settings_view(settings: Settings) -> Iterator[SettingView]:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        text = _without_password(value) if name.endswith("_url") else str(value)
        yield SettingView(f"RECKON_{name.upper()}", text, field.description or "", value == field.default)


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    userinfo, at, address = rest.rpartition("@")
    hidden = f"{userinfo.partition(':')[0]}:…" if ":" in userinfo else userinfo
    # Options may hold one, too.
    return f"{scheme}{separator}{hidden}{at}{address.partition('?')[0]}"
