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

from app.entities import EventType, RatingScale
from app.intake.blocks import RejectedRow
from app.intake.cells.left_out import LeftOut
from app.intake.column_names.columns import Kind
from app.intake.files.table_writers import writing_in
from app.intake.repeated_pairs import MOST_PAIRS
from app.intake.scales.scale import share_text
from app.store import REPLACED, STORED, UNCHANGED

REJECTED_SHARE = 0.01
"""Some rejected rows are normal in real data; a larger share gets a warning."""

_N_FIRST = 5


@dataclass(slots=True)
class Counts:
    """Numbers of rows of one kind, which add up to the rows of the files.

    `readable`: rows without errors; each of them was stored, replaced or left unchanged, except in a dry run.
    `stored`: rows that are new in the database.
    `replaced`: rows that changed a stored entry, which may come from an earlier row of the same import.
    `unchanged`: rows that are stored already, or that are older than what is stored.
    `rejected`: rows with an error.
    `repeated`: of the readable rows, those of ratings that repeat the user and the item of an earlier row of the same
    import; they are among the others. Other kinds of rows are not compared.

    Where amounts are summed, the first row of a sum counts as what became of the sum, and the others as replacing it.
    """

    readable: int = 0
    stored: int = 0
    replaced: int = 0
    unchanged: int = 0
    rejected: int = 0
    repeated: int = 0

    @property
    def are_repeats_exact(self) -> bool:
        """Whether `repeated` is exact; otherwise there are at least so many."""
        return self.readable - self.repeated <= MOST_PAIRS

    @property
    def repeated_text(self) -> str:
        """How many rows repeat a pair, such as `at least 1,200 rows repeat ...`; empty if none does."""
        if not self.repeated:
            return ""
        least = "" if self.are_repeats_exact else "at least "
        rows = "row repeats" if self.repeated == 1 else "rows repeat"
        why = "" if self.are_repeats_exact else f" (only {MOST_PAIRS:,} pairs are compared)"
        return f"{least}{self.repeated:,} {rows} the user and the item of an earlier row{why}"

    def as_json(self, kind: Kind) -> dict[str, int]:
        """Without `repeated` for kinds of rows that are not compared."""
        document: dict[str, int] = asdict(self)
        if kind is not Kind.RATINGS:
            del document["repeated"]
        return document

    @property
    def rejected_share(self) -> float:
        """The share of the rows that were rejected; 0 where there are no rows."""
        return self.rejected / max(1, self.readable + self.rejected)

    def add_statuses(self, statuses: Sequence[int] | NDArray[np.int8]) -> None:
        """Add the (n,) statuses of `app.store`, one a row; rows of unknown items are counted as rejected elsewhere."""
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
    `previous_scale`: the scale of the store before, where stored ratings got another one; None otherwise.
    `is_dry_run`: whether rows were only counted.
    `items`, `users`, `ratings`, `events`, `event_types`, `placements`: counts of rows of each kind.
    `created_types`: event types that the events needed and that did not exist.
    `n_set_aside`: number of rows of ratings whose value stands for a missing rating; they count nowhere else.
    `ignored`: names of the files that were not imported, in parentheses why where they cannot be read.
    `n_repeated_headers`: rows that repeat the header of their file, as in concatenated files; they count nowhere else.
    `rejected_path`: file of all rejected rows; None where no row was rejected, and in a dry run.
    `first_rejected`: the first rejected rows, at most five.
    `first_reasons`: kind of rows to the reason of the first one rejected.
    `notes`: how files were read, what was set aside and what is doubtful in the values of ratings, in sentences.
    `left_out`: cells that could not be read, one entry a column.
    `seconds`: duration of the import.
    """

    scale: RatingScale
    is_scale_detected: bool = False
    previous_scale: RatingScale | None = None
    is_dry_run: bool = False
    items: Counts = field(default_factory=Counts)
    users: Counts = field(default_factory=Counts)
    ratings: Counts = field(default_factory=Counts)
    events: Counts = field(default_factory=Counts)
    event_types: Counts = field(default_factory=Counts)
    placements: Counts = field(default_factory=Counts)
    created_types: list[EventType] = field(default_factory=list)
    n_set_aside: int = 0
    ignored: list[str] = field(default_factory=list)
    n_repeated_headers: int = 0
    rejected_path: Path | None = None
    first_rejected: list[RejectedRow] = field(default_factory=list)
    first_reasons: dict[Kind, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
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

    @property
    def is_unreadable(self) -> bool:
        """Whether there were rows and none of them could be read, so that the file or its columns are wrong."""
        return not self.n_readable and bool(self.n_rejected or self.n_set_aside)

    @property
    def warnings(self) -> list[str]:
        """A sentence for each kind of which more than 1 % of the rows were rejected, or no row holds a rating."""
        shown = [kind for kind in Kind if self.counts_of(kind).rejected_share > REJECTED_SHARE]
        n_kinds = sum(self.counts_of(kind).readable + self.counts_of(kind).rejected > 0 for kind in Kind)
        warnings = [
            rejection_warning(
                self.counts_of(kind).rejected_share,
                self.first_reasons[kind],
                # One kind of rows needs no name.
                rows="rows" if n_kinds == 1 else f"rows of {kind.label}",
            )
            for kind in shown
        ]
        if self.n_set_aside and not self.ratings.readable:
            warnings.append(f"all ratings are missing: {self.n_set_aside:,} rows were set aside")
        return warnings

    def as_json(self) -> dict[str, Any]:
        """Return the report as a dictionary that `json.dumps` accepts."""
        # `asdict` leaves paths as they are and takes scales apart; both are written as text.
        texts = {name: _text_or_none(getattr(self, name)) for name in ("scale", "previous_scale", "rejected_path")}
        counts = {kind.value: self.counts_of(kind).as_json(kind) for kind in Kind}
        return asdict(self) | texts | counts | {"warnings": self.warnings}


def rejection_warning(share: float, first_reason: str, rows: str = "rows") -> str:
    """Return the warning that a `share` of the `rows`, above `REJECTED_SHARE`, was rejected."""
    return f"{share_text(share)} of the {rows} were rejected; the first reason: {first_reason}"


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


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

    def add(self, rows: Iterable[RejectedRow]) -> None:
        """Write the rows; raises as `writing_in` does where the file cannot be written."""
        for row in rows:
            if len(self.first) < _N_FIRST:
                self.first.append(row)
            if self._folder is not None:
                with writing_in(self._folder):
                    self._write(row, self._folder)

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
