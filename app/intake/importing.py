"""Imports the files at a path into the store, block by block, and writes rejected rows to a file.

Each block is one transaction, so that other writers wait only for a fraction of a second. An interrupted import is
completed by running it again, because rows that are stored already change nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import ProgressCallback, ignore
from app.entities import ITEM_DEFAULTS, USER_DEFAULTS, EventType, IncomingRatings, Patch, RatingScale, to_microseconds
from app.errors import ConflictError, InvalidInputError
from app.intake.blocks import ROWS_PER_BLOCK, Block, RejectedRow, to_csv_line
from app.intake.cells.left_out import count_left_out
from app.intake.column_names.columns import Kind
from app.intake.configuration import Row, SettingsCheck, read_event_type, read_placement
from app.intake.entries import ReadPatches, read_items, read_users
from app.intake.event_types import EventTypeCreator
from app.intake.events import EventReader
from app.intake.export_rows import as_digits
from app.intake.files.listing import verify
from app.intake.hints import NO_HINTS, FileHints
from app.intake.import_record import ImportRecord
from app.intake.layouts import Content, recognise
from app.intake.rating_writer import RatingWriter
from app.intake.ratings import UNKNOWN_ITEM_FAULT, RatingReader, ReadRatings, with_ones
from app.intake.repeated_pairs import RepeatedPairs
from app.intake.report import REJECTED_SHARE, ImportReport, RejectedRowWriter
from app.intake.scales.missing_ratings import MissingRatings
from app.intake.scales.scale import Detection, detect_scale
from app.intake.scales.scale_rules import n_on
from app.intake.scales.sums import PairSums
from app.intake.scales.value_counts import ValueCounts
from app.store import REPLACED, STORED, UNCHANGED, UNKNOWN_ITEM, Store
from app.store.audit import COMMAND_LINE

_N_PLACES = 1_000

_READING = 0.05
"""The time that it takes to read a byte, as a share of the time to read and store it."""


def import_path(
    path: Path,
    store: Store,
    *,
    rejected_dir: Path,
    check_settings: SettingsCheck,
    hints: FileHints = NO_HINTS,
    scale: RatingScale | None = None,
    is_summed: bool = False,
    is_replacing: bool = False,
    is_dry_run: bool = False,
    import_id: str = "",
    progress: ProgressCallback = ignore,
) -> ImportReport:
    """Import a file, folder or zip in any layout that `layouts` recognises, and return the counts of rows.

    `rejected_dir`: folder for the file of rejected rows.
    `check_settings`: checks the settings of placements.
    `hints`: what the user states about the files.
    `scale`: the rating scale to set before the import; ratings that are not on it are rejected. None keeps the scale of
    the store once it is set, by the user or by an import of which at least half of the ratings were accepted. Until
    then, None takes the scale that an export states, or else the scale detected in a first pass over the ratings.
    Where ratings are stored already, the detected scale is taken only if all of them are on it, more than 1 % of the
    new ones are off the scale of the store, and the new ones are more.
    `is_summed`: add up the amounts of rows of the same user and item, and store the sum with the newest time; rows
    without a value count 1. Where the store has no scale yet and `scale` is None, the values are amounts. Without it,
    the newest row wins. Sums are made within one import: they replace what is stored. Needs memory for all pairs.
    `is_replacing`: rows of items and users replace all that is stored of the item or user; fields that a row does not
    name are reset to their defaults. Without it, they keep their stored values, and attributes are merged.
    `is_dry_run`: read and count all rows, but neither change the store nor write a file. Any other import is recorded
    in `store.imports` with the rows that it rejects, also if it fails.
    `import_id`: the record in `store.imports`, if it has begun already.
    `progress`: called after every block.

    Raises `InvalidInputError` where `path` cannot be read and where values to sum are no amounts,
    `ConflictError` where a stored rating is not on `scale`, and `StorageFullError` where there is no space left.
    """
    started = time.perf_counter()
    with (
        ImportRecord(None if is_dry_run else store, path, import_id) as record,
        RejectedRowWriter(None if is_dry_run else rejected_dir, path.stem) as rejected,
    ):
        content = recognise(path, hints)
        # Archives are read twice, so that a damaged one is refused before its first rows are stored.
        verify(content.files)
        importer = _Importer(
            content,
            store,
            rejected,
            record,
            progress,
            missing=hints.missing,
            is_summed=is_summed,
            is_replacing=is_replacing,
            is_dry_run=is_dry_run,
        )
        record.report = importer.report
        importer.resolve_scale(scale)
        # The order follows references: events name their types, and they are counted by the countries of their users.
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
        record: ImportRecord,
        progress: ProgressCallback,
        *,
        missing: frozenset[str],
        is_summed: bool,
        is_replacing: bool,
        is_dry_run: bool,
    ) -> None:
        self._content = content
        self._store = store
        self._rejected = rejected
        self._record = record
        self._progress = progress
        self._is_summed = is_summed
        self._is_replacing = is_replacing
        # One time for the whole import, so that all rows are compared with the same limit.
        self._now = to_microseconds(datetime.now(UTC))
        self._reader = RatingReader(self._now, missing)
        self._is_scale_open = store.instance.is_scale_open()
        self._detection: Detection | None = None
        self._imported_types: set[str] = set()
        self._pairs = RepeatedPairs()
        # A dry run does not store the items of the import, which its ratings and events may name.
        self._unstored_items: set[str] = set()
        # Of the work, in bytes to read and store: bytes that are only read count less.
        self._work_done = 0.0
        self._work = float(sum(table.file.size for table in content.tables))
        self._rating_bytes = sum(table.file.size for table in content.tables_of(Kind.RATINGS))
        self._is_recording_sums = is_summed and not is_dry_run
        if self._is_recording_sums:
            self._work += _READING * self._rating_bytes
        self.report = ImportReport(
            store.instance.scale(), is_dry_run=is_dry_run, notes=content.notes, ignored=content.ignored
        )

    def resolve_scale(self, stated: RatingScale | None) -> None:
        """Set the scale of the store to the `stated` one; without one, while it is open, to that of the files."""
        n_stored = self._store.ratings.count() if self._is_scale_open else 0
        if stated is None and self._is_scale_open and not n_stored:
            # Grades cannot be added up, so a request for sums says what the values are.
            stated = self._content.declared_scale or (RatingScale.parse("amounts") if self._is_summed else None)
        if self._is_summed and (stated or self.report.scale).kind != "amounts":
            message = f"only amounts are summed, and the values here are {stated or self.report.scale}"
            raise InvalidInputError(message, field="sum")
        if stated is not None:
            self._set_scale(stated, is_declared=True)
        elif self._is_scale_open:
            self._detect_scale(n_stored)

    def _detect_scale(self, n_stored: int) -> None:
        # The files of ratings are read twice, which the progress display must count.
        self._work += _READING * self._rating_bytes
        blocks = self._blocks(Kind.RATINGS, "rating scale", _READING)
        values = ValueCounts.of(self._reader.values(block) for block in blocks)
        # The headers are counted again when the rows are imported.
        self.report.n_repeated_headers = 0
        if not values.total:
            return
        self._detection = found = detect_scale(values, are_amounts=self._content.has_amounts)
        if n_stored and not self._is_to_adopt(found, n_stored):
            return
        self.report.is_scale_detected = True
        if n_stored and found.scale != self.report.scale:
            self.report.previous_scale = self.report.scale
        self._set_scale(found.scale, is_declared=False)

    def _is_to_adopt(self, found: Detection, n_stored: int) -> bool:
        """Whether a detected scale is better than that of the store, whose ratings are never rescaled."""
        if found.scale == self.report.scale:
            return True
        n_new = found.counts.total - found.missing.total
        is_poor = n_new - n_on(self.report.scale, found.counts) > REJECTED_SHARE * n_new
        return is_poor and n_new > n_stored and not self._store.instance.n_off(found.scale)

    def _set_scale(self, scale: RatingScale, *, is_declared: bool) -> None:
        self.report.scale = scale
        if not self.report.is_dry_run:
            with self._store.audit.command("scale.set", str(scale)):
                self._store.instance.set_scale(scale, is_declared=is_declared)

    def import_placements(self, check_settings: SettingsCheck) -> None:
        def record(row: Row) -> int | None:
            name, settings = read_placement(row, check_settings)
            if self.report.is_dry_run:
                return None
            change = self._store.placements.put(name, settings, changed_by=COMMAND_LINE)
            return self._audited("placements.put", name, change.status)

        self._import_configuration(Kind.PLACEMENTS, record)

    def import_event_types(self) -> None:
        def record(row: Row) -> int | None:
            event_type = read_event_type(row)
            status = None if self.report.is_dry_run else self._put_event_type(event_type)
            # Reached only where the store accepted the type, so that events of a refused type are rejected.
            self._imported_types.add(event_type.name)
            return status

        self._import_configuration(Kind.EVENT_TYPES, record)

    def _put_event_type(self, event_type: EventType) -> int:
        return self._audited("event-types.put", event_type.name, self._store.events.put_type(event_type))

    def _audited(self, action: str, name: str, status: int) -> int:
        """Record a change of the configuration, and return its status."""
        if status != UNCHANGED:
            self._store.audit.record(COMMAND_LINE, action, name)
        return status

    def _import_configuration(self, kind: Kind, record: Callable[[Row], int | None]) -> None:
        """Pass every row to `record`, which returns the status of the row, or None in a dry run."""
        # Each row has its own transaction: rows are few, and one beyond a limit must not undo those before it.
        counts = self.report.counts_of(kind)
        for block in self._blocks(kind, kind.label):
            self._reject(kind, block.rejected)
            for index, values in enumerate(zip(*block.columns.values(), strict=True)):
                try:
                    status = record(dict(zip(block.columns, values, strict=True)))
                except (InvalidInputError, ConflictError) as error:
                    reason = f"{error.field}: {error}" if error.field else str(error)
                    self._reject(kind, [block.reject(index, reason)])
                    continue
                counts.readable += 1
                if status is not None:
                    counts.add_statuses([status])

    def import_items(self) -> None:
        self._import_entries(Kind.ITEMS, read_items, self._store.items.patch, ITEM_DEFAULTS)

    def import_users(self) -> None:
        self._import_entries(Kind.USERS, read_users, self._store.users.patch, USER_DEFAULTS)

    def _import_entries(
        self,
        kind: Kind,
        read: Callable[[Block], ReadPatches],
        record: Callable[[Sequence[Patch]], list[int]],
        defaults: Mapping[str, Any],
    ) -> None:
        counts = self.report.counts_of(kind)
        for block in self._blocks(kind, kind.label):
            part = read(block)
            counts.readable += len(part.patches)
            self._reject(kind, part.rejected)
            count_left_out(self.report.left_out, part.left_out)
            if self.report.is_dry_run:
                if kind is Kind.ITEMS and self._store.rejects_unknown_items:
                    self._unstored_items.update(patch.entry_id for patch in part.patches)
            elif part.patches:
                # Fields that a row does not name keep their stored values, unless whole rows are replaced.
                patches = [patch.replacing(defaults) for patch in part.patches] if self._is_replacing else part.patches
                counts.add_statuses(record(patches))

    def import_ratings(self) -> None:
        counts, sums, scale = self.report.ratings, PairSums(), self.report.scale
        missing = MissingRatings(scale, self._detection)
        places: dict[float, str] = {}
        n_on_scale = 0

        def count_stored(block: Block, read: ReadRatings, status: NDArray[np.int8]) -> None:
            self._count_ratings(block, read, status != UNKNOWN_ITEM)
            counts.add_statuses(status)

        with RatingWriter(self._store, count_stored) as writer:
            for block in self._blocks(Kind.RATINGS, "ratings", _READING if self._is_recording_sums else 1.0):
                if missing.is_learning:
                    missing.add(self._reader.values(block))
                read = self._reader.read(with_ones(block) if self._is_summed else block, scale, missing.values)
                n_on_scale += len(read.ratings)
                self.report.n_set_aside += read.n_set_aside
                self._reject(Kind.RATINGS, read.rejected)
                self._note_places(places, block.file, read.off_scale)
                if self._is_summed or self.report.is_dry_run:
                    known = self._count_ratings(block, read, self._are_known(read.ratings.item_id))
                    if self._is_summed:
                        sums.add(known)
                elif len(read.ratings):
                    writer.add(block, read)
        if n_on_scale:
            self._report_progress(0, "ratings")  # the last ones are stored now
        if repeated := counts.repeated_text:
            kept = "the amounts of a pair are added up" if self._is_summed else "the newest rating of a pair counts"
            self.report.notes.append(f"{repeated}: {kept}")
        if not self.report.is_dry_run:
            self._record_sums(sums)
        self.report.notes += missing.notes(places, is_asking=self.report.is_scale_detected)
        self._keep_scale(n_on_scale)

    def _count_ratings(self, block: Block, read: ReadRatings, is_known: NDArray[np.bool_]) -> IncomingRatings:
        """Count the ratings of known items, and return them; the others are rejected."""
        self._count_readable(Kind.RATINGS, block, read.rows, is_known)
        known = read.ratings if is_known.all() else read.ratings.part(np.flatnonzero(is_known).tolist())
        self.report.ratings.repeated += self._pairs.add(known.user_id, known.item_id)
        return known

    def _keep_scale(self, n_on_scale: int) -> None:
        # A scale by which most ratings are rejected was detected wrongly, or from other data, and stays open. Those of
        # unknown items say nothing of the scale.
        counts = self.report.ratings
        n_of_unknown = n_on_scale - counts.readable
        is_good = counts.readable > 0 and n_on_scale >= counts.rejected - n_of_unknown
        if self._is_scale_open and is_good and not self.report.is_dry_run:
            self._store.instance.declare_scale()

    def _record_sums(self, sums: PairSums) -> None:
        counts = self.report.ratings
        for summed, n_rows in sums.chunks(ROWS_PER_BLOCK):
            status = self._store.ratings.record(summed).status
            self._work_done += self._rating_bytes * len(summed) / len(sums)
            self._report_progress(0, "ratings")
            # The first row of a new sum stores it, and each further one replaces it by a larger sum.
            further = np.where(status == STORED, REPLACED, status)
            counts.add_statuses(np.append(status, np.repeat(further, np.array(n_rows) - 1)))
            # Items that were deleted since their rows were read. A sum is of several lines, so it has no line.
            for place in np.flatnonzero(status == UNKNOWN_ITEM).tolist():
                row = to_csv_line([summed.user_id[place], summed.item_id[place], as_digits(float(summed.value[place]))])
                rejected = RejectedRow("", 0, f"item_id: {UNKNOWN_ITEM_FAULT}", row)
                self._reject(Kind.RATINGS, [rejected] * n_rows[place])
                counts.readable -= n_rows[place]
                counts.repeated -= n_rows[place] - 1

    def _note_places(self, places: dict[float, str], file: str, off_scale: list[tuple[float, int]]) -> None:
        """Add the place of the first row of each value, as far as memory allows."""
        is_one_file = len(self._content.tables_of(Kind.RATINGS)) == 1
        for value, line in off_scale:
            if len(places) < _N_PLACES:
                places.setdefault(value, f"line {line}" if is_one_file else f"{file}, line {line}")

    def _reject(self, kind: Kind, rows: list[RejectedRow]) -> None:
        if rows:
            self.report.first_reasons.setdefault(kind, rows[0].reason)
            self.report.counts_of(kind).rejected += len(rows)
            self._rejected.add(rows)
            self._record.add(rows)

    def import_events(self) -> None:
        """Import events; one whose id is stored already counts as unchanged, whatever its other fields say."""
        counts = self.report.events
        # A dry run does not store the event types of the import, so they are added here.
        known = {event_type.name for event_type in self._store.events.types().values()} | self._imported_types
        create = (lambda _: None) if self.report.is_dry_run else self._put_event_type
        types = EventTypeCreator(known, create, is_complete=bool(self._content.tables_of(Kind.EVENT_TYPES)))
        self.report.created_types = types.created
        reader = EventReader(self._now, types.ensure)
        for block in self._blocks(Kind.EVENTS, "events"):
            read = reader.read(block)
            self._reject(Kind.EVENTS, read.rejected)
            if self.report.is_dry_run:
                self._count_readable(Kind.EVENTS, block, read.rows, self._are_known(read.events.item_id))
            elif len(read.events):
                status = self._store.events.record(read.events)
                self._count_readable(Kind.EVENTS, block, read.rows, status != UNKNOWN_ITEM)
                counts.add_statuses(status)

    def _are_known(self, item_ids: list[str]) -> NDArray[np.bool_]:
        """Return which of the n items are stored or, in a dry run, would be; all where unknown items are accepted."""
        if not self._store.rejects_unknown_items:
            return np.ones(len(item_ids), np.bool_)
        stored = self._store.items.known_ids(set(item_ids))
        is_known = (item_id in stored or item_id in self._unstored_items for item_id in item_ids)
        return np.fromiter(is_known, np.bool_, count=len(item_ids))

    def _count_readable(self, kind: Kind, block: Block, rows: Sequence[int], is_known: NDArray[np.bool_]) -> None:
        """Count the n rows of `block` and reject those whose item is not known."""
        unknown = np.flatnonzero(~is_known).tolist()
        self.report.counts_of(kind).readable += len(rows) - len(unknown)
        self._reject(kind, [block.reject(rows[place], f"item_id: {UNKNOWN_ITEM_FAULT}") for place in unknown])

    def _blocks(self, kind: Kind, stage: str, weight: float = 1.0) -> Iterator[Block]:
        """Yield the blocks of all tables of a kind and report progress after each of them.

        `weight`: how much a byte counts, see `_READING`.
        """
        for table in self._content.tables_of(kind):
            for block in table.blocks():
                self.report.n_repeated_headers += len(block.repeated_headers)
                yield block
                self._report_progress(weight * table.file.counter.bytes_read, stage)
            # The stated size replaces the bytes counted so far, so that the files add up to `_work`.
            self._work_done += weight * table.file.size
            self._report_progress(0, stage)

    def _report_progress(self, work_on_file: float, stage: str) -> None:
        # Sizes are as the files state them and may be too small, so the fraction is limited to 1.
        fraction = min(1.0, (self._work_done + work_on_file) / max(1.0, self._work))
        self._record.go_on(fraction if self._work else None)
        self._progress(fraction, stage)
