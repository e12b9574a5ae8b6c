"""Placements: named settings of lists. Every change grows the counter `placements`, which each request compares.

Every change of a placement, its deletion included, is kept as a version. Versions count up for each placement, also
over a deletion, so that no number ever stands for two states. A writer may name the version that it has seen; the
lock of the counter puts writers in an order, so that of two that have seen the same version one is refused.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.entities import from_microseconds
from app.errors import ChangedMeanwhileError, NotFoundError
from app.store import counters
from app.store.database import Database
from app.store.ratings import REPLACED, STORED, UNCHANGED
from app.store.schema import placement_versions as versions
from app.store.schema import placements

Settings = dict[str, Any]
"""A JSON object; `app.serving.placement` parses and validates it."""

KEPT_VERSIONS = 100
"""The newest versions of a placement that are kept."""


class CurrentPlacement(NamedTuple):
    """What is stored now. `number`: of the newest version, 0 without any. `settings`: None if there are none."""

    number: int
    settings: Settings | None


class PlacementChange(NamedTuple):
    """What came of a write. `status`: STORED, REPLACED or UNCHANGED. `number`: of the version that is current now."""

    status: int
    number: int


@dataclass(frozen=True, slots=True)
class PlacementVersion:
    """A placement after one of its changes.

    `number`: counts the changes, from 1.
    `settings`: None: the placement was deleted.
    `changed_by`: the id of an API key, or `command line`; None where the service was open, or for a placement that an
    earlier release stored.
    """

    number: int
    settings: Settings | None
    changed_at: datetime
    changed_by: str | None


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

    def current(self, name: str) -> CurrentPlacement:
        with self._database.reading() as connection:
            return _current(connection, name)

    def all_current(self) -> dict[str, CurrentPlacement]:
        """Every placement that there is or was, by name, as of one moment."""
        newest = sa.select(versions.c.name, sa.func.max(versions.c.number).label("number")).group_by(versions.c.name)
        with self._database.reading() as connection:
            stored = {row.name: row.settings for row in connection.execute(sa.select(placements))}
            numbers = {row.name: row.number for row in connection.execute(newest)}
        return {name: CurrentPlacement(numbers.get(name, 0), stored.get(name)) for name in sorted({*stored, *numbers})}

    def versions(self, name: str, limit: int) -> list[PlacementVersion]:
        """The newest versions, newest first."""
        newest = sa.select(versions).where(versions.c.name == name).order_by(versions.c.number.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_to_version(row) for row in connection.execute(newest)]

    def version(self, name: str, number: int) -> PlacementVersion:
        """Raises `NotFoundError` for a version that is not kept."""
        is_this = (versions.c.name == name) & (versions.c.number == number)
        with self._database.reading() as connection:
            row = connection.execute(sa.select(versions).where(is_this)).one_or_none()
        if row is None:
            raise NotFoundError("placement version", str(number))
        return _to_version(row)

    def put(
        self,
        name: str,
        settings: Settings,
        *,
        changed_by: str | None = None,
        expected: Collection[int] | None = None,
    ) -> PlacementChange:
        """Stores the settings, which replace the whole, and keeps the version.

        `expected`: the numbers of which the current version must have one; None: any. Raises `ChangedMeanwhileError`,
        and changes nothing, if it has none of them.
        """
        with self._database.writing() as connection:
            # Before the read, so that of two concurrent writers the second compares with what the first stored.
            counters.lock(connection, "placements")
            before = _current(connection, name)
            # Also if another version was expected: the same request may have been carried out before, and its answer
            # lost (RFC 9110, 13.1.1).
            if before.settings is not None and _canonical(before.settings) == _canonical(settings):
                return PlacementChange(UNCHANGED, before.number)
            _check_expected(name, before, expected)
            now = self._database.dialect.now(connection)
            values = {"settings": settings, "updated_at": now}
            if before.settings is None:
                connection.execute(sa.insert(placements).values(name=name, **values))
            else:
                connection.execute(sa.update(placements).where(placements.c.name == name).values(**values))
            counters.grow(connection, "placements")
            number = before.number + 1
            _keep(connection, name=name, number=number, settings=settings, changed_at=now, changed_by=changed_by)
        return PlacementChange(STORED if before.settings is None else REPLACED, number)

    def delete(self, name: str, *, changed_by: str | None = None, expected: Collection[int] | None = None) -> bool:
        """Deletes the settings, and keeps that as a version; False if there are none.

        `expected`, and the error: as of `put`.
        """
        with self._database.writing(uses_reserve=True) as connection:
            counters.lock(connection, "placements")
            before = _current(connection, name)
            # The counter grows only if something changed: every growth recompiles all placements in every process.
            if before.settings is None:
                return False
            _check_expected(name, before, expected)
            connection.execute(sa.delete(placements).where(placements.c.name == name))
            counters.grow(connection, "placements")
            now, number = self._database.dialect.now(connection), before.number + 1
            _keep(connection, name=name, number=number, settings=None, changed_at=now, changed_by=changed_by)
        return True


def _current(connection: sa.Connection, name: str) -> CurrentPlacement:
    newest = sa.select(sa.func.max(versions.c.number)).where(versions.c.name == name)
    stored = sa.select(placements.c.settings).where(placements.c.name == name)
    number: int | None = connection.execute(newest).scalar_one()
    settings: Settings | None = connection.execute(stored).scalar_one_or_none()
    return CurrentPlacement(number or 0, settings)


def _check_expected(name: str, current: CurrentPlacement, expected: Collection[int] | None) -> None:
    if expected is not None and current.number not in expected:
        raise ChangedMeanwhileError(
            f"the placement {name!r} has the version {current.number} now; nothing was changed", current.number
        )


def _keep(connection: sa.Connection, *, name: str, number: int, **values: Any) -> None:
    """Stores a version, and removes those that are too old now."""
    connection.execute(sa.insert(versions).values(name=name, number=number, **values))
    is_old = (versions.c.name == name) & (versions.c.number <= number - KEPT_VERSIONS)
    connection.execute(sa.delete(versions).where(is_old))


def _to_version(row: Any) -> PlacementVersion:
    return PlacementVersion(row.number, row.settings, from_microseconds(row.changed_at), row.changed_by)


def _canonical(settings: Settings) -> str:
    """Text to compare by: as values of Python, `true` and `1` are equal."""
    return json.dumps(settings, sort_keys=True)
