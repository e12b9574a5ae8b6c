"""What an operator should act on, as Home and Operations show it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from app.erasure.overdue import overdue_warning
from app.store.imports import ImportEntry
from app.store.processes import ProcessBeat, ProcessBeats
from app.store.store import Store
from app.training.rejections import rejection_warning
from app.wiring import Service

OLD_AFTER = timedelta(days=7)
"""A snapshot that has not learned what changed for longer is too old."""

LOW_SHARE = 0.1
REJECTED_SHARE = 0.01
"""Of the rows of an import; fewer rejected rows are normal in real data."""


@dataclass(frozen=True, slots=True)
class Notice:
    """`reason`: what is wrong. `advice`: what to do about it. `href`: the page where it is done; empty without one."""

    reason: str
    advice: str
    href: str = ""


def service_notices(service: Service, data_dir: Path, processes: ProcessBeats | None) -> list[Notice]:
    """Reads the database. `processes`: None where they are not shown, for a tenant."""
    return [
        *_of_snapshot(service),
        *_of_processes(service.store, processes),
        *_of_disk(data_dir),
        *_of_imports(service.store.imports.latest(limit=1)),
    ]


def _of_snapshot(service: Service) -> Iterator[Notice]:
    scorer, store = service.serving.current.scorer, service.store
    if scorer.fallback_reason is not None:
        reason = f"Everybody gets popular items: {scorer.fallback_reason}"
        yield Notice(reason, scorer.fallback_advice or "Train again.", "/console/learning")
    damage = service.serving.damage
    if damage is not None:
        yield Notice(damage.reason, damage.advice, "/console/learning")
    for found in (rejection_warning(store), overdue_warning(store)):
        if found is not None:
            yield Notice(_sentence(found.reason), found.advice, "/console/learning")
    live = store.snapshots.live()
    if live is None:
        return
    hours = store.arrivals.by_hour(OLD_AFTER // timedelta(hours=1))
    age = hours[-1].hour - live.created_at
    if age > OLD_AFTER and any(each.ratings or each.events for each in hours):
        reason = f"Snapshot {live.version} is {age.days} days old, and ratings or events have come since."
        advice = "Start a training run, and check that a worker runs."
        if live.is_pinned:
            advice = "It is pinned, so no later one goes live: follow the newest snapshot again."
        yield Notice(reason, advice, "/console/learning")


def _of_processes(store: Store, processes: ProcessBeats | None) -> Iterator[Notice]:
    if processes is None or any(each.is_alive and is_worker(each) for each in processes.beats):
        return
    waiting = store.jobs.summary().n_queued
    waits = f" {waiting} training run{'s wait' if waiting > 1 else ' waits'}." if waiting else ""
    yield Notice(f"No worker runs, so nothing new is learned.{waits}", "Start `reckon worker`.", "/console/operations")


def is_worker(process: ProcessBeat) -> bool:
    return process.name.startswith("worker")


def _of_disk(data_dir: Path) -> Iterator[Notice]:
    try:
        disk = shutil.disk_usage(data_dir)
    except OSError:
        return
    if disk.free < LOW_SHARE * disk.total:
        free = f"{disk.free / disk.total:.0%} of the disk is free"
        yield Notice(f"Only {free}.", "Make room: a full disk refuses writes and snapshots.", "/console/operations")


def _of_imports(imports: list[ImportEntry]) -> Iterator[Notice]:
    for last in imports:
        n_rows = last.n_rejected + sum(counts.get("readable", 0) for counts in last.counts.values())
        if last.n_rejected > REJECTED_SHARE * n_rows:
            reason = f"The last import, of {last.file}, rejected {last.n_rejected:,} of {n_rows:,} rows."
            yield Notice(reason, "Look at the rejected rows.", f"/console/data/imports/{last.import_id}")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
