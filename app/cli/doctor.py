"""`reckon doctor`: one line for each thing that can be wrong with an installation, and what to do about it."""

import json
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from app.settings import Settings
    from app.store import Store
    from app.store.checkup import Finding

LOW_BYTES = 1 << 30
CLOCK_SECONDS = 5.0
"""More is no delay of an answer."""
WAITING_SECONDS = 600.0


def doctor(as_json: bool = typer.Option(False, "--json", help="Print the findings as JSON")) -> None:
    """Check database, snapshots, object storage, disk, clock, configuration and worker. Changes no data.

    Exit code 1 if there is a problem; a warning alone is no problem.
    """
    from app.settings import Settings

    findings = list(_findings(Settings()))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in findings]))
    else:
        for each in findings:
            typer.echo(f"{each.state:8} {each.check:14} {each.detail}" + (f"; {each.advice}" if each.advice else ""))
    if any(each.state == "problem" for each in findings):
        raise typer.Exit(1)


def _findings(settings: "Settings") -> Iterator["Finding"]:
    from app.errors import ReckonError
    from app.store.checkup import Finding, check_database
    from app.store.database import open_database
    from app.store.sqlite import SqliteDialect
    from app.wiring import open_store

    yield from _configuration(settings)
    if not settings.data_dir.exists():
        yield Finding("data folder", "problem", f"there is no folder {settings.data_dir}", "run `reckon migrate`")
        return
    yield _disk(settings.data_dir)
    try:
        database = open_database(settings.database_url, settings.data_dir)
    except ReckonError as error:
        yield Finding("database", "problem", error.detail, "RECKON_DATABASE_URL and RECKON_DATA_DIR name it")
        return
    try:
        # Opening a file that does not exist would make one.
        if isinstance(database.dialect, SqliteDialect) and not database.dialect.path.exists():
            advice = "run `reckon migrate`, or restore a backup with `reckon restore`"
            yield Finding("database", "problem", "there is no database file", advice)
            return
        found = check_database(database)
        yield from found
    finally:
        database.close()
    if any(each.state == "problem" for each in found):
        return  # the other checks read the tables
    store = open_store(settings)
    try:
        yield _clock(store)
        yield from _object_storage(settings, store)
        yield _snapshot(settings, store)
        yield _worker(store)
    except ReckonError as error:
        yield Finding("database", "problem", error.detail, "try again; if it stays, see the log of the service")
    finally:
        store.close()


def _configuration(settings: "Settings") -> Iterator["Finding"]:
    from app.store.checkup import Finding

    n_before = 0
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except OSError as error:
        n_before += 1
        advice = "RECKON_HOST names an address of this machine"
        yield Finding("configuration", "problem", f"cannot listen on {settings.host}: {error.strerror}", advice)
    if not (settings.train_after_changes or settings.train_after_percent or settings.train_interval_seconds):
        n_before += 1
        advice = "set one of RECKON_TRAIN_..., or run `reckon train` yourself"
        yield Finding("configuration", "warning", "nothing starts a training run", advice)
    if settings.worker_poll_seconds > settings.worker_lease_seconds:
        n_before += 1
        advice = "RECKON_WORKER_POLL_SECONDS should be below RECKON_WORKER_LEASE_SECONDS"
        yield Finding("configuration", "warning", "a dead worker's run is noticed late", advice)
    if n_before == 0:
        yield Finding("configuration", "ok", "no contradictions")


def _disk(data_dir: Path) -> "Finding":
    from app.store.checkup import Finding
    from app.store.disk_room import RESERVE_BYTES

    disk = shutil.disk_usage(data_dir)
    sizes = [sum(file.stat().st_size for file in each.iterdir()) for each in data_dir.glob("snapshots/[0-9]*")]
    detail = f"{disk.free >> 20:,} MiB of {disk.total >> 20:,} MiB are free"
    if disk.free < 2 * min(RESERVE_BYTES, disk.total // 16):
        return Finding("disk", "problem", detail, "writes are refused: make room")
    if disk.free < 2.5 * max(sizes, default=0):
        return Finding("disk", "warning", detail, "too little for the next snapshot: make room")
    if disk.free < min(LOW_BYTES, disk.total // 10):
        return Finding("disk", "warning", detail, "make room soon")
    return Finding("disk", "ok", detail)


def _clock(store: "Store") -> "Finding":
    from app.store.checkup import Finding

    with store.database.reading() as connection:
        ahead = time.time() - store.database.dialect.now(connection) / 1e6
    times = [job.created_at.timestamp() for job in store.jobs.latest()]
    times += [entry.created_at.timestamp() for entry in store.snapshots.entries()]
    newest = max(times, default=0.0) - time.time()
    if abs(ahead) > CLOCK_SECONDS:
        detail = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the database's"
        return Finding("clock", "problem", detail, "synchronise the clocks of both machines")
    if newest > CLOCK_SECONDS:
        detail = f"a job or a snapshot was stored {newest:.0f} s in the future"
        return Finding("clock", "problem", detail, "the clock was set back: synchronise it")
    return Finding("clock", "ok", "agrees with the database and with what is stored")


def _object_storage(settings: "Settings", store: "Store") -> Iterator["Finding"]:
    """Nothing without object storage. Writes a small object and removes it."""
    from app.errors import ReckonError
    from app.snapshots.errors import ObjectStorageError, ObjectStorageRefusedError
    from app.store.checkup import Finding
    from app.wiring import snapshot_folders

    name, bucket = "object storage", snapshot_folders(settings).bucket
    if bucket is None:
        return
    live, is_written = store.snapshots.live(), True
    try:
        bucket.check_owner(store.instance.database_id)
        bucket.versions()
        is_live_there = live is None or bucket.has(live.version)
        try:
            if not bucket.honours_conditions():
                detail = f"{bucket.url}: the storage ignores If-Match or If-None-Match"
                advice = "use another storage: two runs at the same time could both publish"
                yield Finding(name, "problem", detail, advice)
                return
        except ObjectStorageRefusedError as error:
            is_written = False
            advice = f"enough for `reckon serve --no-worker`, not for what trains: {error.advice}"
            yield Finding(name, "warning", f"it can be read and not written: {error.detail}", advice)
    except ReckonError as error:
        advice = error.advice if isinstance(error, ObjectStorageError) else ""
        yield Finding(name, "problem", error.detail, advice)
        return
    if live is not None and not is_live_there:
        detail = f"{bucket.url} does not have the live snapshot {live.version}"
        yield Finding(name, "problem", detail, "run `reckon snapshots upload` where it is, or train again")
    elif is_written:
        yield Finding(name, "ok", f"{bucket.url} can be read and written")


def _snapshot(settings: "Settings", store: "Store") -> "Finding":
    from app.scoring import ActiveSnapshot
    from app.store.checkup import Finding
    from app.wiring import snapshot_folders

    entry = store.snapshots.live()
    if entry is None:
        return Finding("snapshot", "warning", "nothing is learned yet: lists hold popular items", "run `reckon train`")
    active = ActiveSnapshot(store.instance.database_id)
    folders = snapshot_folders(settings)
    if not folders.is_here(entry):
        if folders.local(entry).exists():
            detail = f"the copy of version {entry.version} on this machine is not the registered one"
            return Finding("snapshot", "warning", detail, "a running service fetches it again")
        return Finding("snapshot", "ok", f"version {entry.version} is not on this machine yet")
    active.refresh(entry.version, folders.local(entry), entry.digest)
    if active.current is None:
        detail = f"version {entry.version} cannot be served: {active.problem}"
        return Finding("snapshot", "problem", detail, "run `reckon train`, or `reckon snapshots activate` another")
    return Finding("snapshot", "ok", f"version {entry.version} is whole")


def _worker(store: "Store") -> "Finding":
    """What the jobs tell: a worker renews the lease of its run, and an idle one takes the next job at once."""
    from app.entities import from_microseconds
    from app.store.checkup import Finding

    jobs, now = store.jobs.summary(), from_microseconds(store.database.now())
    ended_at = None if jobs.last is None else jobs.last.finished_at
    last = "" if ended_at is None else f"; the last run ended {_ago(now, ended_at)}"
    if jobs.running is not None and jobs.running_until is not None and jobs.running_until < now:
        detail = f"no worker runs: the lease of the run in progress ended {_ago(now, jobs.running_until)}"
        return Finding("worker", "problem", detail, "start `reckon worker`: it takes the run over")
    if jobs.running is not None:
        return Finding("worker", "ok", f"a run is at {jobs.running.progress:.0%}{last}")
    if jobs.queued_since is not None and (now - jobs.queued_since).total_seconds() > WAITING_SECONDS:
        detail = f"no worker runs: a job was queued {_ago(now, jobs.queued_since)}{last}"
        return Finding("worker", "problem", detail, "start `reckon worker`")
    return Finding("worker", "ok", f"no job waits for long{last}")


def _ago(now: "datetime", at: "datetime") -> str:
    seconds = max(0, round((now - at).total_seconds()))
    return f"{seconds:,} s ago"
