"""How long work is shown: a bar on a terminal, a line now and then elsewhere, nothing under `--json`."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.algorithms.progress import ProgressCallback

SECONDS_BETWEEN_LINES = 2.0


@contextmanager
def shown_progress(*, is_quiet: bool = False) -> Iterator[ProgressCallback]:
    """What long work calls; everything goes to standard error, so that standard output holds the result alone."""
    if is_quiet:
        yield lambda fraction, stage: None  # noqa: ARG005  it takes what the others take
    elif sys.stderr.isatty():
        with _bar() as progress:
            yield progress
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<14}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=1.0)
        yield lambda fraction, stage: progress.update(task, completed=fraction, description=stage)


def _lines() -> ProgressCallback:
    told_at = time.monotonic()

    def progress(fraction: float, stage: str) -> None:
        nonlocal told_at
        now = time.monotonic()
        if now - told_at >= SECONDS_BETWEEN_LINES:
            told_at = now
            sys.stderr.write(f"{fraction:4.0%} {stage}\n")

    return progress
