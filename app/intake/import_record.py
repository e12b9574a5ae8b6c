"""Records an import in the store while it runs: how far it is, how it ended, and the rows that it rejected."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from app.errors import ReckonError
from app.intake.blocks import RejectedRow
from app.intake.column_names.columns import Kind
from app.intake.report import Counts, ImportReport
from app.store import Store
from app.store.imports import MOST_ROWS, ImportState, KeptRow

REPORT_SECONDS = 2.0
UNREADABLE = "no row could be read: check what the columns are taken for, and the rating scale"
FIELD = re.compile(r"([a-z_]{1,40}): ")
"""The reason of a rejected row begins with the field at fault, if it is a single one."""

log = structlog.get_logger()


class ImportRecord:
    """Context manager for one import of the file or folder at `path`.

    `store`: None for an import that changes nothing, which is not recorded. `import_id`: of the record, if it has begun
    already. `report`: to be set as soon as there is one; its counts are recorded.
    """

    def __init__(self, store: Store | None, path: Path, import_id: str = "") -> None:
        self._store = store
        self._file = path.name or path.resolve().name
        self._import_id = import_id
        self._n_kept = 0
        self._reported_at = time.monotonic()
        self.report: ImportReport | None = None

    def __enter__(self) -> Self:
        if self._store is not None and not self._import_id:
            self._import_id = self._store.imports.begin(self._file)
        return self

    def add(self, rows: Sequence[RejectedRow]) -> None:
        """Keep rejected rows, up to the most that are kept of an import."""
        if self._store is None:
            return
        kept = [
            KeptRow(number, row.file, row.line, _field_of(row.reason), row.reason, row.row)
            for number, row in enumerate(rows[: MOST_ROWS - self._n_kept], start=self._n_kept + 1)
        ]
        if kept:
            self._store.imports.keep(self._import_id, kept)
            self._n_kept += len(kept)

    def go_on(self, progress: float | None) -> None:
        """To be called often: every few seconds, record how far the import is, and add up what has arrived.

        `progress`: from 0 to 1; None if it is not known.
        """
        if self._store is None or time.monotonic() - self._reported_at < REPORT_SECONDS:
            return
        self._reported_at = time.monotonic()
        self._store.imports.report(self._import_id, self._counts(), progress)
        self._store.arrivals.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is None:
            return
        try:
            state, reason = self._end_of(error)
            self._store.imports.finish(self._import_id, state, self._counts(), reason)
            self._store.arrivals.flush()
        except ReckonError as failure:
            # The import has succeeded, or failed with an error that tells more.
            log.warning("end of the import not recorded", import_id=self._import_id, reason=failure.detail)

    def _counts(self) -> dict[str, dict[str, int]]:
        if self.report is None:
            return {}
        counts = {kind: self.report.counts_of(kind) for kind in Kind}
        return {kind.value: each.as_json(kind) for kind, each in counts.items() if each != Counts()}

    def _end_of(self, error: BaseException | None) -> tuple[ImportState, str | None]:
        if error is None:
            # The reasons of rejected rows quote what users wrote, and are kept with the rows alone.
            is_unreadable = self.report is not None and self.report.is_unreadable
            return ("failed", UNREADABLE) if is_unreadable else ("succeeded", None)
        if isinstance(error, ReckonError):
            return "failed", error.detail
        if isinstance(error, Exception):
            # Its text may quote what the files hold.
            return "failed", f"{type(error).__name__}: an unexpected error"
        return "interrupted", None


def _field_of(reason: str) -> str | None:
    found = FIELD.match(reason)
    return None if found is None else found[1]
