"""Writes tables as CSV or JSONL files in the form that `reckon import` reads back unchanged."""

import csv
import errno
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.errors import ConflictError, StorageFullError
from app.intake.files.spreadsheet_cells import mark

_NO_SPACE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Format(StrEnum):
    """The file format of an export.

    CSV holds lists as `A|B` and attributes as JSON in one field.
    """

    CSV = "csv"
    JSONL = "jsonl"


class TableWriter:
    """Context manager that writes rows with the columns `names` to `path`.

    Rows go to a hidden file beside `path`, which `publish` renames to `path`. Without `publish` nothing remains, so an
    interrupted export never leaves half a file under its final name.

    `marked`: columns of text in which spreadsheets must run no formulas; in CSV, `mark` is applied to their cells. All
    other fields are written unchanged.
    `n_rows`: number of rows written so far.
    """

    def __init__(
        self, path: Path, names: Sequence[str], format_: Format, marked: Collection[str] = frozenset()
    ) -> None:
        self.path = path
        self.n_rows = 0
        self._names = names
        self._format = format_
        self._marked = [name in marked for name in names]
        # The leading dot hides the file from an import of the same folder.
        self._partial_path = path.with_name(f".{path.name}.partial")

    def __enter__(self) -> Self:
        # newline="" leaves line breaks inside fields as they are, as the csv module requires.
        self._file = self._partial_path.open("w", encoding="utf-8", newline="")
        self._minimal = csv.writer(self._file, lineterminator="\n")
        self._quoted = csv.writer(self._file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        if self._format is Format.CSV:
            self._minimal.writerow(self._names)
        return self

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        """Write rows with one value per column: text or None in CSV, any JSON value in JSONL."""
        if self._format is Format.CSV and any(self._marked):
            rows = map(self._mark, rows)
        for row in rows:
            self.n_rows += 1
            if self._format is Format.JSONL:
                self._file.write(json.dumps(dict(zip(self._names, row, strict=True)), ensure_ascii=False) + "\n")
            elif any(value is not None and "\r" in value for value in row):
                # With minimal quoting the csv module leaves a lone carriage return unquoted, and it would end the row.
                self._quoted.writerow(row)
            else:
                self._minimal.writerow(row)

    def _mark(self, row: Sequence[str | None]) -> Sequence[str | None]:
        return [
            mark(value) if is_marked and value is not None else value
            for value, is_marked in zip(row, self._marked, strict=True)
        ]

    def publish(self) -> None:
        """Close the file and move it to `path`, replacing a file that is there."""
        self._file.close()
        self._partial_path.replace(self.path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._partial_path.unlink(missing_ok=True)


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Translate the `OSError` of a write in `folder` into an error with a message for users.

    Raises `StorageFullError` where the device is full or a quota is reached, `ConflictError` for any other failure.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE_ERRORS:
            raise StorageFullError(f"there is no room left in {folder}") from error
        raise ConflictError(f"{folder} cannot be written to: {error.strerror or error}") from error
