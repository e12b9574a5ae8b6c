"""Rows to a file, as CSV or JSONL, each in one way: what `reckon import` reads back the same."""

import csv
import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Format(StrEnum):
    """Of an export. CSV holds lists as `A|B` and attributes as JSON in one field; raw, not guarded for spreadsheets."""

    CSV = "csv"
    JSONL = "jsonl"


class TableWriter:
    """Writes rows of the columns `names` to a file beside `path`, which it becomes in `publish()`."""

    def __init__(self, path: Path, names: Sequence[str], format_: Format) -> None:
        self.path = path
        self.n_rows = 0
        self._names = names
        self._format = format_
        self._aside = path.with_name(f".{path.name}.partial")

    def __enter__(self) -> Self:
        self._file = self._aside.open("w", encoding="utf-8", newline="")
        self._minimal = csv.writer(self._file, lineterminator="\n")
        self._quoted = csv.writer(self._file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        if self._format is Format.CSV:
            self._minimal.writerow(self._names)
        return self

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        """Values: for CSV text or None, for JSONL whatever JSON holds."""
        for row in rows:
            self.n_rows += 1
            if self._format is Format.JSONL:
                self._file.write(json.dumps(dict(zip(self._names, row, strict=True)), ensure_ascii=False) + "\n")
            elif any(value is not None and "\r" in value for value in row):
                self._quoted.writerow(row)  # csv quotes a lone carriage return only when told to
            else:
                self._minimal.writerow(row)

    def publish(self) -> None:
        self._file.close()
        self._aside.replace(self.path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._aside.unlink(missing_ok=True)
