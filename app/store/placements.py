"""Placements: named settings of lists. Every change grows the counter `placements`, which each request compares."""

import json
from typing import Any

import sqlalchemy as sa

from app.store import counters
from app.store.database import Database
from app.store.ratings import REPLACED, STORED, UNCHANGED
from app.store.schema import placements

Settings = dict[str, Any]
"""A JSON object; `app.serving.placement` parses and validates it."""


class Placements:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, Settings]:
        """Every stored placement's settings, by name."""
        return self.read()[1]

    def read(self) -> tuple[int, dict[str, Settings]]:
        """The version (`UserVersions.placements_version`) and the settings by name, as of one moment."""
        statement = sa.select(placements.c.name, placements.c.settings).order_by(placements.c.name)
        with self._database.reading() as connection:
            version = counters.read(connection, "placements")
            return version, {row.name: row.settings for row in connection.execute(statement)}

    def get(self, name: str) -> Settings | None:
        with self._database.reading() as connection:
            return _stored(connection, name)

    def put(self, name: str, settings: Settings) -> int:
        """STORED, REPLACED or UNCHANGED; the settings replace the whole."""
        with self._database.writing() as connection:
            # Before the read, so that of two concurrent writers the second compares with what the first stored.
            counters.lock(connection, "placements")
            before = _stored(connection, name)
            if before is not None and _canonical(before) == _canonical(settings):
                return UNCHANGED
            values = {"settings": settings, "updated_at": self._database.dialect.now(connection)}
            if before is None:
                connection.execute(sa.insert(placements).values(name=name, **values))
            else:
                connection.execute(sa.update(placements).where(placements.c.name == name).values(**values))
            counters.grow(connection, "placements")
        return STORED if before is None else REPLACED

    def delete(self, name: str) -> bool:
        """False if there is none."""
        with self._database.writing(uses_reserve=True) as connection:
            counters.lock(connection, "placements")
            # The counter grows only if something changed: every growth recompiles all placements in every process.
            is_deleted = connection.execute(sa.delete(placements).where(placements.c.name == name)).rowcount == 1
            if is_deleted:
                counters.grow(connection, "placements")
        return is_deleted


def _stored(connection: sa.Connection, name: str) -> Settings | None:
    statement = sa.select(placements.c.settings).where(placements.c.name == name)
    settings: Settings | None = connection.execute(statement).scalar_one_or_none()
    return settings


def _canonical(settings: Settings) -> str:
    """Text to compare by: as values of Python, `true` and `1` are equal."""
    return json.dumps(settings, sort_keys=True)
