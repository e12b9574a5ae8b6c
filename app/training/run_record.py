"""The log of one run, kept while it is written: what its stages took and what was decided."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from app.algorithms.progress import StageLog
from app.store.run_logs import RunLogEntry

MAX_ENTRIES = 500
"""A run has about a hundred."""

MAX_TEXT = 2_000

EVENTS = {"decision": "decision", "stage finished": "finished", "stage failed": "failed"}
NOT_FIGURES = {"stage", "decision", "duration_seconds", "error", "last_text"}


class RunRecord:
    """A `StageLog` that passes everything on to `log` and keeps the decisions and the ends of stages.

    Written by the thread that trains and read by another one.
    """

    def __init__(self, log: StageLog, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._clock = clock
        self._entries: list[RunLogEntry] = []

    @property
    def entries(self) -> list[RunLogEntry]:
        """Those so far, oldest first."""
        return self._entries[:]

    def info(self, event: str, **fields: Any) -> None:
        self._log.info(event, **fields)
        if (kind := EVENTS.get(event)) is not None and len(self._entries) < MAX_ENTRIES:
            self._entries.append(_entry(self._clock(), kind, fields))

    def debug(self, event: str, **fields: Any) -> None:
        self._log.debug(event, **fields)


def _entry(at: float, kind: str, fields: Mapping[str, Any]) -> RunLogEntry:
    text = str(fields.get("decision" if kind == "decision" else "error", ""))[:MAX_TEXT]
    figures = {name: _plain(value) for name, value in fields.items() if name not in NOT_FIGURES and value is not None}
    return RunLogEntry(at, str(fields.get("stage", "")), kind, text, fields.get("duration_seconds"), figures)


def _plain(value: Any) -> Any:
    """`value` as a number or a text of JSON: figures may be scalars of NumPy, or not finite."""
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if isinstance(value, bool):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)[:MAX_TEXT]
    if not math.isfinite(number):
        return str(number)
    return int(number) if number.is_integer() else number
