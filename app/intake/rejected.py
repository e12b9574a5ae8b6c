"""Rows that were set aside, in a file of their own."""

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from app.intake.blocks import RejectedRow
from app.intake.writing import writing_in

_KEPT = 5


class RejectedRows:
    """Writes rejected rows to a CSV file in `folder`, made at the first; `folder` None: only counts them.

    `path` None: there were none. `first`: the first few, to be shown.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        self._folder = folder
        self._name = name
        self._file: IO[str] | None = None
        self._writer: Any = None
        self.path: Path | None = None
        self.first: list[RejectedRow] = []

    def add(self, rows: Iterable[RejectedRow]) -> int:
        """Returns how many there were."""
        n_rows = 0
        for row in rows:
            n_rows += 1
            if len(self.first) < _KEPT:
                self.first.append(row)
            if self._folder is not None:
                with writing_in(self._folder):
                    self._write(row, self._folder)
        return n_rows

    def _write(self, row: RejectedRow, folder: Path) -> None:
        if self._file is None:
            folder.mkdir(parents=True, exist_ok=True)
            now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
            self.path = folder / f"{self._name}-{now}.csv"
            # Whatever made a row bad must not make this file unreadable.
            self._file = self.path.open("x", encoding="utf-8", errors="backslashreplace", newline="")
            self._writer = csv.writer(self._file)
            self._writer.writerow(["file", "line", "reason", "row"])
        self._writer.writerow([row.file, row.line, row.reason, row.row])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
