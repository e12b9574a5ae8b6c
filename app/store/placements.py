"""Placements: named settings of how a list is made. Each change grows the counter `placements`, which requests read."""

import json
from typing import Any

import sqlalchemy as sa

from app.store import counters
from app.store.database import Database
from app.store.ratings import REPLACED, STORED, UNCHANGED
from app.store.schema import placements

Settings = dict[str, Any]
"""A JSON object; what may stand in it, the serving path knows."""


class Placements:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, Settings]:
        """Every stored placement's settings, by name."""
        return self.read()[1]

    def read(self) -> tuple[int, dict[str, Settings]]:
        """The version (`Freshness.placements_version`) and the settings by name, as of one moment."""
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
            counters.lock(connection, "placements")
            before = _stored(connection, name)
            if before is not None and _written(before) == _written(settings):
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
        with self._database.writing() as connection:
            counters.lock(connection, "placements")
            is_deleted = connection.execute(sa.delete(placements).where(placements.c.name == name)).rowcount == 1
            if is_deleted:
                counters.grow(connection, "placements")
        return is_deleted


def _stored(connection: sa.Connection, name: str) -> Settings | None:
    statement = sa.select(placements.c.settings).where(placements.c.name == name)
    found: Settings | None = connection.execute(statement).scalar_one_or_none()
    return found


def _written(settings: Settings) -> str:
    """Unlike dictionaries, tells `true` from `1`."""
    return json.dumps(settings, sort_keys=True)
