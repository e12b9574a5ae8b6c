"""Statements that one thread sends to a database, whichever way they go."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa


class Statements:
    """Recorded of one thread: those through SQLAlchemy, and those of every SQLite connection opened since.

    Postgres is reached synchronously through SQLAlchemy alone; the shared reader's connection suspends its callers.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.thread_id = 0
        self.through_engine: list[str] = []
        self.through_driver: list[str] = []
        connect = sqlite3.connect

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **options)
            connection.set_trace_callback(lambda statement: self._record(self.through_driver, statement))
            return connection

        monkeypatch.setattr(sqlite3, "connect", traced)
        monkeypatch.setattr(sqlite3.dbapi2, "connect", traced)

    def _record(self, statements: list[str], statement: str) -> None:
        if threading.get_ident() == self.thread_id:
            statements.append(statement)

    @contextmanager
    def of_thread(self, thread_id: int) -> Iterator[None]:
        def through_engine(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
            self._record(self.through_engine, statement)

        sa.event.listen(sa.Engine, "before_cursor_execute", through_engine)
        self.thread_id = thread_id
        try:
            yield
        finally:
            self.thread_id = 0
            sa.event.remove(sa.Engine, "before_cursor_execute", through_engine)
