"""An import: what a PATH holds goes into the store, block by block, and what cannot is set aside.

Each block is one transaction, so that other writers wait for a fraction of a second; an import that was interrupted is
finished by running it again, since rows that are already there change nothing.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

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
from app.intake.rejected import RejectedRows
from app.intake.report import ImportReport
from app.intake.scale import detect_scale
from app.store import Store

Progress = Callable[[float, str], None]


def import_path(
    path: Path,
    store: Store,
    *,
    rejected_dir: Path,
    check_settings: SettingsCheck,
    columns: str | None = None,
    scale: RatingScale | None = None,
    is_dry_run: bool = False,
    progress: Progress = lambda fraction, stage: None,  # noqa: ARG005  the default takes what every other takes
) -> ImportReport:
    """Imports a file, folder or zip (`layouts` says which) and reports what became of its rows.

    `scale`: set first; rows off it are rejected. None: a store whose scale is open takes the one an export declares, or
    the one detected in a first pass; any other holds to its own. `progress(fraction, stage)` is called at every block.
    `check_settings` judges those of placements. Rejected rows go into a file in `rejected_dir`. A dry run changes
    nothing and makes no file.

    Raises `InvalidInputError` where PATH cannot be read, `ConflictError` where a stored rating is off `scale`.
    """
    started = time.perf_counter()
    content = recognise(path, columns)
    verify(content.files)
    with RejectedRows(None if is_dry_run else rejected_dir, path.stem) as rejected:
        run = _Run(content, store, rejected, progress, is_dry_run=is_dry_run)
        run.settle_scale(scale)
        run.import_placements(check_settings)
        run.import_event_types()
        run.import_items()
        run.import_users()  # before what they did, which counts for their countries
        run.import_ratings()
        run.import_events()
    run.report.rejected_path, run.report.first_rejected = rejected.path, rejected.first
    run.report.seconds = time.perf_counter() - started
    return run.report


class _Run:
    """One import under way; `report` grows with it."""

    def __init__(
        self, content: Content, store: Store, rejected: RejectedRows, progress: Progress, *, is_dry_run: bool
    ) -> None:
        self._content = content
        self._store = store
        self._rejected = rejected
        self._progress = progress
        self._now = to_microseconds(datetime.now(UTC))
        self._reader = RatingReader(self._now)
        self._types_of_file: set[str] = set()
        self._bytes_done = 0
        self._bytes_to_read = sum(table.file.size for table in content.tables)
        self.report = ImportReport(store.instance.scale(), is_dry_run=is_dry_run, ignored=content.ignored)

    def settle_scale(self, wanted: RatingScale | None) -> None:
        if wanted is None and self._store.instance.is_scale_open():
            wanted = self._content.declared_scale or self._detected_scale()
        if wanted is None:
            return
        self.report.scale = wanted
        if not self.report.is_dry_run:
            self._store.instance.set_scale(wanted)

    def _detected_scale(self) -> RatingScale | None:
        self._bytes_to_read += sum(table.file.size for table in self._content.of(Kind.RATINGS))
        detected = detect_scale(self._reader.values(block) for block in self._blocks(Kind.RATINGS, "rating scale"))
        self.report.is_scale_detected = detected is not None
        return detected

    def import_placements(self, check_settings: SettingsCheck) -> None:
        def take(row: Row) -> int | None:
            name, settings = read_placement(row, check_settings)
            return None if self.report.is_dry_run else self._store.placements.put(name, settings)

        self._import_declared(Kind.PLACEMENTS, take)

    def import_event_types(self) -> None:
        def take(row: Row) -> int | None:
            declared = read_event_type(row)
            status = None if self.report.is_dry_run else self._store.events.put_type(declared)
            self._types_of_file.add(declared.name)
            return status

        self._import_declared(Kind.EVENT_TYPES, take)

    def _import_declared(self, kind: Kind, take: Callable[[Row], int | None]) -> None:
        """Each row in a transaction of its own: they are few, and the next may be one too many."""
        counts = self.report.of(kind)
        for block in self._blocks(kind, kind.label):
            counts.rejected += self._rejected.add(block.rejected)
            for index, values in enumerate(zip(*block.columns.values(), strict=True)):
                try:
                    status = take(dict(zip(block.columns, values, strict=True)))
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
        """Of an id that comes again, or is stored, nothing is changed: it is the same event."""
        counts = self.report.events
        declared = {known.name for known in self._store.events.types().values()} | self._types_of_file
        reader = EventReader(self._now, declared)
        for block in self._blocks(Kind.EVENTS, "events"):
            read = reader.read(block)
            counts.readable += len(read.events)
            counts.rejected += self._rejected.add(read.rejected)
            if len(read.events) and not self.report.is_dry_run:
                counts.add_statuses(self._store.events.record(read.events))

    def _blocks(self, kind: Kind, stage: str) -> Iterator[Block]:
        """Blocks of all tables of a kind, one after the other, telling the progress between them."""
        for table in self._content.of(kind):
            for block in table.blocks():
                yield block
                self._tell(table.file.meter.bytes_read, stage)
            self._bytes_done += table.file.size
            self._tell(0, stage)

    def _tell(self, bytes_of_file: int, stage: str) -> None:
        self._progress(min(1.0, (self._bytes_done + bytes_of_file) / max(1, self._bytes_to_read)), stage)
