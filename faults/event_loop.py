"""The worst requests that are allowed, one after the other: how long each holds the event loop of the process.

Whatever holds the loop holds up every other request, `/livez` included. Three figures: the longest callback, in
processor time of the loop's thread; the longest delay of a timer, which also counts the interpreter lock and must be
measured on a machine that does nothing else; and the longest garbage collection, which falls into any request.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings
from faults.loop_lag import Asked, Hold, ask, running
from faults.trial import Figure, Trial
from faults.worst_requests import WorstRequests, fill

MAX_SECONDS = 0.02
N_ITEMS = {"test": (150,), "short": (10_000,), "long": (10_000, 100_000)}
N_TIMES = 3
"""A delay is the shortest of so many requests of a kind: what the machine does besides is not the service's doing."""

SERVER_ERROR = 500


def run(trial: Trial) -> Iterator[Figure]:
    for n_items in N_ITEMS[trial.size]:
        data_dir = trial.fresh_folder(f"{n_items}")
        fill(data_dir, n_items)
        holds, n_unasked = asyncio.run(measure(data_dir, n_items, 1 if trial.size == "test" else N_TIMES))
        yield from figures(holds, n_unasked, n_items)


async def measure(data_dir: Path, n_items: int, n_times: int) -> tuple[dict[str, Hold], int]:
    """What each request did, by its name, and of how many operations there was none."""
    settings = Settings(data_dir=data_dir, database_url="", snapshot_poll_seconds=3_600)
    app = create_app(settings)
    holds: dict[str, Hold] = {}
    asked: list[Asked] = []
    async with running(app):
        for _ in range(n_times):
            for name, request in WorstRequests(n_items).all():
                asked.append(request)
                hold = await ask(app, request)
                holds[name] = hold if name not in holds else shorter(holds[name], hold)
    return holds, len(unasked(app, asked))


def shorter(one: Hold, other: Hold) -> Hold:
    """Both in one: the longer callback, since the first request may make what the next ones use; the shorter delay."""
    return Hold(
        max(one.status, other.status),
        max(one.held_seconds, other.held_seconds),
        min(one.late_seconds, other.late_seconds),
        max(one.collected_seconds, other.collected_seconds),
    )


def unasked(app: FastAPI, asked: list[Asked]) -> set[str]:
    """The operations of the OpenAPI document that none of the requests is of."""
    sent = {f"{request.method} {request.path}" for request in asked}
    operations = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    return {each for each in operations if not any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", each), one) for one in sent)}


def figures(holds: Mapping[str, Hold], n_unasked: int, n_items: int) -> Iterator[Figure]:
    at = f"{n_items:,} items"
    n_failed = sum(hold.status >= SERVER_ERROR for hold in holds.values())
    yield Figure(
        f"worst requests, {at}",
        "of every operation, no server error",
        f"{len(holds)} kinds, {n_unasked} operations without one, {n_failed} server errors",
        n_unasked == n_failed == 0,
    )
    if n_items < min(N_ITEMS["short"]):
        return
    held = {name: hold.held_seconds for name, hold in holds.items()}
    late = {name: hold.late_seconds for name, hold in holds.items()}
    collected = {name: hold.collected_seconds for name, hold in holds.items()}
    for what, seconds in (
        ("longest callback, processor time", held),
        ("longest delay of a timer", late),
        ("longest garbage collection", collected),
    ):
        name = max(seconds, key=seconds.__getitem__)
        above = sorted(each for each, value in seconds.items() if value > MAX_SECONDS)
        seen = f"{seconds[name] * 1e3:.1f} ms ({name})" + (f"; above: {', '.join(above)}" if above else "")
        yield Figure(f"{what}, {at}", f"<= {MAX_SECONDS * 1e3:.0f} ms", seen, not above, is_timed=True)
