"""The result of an import: counts by kind, and the rejected rows, which go into a file of their own."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from app.entities import RatingScale
from app.intake.blocks import RejectedRow
from app.intake.columns import Kind
from app.intake.table_writers import writing_in
from app.store import REPLACED, STORED, UNCHANGED

_N_FIRST = 5


@dataclass(slots=True)
class Counts:
    """Numbers of rows of one kind.

    `readable`: rows without errors; each of them was stored, replaced or left unchanged, except in a dry run.
    `stored`: rows that are new in the database.
    `replaced`: rows that overwrote a stored entry.
    `unchanged`: rows that are stored already, or that are older than what is stored.
    `rejected`: rows with an error.
    """

    readable: int = 0
    stored: int = 0
    replaced: int = 0
    unchanged: int = 0
    rejected: int = 0

    def add_statuses(self, statuses: Sequence[int] | NDArray[np.int8]) -> None:
        """Add the (n,) statuses of `app.store` (`STORED`, `REPLACED` or `UNCHANGED`), one a row."""
        # `minlength` gives a zero to each status that does not occur.
        n_by_status = np.bincount(np.asarray(statuses, dtype=np.int64), minlength=3)
        self.stored += int(n_by_status[STORED])
        self.replaced += int(n_by_status[REPLACED])
        self.unchanged += int(n_by_status[UNCHANGED])


@dataclass(slots=True)
class ImportReport:
    """The result of one import.

    `scale`: the rating scale that rows were checked against.
    `is_scale_detected`: whether `scale` was detected from the ratings of this import.
    `is_dry_run`: whether rows were only counted.
    `items`, `users`, `ratings`, `events`, `event_types`, `placements`: counts of rows of each kind.
    `ignored`: names of the files that were not imported.
    `rejected_path`: file of all rejected rows; None where no row was rejected, and in a dry run.
    `first_rejected`: the first rejected rows, at most five.
    `seconds`: duration of the import.
    """

    scale: RatingScale
    is_scale_detected: bool = False
    is_dry_run: bool = False
    items: Counts = field(default_factory=Counts)
    users: Counts = field(default_factory=Counts)
    ratings: Counts = field(default_factory=Counts)
    events: Counts = field(default_factory=Counts)
    event_types: Counts = field(default_factory=Counts)
    placements: Counts = field(default_factory=Counts)
    ignored: list[str] = field(default_factory=list)
    rejected_path: Path | None = None
    first_rejected: list[RejectedRow] = field(default_factory=list)
    seconds: float = 0.0

    def counts_of(self, kind: Kind) -> Counts:
        # The values of `Kind` are the names of the fields above.
        counts: Counts = getattr(self, kind.value)
        return counts

    @property
    def n_rejected(self) -> int:
        return sum(self.counts_of(kind).rejected for kind in Kind)

    @property
    def n_readable(self) -> int:
        return sum(self.counts_of(kind).readable for kind in Kind)

    def as_json(self) -> dict[str, Any]:
        """Return the report as a dictionary that `json.dumps` accepts."""
        # `asdict` leaves paths as they are and takes the scale apart; both are written as text.
        path = None if self.rejected_path is None else str(self.rejected_path)
        return asdict(self) | {"scale": str(self.scale), "rejected_path": path}


class RejectedRowWriter:
    """Context manager that writes rejected rows to a CSV file with the columns file, line, reason and row.

    `folder`: where the file is created; None only counts the rows. `name`: start of the file's name, to which the time
    is added.

    `path`: the file; None before a row was written. `first`: the first rejected rows, at most five.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        self._folder = folder
        self._name = name
        self._file: IO[str] | None = None
        self._writer: Any = None
        self.path: Path | None = None
        self.first: list[RejectedRow] = []

    def add(self, rows: Iterable[RejectedRow]) -> int:
        """Write the rows and return their number; raises as `writing_in` does where the file cannot be written."""
        n_rows = 0
        for row in rows:
            n_rows += 1
            if len(self.first) < _N_FIRST:
                self.first.append(row)
            if self._folder is not None:
                with writing_in(self._folder):
                    self._write(row, self._folder)
        return n_rows

    def _write(self, row: RejectedRow, folder: Path) -> None:
        # The file is created at the first rejected row, so that an import without errors leaves no empty file.
        if self._file is None:
            folder.mkdir(parents=True, exist_ok=True)
            now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
            self.path = folder / f"{self._name}-{now}.csv"
            # Surrogates stand for bytes that were not UTF-8; they are escaped, because they cannot be encoded.
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
