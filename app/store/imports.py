"""Imports of files, and the rows that they rejected, kept for operators.

Of an import, at most `MOST_ROWS` rejected rows are kept, for `ROWS_KEPT`; its counts say how many there were. The
newest `MOST_IMPORTS` imports are kept. A rejected row is text as a user sent it and may name anybody, so the deletion
of a user removes all of them.

An import says every few seconds that it goes on. One that was killed cannot say that it ended: after `SILENT_WITHIN`
it is shown as interrupted.

The console begins the record of an import before the import itself, so that all processes of the API know of it, and
refuse a second one.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from app.entities import from_microseconds
from app.errors import ConflictError, NotFoundError
from app.store.database import Database
from app.store.schema import imports, rejected_rows

ImportState = Literal["running", "succeeded", "failed", "interrupted"]

MOST_ROWS = 10_000
MOST_CHARACTERS = 2_000
ROWS_KEPT = timedelta(days=7)
MOST_IMPORTS = 100
SILENT_WITHIN = timedelta(minutes=5)
"""Longer than the longest block of rows, and than the check of a large archive."""

ESTIMATED_FROM, ESTIMATED_AFTER_SECONDS = 0.03, 5.0
"""Before, the time that is left is a guess."""

PAGE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class ImportEntry:
    """One import.

    `file`: the name of the file or folder, without the folder that it is in.
    `counts`: numbers of rows `readable`, `stored`, `replaced`, `unchanged` and `rejected` by kind of rows, and
    `repeated` of ratings.
    `n_rejected`: the number of rejected rows. `n_kept`: of those that are kept now.
    `reason`: why it failed; None if it did not.
    `progress`: the share of the work that is done, from 0 to 1; None if it is not known. `reported_at`: when it said
    so, or that it goes on.
    `upload_id`: of the file in the console; None if it was not begun there. `upload_options`: how the file is read, as
    the console writes it.
    """

    import_id: str
    file: str
    state: ImportState
    started_at: datetime
    reported_at: datetime
    finished_at: datetime | None
    counts: Mapping[str, Mapping[str, int]]
    n_rejected: int
    n_kept: int
    reason: str | None
    progress: float | None
    upload_id: str | None
    upload_options: str | None

    @property
    def seconds_left(self) -> float | None:
        """How long it goes on if it goes on as fast; None if that cannot be estimated."""
        elapsed = (self.reported_at - self.started_at) / timedelta(seconds=1)
        if self.state != "running" or self.progress is None:
            return None
        if self.progress < ESTIMATED_FROM or elapsed < ESTIMATED_AFTER_SECONDS:
            return None
        return elapsed * (1 - self.progress) / self.progress


class ImportRunsError(ConflictError):
    title = "Another import is in progress"

    def __init__(self) -> None:
        super().__init__("another import is in progress: wait until it has ended")


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A rejected row. `line`: at which it begins in `file`, from 1; 0 for a sum of several rows.

    `field`: the field at fault; None if it is not a single one. `text`: the row as a line of CSV, cut to 2,000
    characters.
    """

    number: int
    file: str
    line: int
    field: str | None
    reason: str
    text: str


class Imports:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, file: str) -> str:
        """Records a new import and returns its id; removes what is no longer kept of older ones."""
        with self._database.writing() as connection:
            return self._begin(connection, file)

    def begin_upload(self, file: str, upload_id: str, options: str) -> str:
        """As `begin`, for a file that was uploaded.

        Raises `ImportRunsError` while another import runs, wherever it was begun.
        """
        with self._database.writing() as connection:
            # Otherwise two that look at the same moment would not see each other.
            self._database.dialect.lock_table(connection, "imports", "EXCLUSIVE")
            silent_before = _silent_before(self._database.dialect.now(connection))
            is_running = (imports.c.state == "running") & (imports.c.reported_at >= silent_before)
            if connection.execute(sa.select(imports.c.import_key).where(is_running).limit(1)).first() is not None:
                raise ImportRunsError
            return self._begin(connection, file, upload_id=upload_id, upload_options=options)

    def _begin(self, connection: sa.Connection, file: str, **also: str) -> str:
        import_id, now = uuid.uuid4().hex, self._database.dialect.now(connection)
        values = {"import_id": import_id, "file": storable(file), "state": "running", "counts": {}, **also}
        connection.execute(sa.insert(imports).values(started_at=now, reported_at=now, **values))
        self._purge(connection, now)
        return import_id

    def report(self, import_id: str, counts: Mapping[str, Mapping[str, int]], progress: float | None = None) -> None:
        """Records how far the import is, and that it goes on."""
        with self._database.writing() as connection:
            now = self._database.dialect.now(connection)
            connection.execute(_of(import_id).values(reported_at=now, counts=dict(counts), progress=progress))

    def keep(self, import_id: str, rows: Sequence[KeptRow]) -> None:
        """Keeps rejected rows. Their numbers continue those of the rows that were kept before."""
        with self._database.writing() as connection:
            now = self._database.dialect.now(connection)
            find = sa.select(imports.c.import_key).where(imports.c.import_id == import_id)
            key = connection.execute(find).scalar_one_or_none()
            if key is None or not rows:  # a hundred imports began since
                return
            values = [
                {
                    "import_key": key,
                    "number": row.number,
                    "file": storable(row.file),
                    "line": row.line,
                    "field": row.field,
                    "reason": storable(row.reason),
                    "text": storable(row.text)[:MOST_CHARACTERS],
                    "rejected_at": now,
                }
                for row in rows
            ]
            connection.execute(sa.insert(rejected_rows), values)

    def finish(
        self,
        import_id: str,
        state: ImportState,
        counts: Mapping[str, Mapping[str, int]],
        reason: str | None = None,
    ) -> None:
        with self._database.writing(uses_reserve=True) as connection:
            now = self._database.dialect.now(connection)
            ended: dict[str, Any] = {"state": state, "finished_at": now, "reported_at": now, "counts": dict(counts)}
            if state == "succeeded":
                ended["progress"] = 1.0
            shown = None if reason is None else storable(reason)[:MOST_CHARACTERS]
            connection.execute(_of(import_id).values(**ended, reason=shown))

    def abandon(self, import_id: str, reason: str) -> None:
        """Records that the import has failed, if it has not recorded its end."""
        with self._database.writing(uses_reserve=True) as connection:
            now = self._database.dialect.now(connection)
            ended = _of(import_id).where(imports.c.state == "running")
            shown = storable(reason)[:MOST_CHARACTERS]
            connection.execute(ended.values(state="failed", finished_at=now, reported_at=now, reason=shown))

    def latest(self, limit: int = MOST_IMPORTS) -> list[ImportEntry]:
        """The newest imports, newest first."""
        with self._database.reading() as connection:
            now = self._database.dialect.now(connection)
            rows = connection.execute(sa.select(imports).order_by(imports.c.import_key.desc()).limit(limit)).all()
            return _to_entries(connection, rows, now)

    def get(self, import_id: str) -> ImportEntry:
        """Raises `NotFoundError`."""
        with self._database.reading() as connection:
            now = self._database.dialect.now(connection)
            rows = connection.execute(sa.select(imports).where(imports.c.import_id == import_id)).all()
            if not rows:
                raise NotFoundError("import", import_id)
            return _to_entries(connection, rows, now)[0]

    def rows(self, import_id: str) -> Iterator[list[KeptRow]]:
        """The rejected rows that are kept of an import, in the order of rejection, a page at a time."""
        after = 0
        columns = (rejected_rows.c[name] for name in KeptRow.__slots__)
        page = (
            sa.select(*columns)
            .join(imports, imports.c.import_key == rejected_rows.c.import_key)
            .where(imports.c.import_id == import_id)
            .order_by(rejected_rows.c.number)
            .limit(PAGE_ROWS)
        )
        while True:
            # A transaction for each page, so that a slow reader holds none open.
            with self._database.reading() as connection:
                rows = connection.execute(page.where(rejected_rows.c.number > after)).all()
            if not rows:
                return
            yield [KeptRow(*row) for row in rows]
            after = rows[-1].number

    def forget_rows(self) -> int:
        """Removes all rejected rows; returns how many."""
        with self._database.writing(uses_reserve=True) as connection:
            return delete_rows(self._database, connection)

    def purge(self, *, now: int) -> None:
        """Removes what is no longer kept."""
        with self._database.writing(uses_reserve=True) as connection:
            self._purge(connection, now)

    def _purge(self, connection: sa.Connection, now: int) -> None:
        newest = sa.select(imports.c.import_key).order_by(imports.c.import_key.desc()).offset(MOST_IMPORTS).limit(1)
        last_over = connection.execute(newest).scalar_one_or_none() or 0
        connection.execute(sa.delete(imports).where(imports.c.import_key <= last_over))
        is_old = rejected_rows.c.rejected_at < now - ROWS_KEPT // timedelta(microseconds=1)
        delete_rows(self._database, connection, is_old | (rejected_rows.c.import_key <= last_over))


def delete_rows(database: Database, connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> int:
    """Deletes the rejected rows that meet the conditions; returns how many."""
    # Two that delete the same rows in different orders would deadlock.
    database.dialect.lock_table(connection, "rejected_rows", "EXCLUSIVE")
    return connection.execute(sa.delete(rejected_rows).where(*conditions)).rowcount


def may_name(user_id: str) -> sa.ColumnElement[bool]:
    """Whether any rejected row contains the id. A scan of these rows, of which there are few as a rule."""
    # As a field of CSV holds the id: a quotation mark is written twice.
    texts = {user_id, user_id.replace('"', '""')}
    columns = rejected_rows.c.text, rejected_rows.c.reason
    found = [column.contains(text, autoescape=True) for column in columns for text in sorted(texts)]
    return sa.exists(sa.select(rejected_rows.c.number).where(sa.or_(*found)))


def storable(text: str) -> str:
    """The text with escapes in place of what a database may refuse.

    Surrogates, which stand for bytes that are not UTF-8, and control characters but for tabs and line breaks.
    """
    encodable = text.encode(errors="backslashreplace").decode()
    return "".join(f"\\x{ord(each):02x}" if each < " " and each not in "\t\n\r" else each for each in encodable)


def _of(import_id: str) -> sa.Update:
    return sa.update(imports).where(imports.c.import_id == import_id)


def _silent_before(now: int) -> int:
    return now - SILENT_WITHIN // timedelta(microseconds=1)


def _to_entries(connection: sa.Connection, rows: Sequence[Any], now: int) -> list[ImportEntry]:
    keys = [row.import_key for row in rows]
    of_import = rejected_rows.c.import_key
    counted = sa.select(of_import, sa.func.count().label("n")).where(of_import.in_(keys)).group_by(of_import)
    n_kept = {row.import_key: row.n for row in connection.execute(counted)}
    silent_before = _silent_before(now)
    return [
        ImportEntry(
            import_id=row.import_id,
            file=row.file,
            state="interrupted" if row.state == "running" and row.reported_at < silent_before else row.state,
            started_at=from_microseconds(row.started_at),
            reported_at=from_microseconds(row.reported_at),
            finished_at=None if row.finished_at is None else from_microseconds(row.finished_at),
            counts=row.counts,
            n_rejected=sum(counts.get("rejected", 0) for counts in row.counts.values()),
            n_kept=n_kept.get(row.import_key, 0),
            reason=row.reason,
            progress=row.progress,
            upload_id=row.upload_id,
            upload_options=row.upload_options,
        )
        for row in rows
    ]
