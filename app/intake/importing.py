"""Imports the files at a path into the store, block by block, and writes rejected rows to a file.

Each block is one transaction, so that other writers wait only for a fraction of a second. An interrupted import is
completed by running it again, because rows that are stored already change nothing.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from app.algorithms.progress import ProgressCallback, ignore
from app.entities import RatingScale, to_microseconds
from app.errors import ConflictError, InvalidInputError
from app.intake.blocks import Block
from app.intake.columns import Kind
from app.intake.configuration import Row, SettingsCheck, read_event_type, read_placement
from app.intake.entries import read_items, read_users
from app.intake.events import EventReader
from app.intake.files import verify
from app.intake.layouts import Content, recognise
from app.intake.ratings import RatingReader
from app.intake.report import ImportReport, RejectedRowWriter
from app.intake.scale import detect_scale
from app.store import Store


def import_path(
    path: Path,
    store: Store,
    *,
    rejected_dir: Path,
    check_settings: SettingsCheck,
    columns: str | None = None,
    scale: RatingScale | None = None,
    is_dry_run: bool = False,
    progress: ProgressCallback = ignore,
) -> ImportReport:
    """Import a file, folder or zip in any layout that `layouts` recognises, and return the counts of rows.

    `rejected_dir`: folder for the file of rejected rows.
    `check_settings`: checks the settings of placements.
    `columns`: the names of the columns, as in `--columns`.
    `scale`: the rating scale to set before the import; ratings that are not on it are rejected. None keeps the scale of
    the store. Where the store has none yet, None takes the scale that an export states, or else the scale detected in a
    first pass over the ratings.
    `is_dry_run`: read and count all rows, but neither change the store nor write a file.
    `progress`: called after every block.

    Raises `InvalidInputError` where `path` cannot be read, `ConflictError` where a stored rating is not on `scale`, and
    `StorageFullError` where there is no space left.
    """
    started = time.perf_counter()
    content = recognise(path, columns)
    # Archives are read twice, so that a damaged one is refused before its first rows are stored.
    verify(content.files)
    # The order follows references: events name their types, and they are counted by the countries of their users.
    with RejectedRowWriter(None if is_dry_run else rejected_dir, path.stem) as rejected:
        importer = _Importer(content, store, rejected, progress, is_dry_run=is_dry_run)
        importer.resolve_scale(scale)
        importer.import_placements(check_settings)
        importer.import_event_types()
        importer.import_items()
        importer.import_users()
        importer.import_ratings()
        importer.import_events()
    importer.report.rejected_path, importer.report.first_rejected = rejected.path, rejected.first
    importer.report.seconds = time.perf_counter() - started
    return importer.report


class _Importer:
    """The state of one import. Each method `import_...` imports the rows of one kind and adds them to `report`."""

    def __init__(
        self,
        content: Content,
        store: Store,
        rejected: RejectedRowWriter,
        progress: ProgressCallback,
        *,
        is_dry_run: bool,
    ) -> None:
        self._content = content
        self._store = store
        self._rejected = rejected
        self._progress = progress
        # One time for the whole import, so that all rows are compared with the same limit.
        self._now = to_microseconds(datetime.now(UTC))
        self._reader = RatingReader(self._now)
        self._imported_types: set[str] = set()
        self._bytes_done = 0
        self._bytes_to_read = sum(table.file.size for table in content.tables)
        self.report = ImportReport(store.instance.scale(), is_dry_run=is_dry_run, ignored=content.ignored)

    def resolve_scale(self, scale: RatingScale | None) -> None:
        """Set the scale of the store to `scale`; where that is None and the store has none, to that of the files."""
        if scale is None and self._store.instance.is_scale_open():
            scale = self._content.declared_scale or self._detect_scale()
        if scale is None:
            return
        self.report.scale = scale
        if not self.report.is_dry_run:
            self._store.instance.set_scale(scale)

    def _detect_scale(self) -> RatingScale | None:
        # The files of ratings are read twice, which the progress display must count.
        self._bytes_to_read += sum(table.file.size for table in self._content.tables_of(Kind.RATINGS))
        detected = detect_scale(self._reader.values(block) for block in self._blocks(Kind.RATINGS, "rating scale"))
        self.report.is_scale_detected = detected is not None
        return detected

    def import_placements(self, check_settings: SettingsCheck) -> None:
        def record(row: Row) -> int | None:
            name, settings = read_placement(row, check_settings)
            return None if self.report.is_dry_run else self._store.placements.put(name, settings)

        self._import_configuration(Kind.PLACEMENTS, record)

    def import_event_types(self) -> None:
        def record(row: Row) -> int | None:
            event_type = read_event_type(row)
            status = None if self.report.is_dry_run else self._store.events.put_type(event_type)
            # Reached only where the store accepted the type, so that events of a refused type are rejected.
            self._imported_types.add(event_type.name)
            return status

        self._import_configuration(Kind.EVENT_TYPES, record)

    def _import_configuration(self, kind: Kind, record: Callable[[Row], int | None]) -> None:
        """Pass every row to `record`, which returns the status of the row, or None in a dry run."""
        # Each row has its own transaction: rows are few, and one beyond a limit must not undo those before it.
        counts = self.report.counts_of(kind)
        for block in self._blocks(kind, kind.label):
            counts.rejected += self._rejected.add(block.rejected)
            for index, values in enumerate(zip(*block.columns.values(), strict=True)):
                try:
                    status = record(dict(zip(block.columns, values, strict=True)))
                except (InvalidInputError, ConflictError) as error:
                    reason = f"{error.field}: {error}" if error.field else str(error)
                    counts.rejected += self._rejected.add([block.reject(index, reason)])
                    continue
                counts.readable += 1
                if status is not None:
                    counts.add_statuses([status])

    def import_items(self) -> None:
        counts = self.report.items
        for block in self._blocks(Kind.ITEMS, "items"):
            read = read_items(block)
            counts.readable += len(read.entries)
            counts.rejected += self._rejected.add(read.rejected)
            if read.entries and not self.report.is_dry_run:
                # Fields that are not `given` by a column of the file keep their stored values.
                counts.add_statuses(self._store.items.record(read.entries, read.given))

    def import_users(self) -> None:
        counts = self.report.users
        for block in self._blocks(Kind.USERS, "users"):
            read = read_users(block)
            counts.readable += len(read.entries)
            counts.rejected += self._rejected.add(read.rejected)
            if read.entries and not self.report.is_dry_run:
                counts.add_statuses(self._store.users.record(read.entries, read.given))

    def import_ratings(self) -> None:
        counts = self.report.ratings
        for block in self._blocks(Kind.RATINGS, "ratings"):
            read = self._reader.read(block, self.report.scale)
            counts.readable += len(read.ratings)
            counts.rejected += self._rejected.add(read.rejected)
            if len(read.ratings) and not self.report.is_dry_run:
                counts.add_statuses(self._store.ratings.record(read.ratings).status)

    def import_events(self) -> None:
        """Import events; one whose id is stored already counts as unchanged, whatever its other fields say."""
        counts = self.report.events
        # A dry run does not store the event types of the import, so they are added here.
        types = {event_type.name for event_type in self._store.events.types().values()} | self._imported_types
        reader = EventReader(self._now, types)
        for block in self._blocks(Kind.EVENTS, "events"):
            read = reader.read(block)
            counts.readable += len(read.events)
            counts.rejected += self._rejected.add(read.rejected)
            if len(read.events) and not self.report.is_dry_run:
                counts.add_statuses(self._store.events.record(read.events))

    def _blocks(self, kind: Kind, stage: str) -> Iterator[Block]:
        """Yield the blocks of all tables of a kind and report progress after each of them."""
        for table in self._content.tables_of(kind):
            for block in table.blocks():
                yield block
                self._report_progress(table.file.counter.bytes_read, stage)
            # The stated size replaces the bytes counted so far, so that the files add up to `_bytes_to_read`.
            self._bytes_done += table.file.size
            self._report_progress(0, stage)

    def _report_progress(self, bytes_of_file: int, stage: str) -> None:
        # Sizes are as the files state them and may be too small, so the fraction is limited to 1.
        self._progress(min(1.0, (self._bytes_done + bytes_of_file) / max(1, self._bytes_to_read)), stage)
