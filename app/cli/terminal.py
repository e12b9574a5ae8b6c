"""What commands show: progress as a bar on a terminal, as lines elsewhere, and not at all under `--json`; tables."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

from app.algorithms.progress import ProgressCallback

SECONDS_BETWEEN_LINES = 2.0

TABLE_COLUMNS = 240
"""Width of a table that goes into a file or another program, so that no cell is wrapped."""


@contextmanager
def shown_progress(*, is_quiet: bool = False) -> Iterator[ProgressCallback]:
    """A callback for long work. It writes to standard error, so that standard output holds the result alone."""
    if is_quiet:
        yield lambda fraction, stage: None  # noqa: ARG005  the signature of a callback
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
    written_at = time.monotonic()

    def progress(fraction: float, stage: str) -> None:
        nonlocal written_at
        now = time.monotonic()
        if now - written_at >= SECONDS_BETWEEN_LINES:
            written_at = now
            sys.stderr.write(f"{fraction:4.0%} {stage}\n")

    return progress


def table_console() -> "Console":
    """Where tables are printed."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=TABLE_COLUMNS)
