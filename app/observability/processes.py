"""What `reckon serve` knows of its processes, for the readiness probe: a small file that it writes and they read."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

PROCESSES_FILE = "RECKON_PROCESSES_FILE"
"""The environment variable by which a process is told where the file is; absent where nothing supervises it."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A process of the service.

    `state`: `restarting` from its end to its next start, `stopping` once the whole service is about to stop.
    `since`: of `running` or `restarting`, UTC, ISO 8601.
    `last_exit`: how it ended last, until it has run steadily since; None if it has not ended. `n_ends`: how often it
    ended without being told to.
    """

    name: str
    state: Literal["running", "restarting", "stopping"]
    since: str
    last_exit: str | None
    n_ends: int = 0


def write_processes(path: Path, states: Sequence[ProcessState]) -> None:
    """Replace the file. Where the disk is full, the old one stays: the processes must go on serving."""
    aside = path.with_suffix(".new")
    with suppress(OSError):
        aside.write_text(json.dumps([asdict(each) for each in states]))
        aside.replace(path)


def read_processes() -> list[ProcessState]:
    """Empty where nothing supervises this process, or nothing was written yet."""
    path = os.environ.get(PROCESSES_FILE)
    if path is None:
        return []
    try:
        return [ProcessState(**each) for each in json.loads(Path(path).read_text())]
    except (OSError, ValueError):
        return []
