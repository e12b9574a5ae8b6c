"""What commands show on standard error and standard output: progress, the log of a run, tables.

Progress is a bar on a terminal and lines elsewhere; `--json` shows neither progress nor the log.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

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

    # The text stands last: its length changes with every stage, and the bar must not move.
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=1.0)
        yield lambda fraction, stage: progress.update(task, completed=fraction, description=stage)


def _lines() -> ProgressCallback:
    # A pipe keeps every line, so there is one at most every few seconds.
    written_at = time.monotonic()

    def progress(fraction: float, stage: str) -> None:
        nonlocal written_at
        now = time.monotonic()
        if now - written_at >= SECONDS_BETWEEN_LINES:
            written_at = now
            sys.stderr.write(f"{fraction:4.0%} {stage}\n")

    return progress


def show_log(*, is_quiet: bool = False) -> None:
    """Show what is logged as plain lines on standard error, above the bar where there is one.

    `is_quiet`: unexpected errors alone.
    """
    import logging

    import structlog

    structlog.configure(
        processors=[structlog.processors.format_exc_info, _as_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR if is_quiet else logging.INFO),
        # The bar replaces `sys.stderr` while it is shown, so the stream is read when a logger is bound and not before.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _as_line(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
    """A log entry as a line: "evaluating > measuring: 0.52 s, rmse 0.8412"."""
    import structlog

    event = fields.pop("event")
    # The bar shows the texts of progress already.
    if event == "progress":
        raise structlog.DropEvent
    # One job runs at a time, and its outcome names it.
    stage, _, _ = fields.pop("stage", ""), fields.pop("job_id", None), fields.pop("attempt", None)
    if event == "decision":
        return f"{stage}: {fields['decision']}"
    exception = fields.pop("exception", "")
    parts = []
    if event.startswith("stage "):
        failure = f"failed with {fields.pop('error')} after " if event == "stage failed" else ""
        event = f"{stage}: {failure}{fields.pop('duration_seconds'):.2f} s"
        parts.append(fields.pop("last_text", ""))
    parts += [f"{name} {_shown(value)}" for name, value in fields.items() if value not in (None, [], {}, ())]
    line = ", ".join(part for part in (event, *parts) if part)
    return f"{line}\n{exception}" if exception else line


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_shown(each)}" for name, each in value.items()) + ")"
    if isinstance(value, list | tuple):
        return " ".join(map(_shown, value))
    # A flag is an int to Python, and must not be shown as a number.
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table_console() -> "Console":
    """Where tables are printed."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=TABLE_COLUMNS)


def set_by_signals() -> threading.Event:
    """An event that SIGINT, SIGTERM and a closed terminal set, for processes that run until they are stopped."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # `nohup` makes the process ignore SIGHUP, because it is to outlive its terminal.
        if not (number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN):
            signal.signal(number, stop)
    return stopping
