"""The tenants of the deployment: isolated catalogues, each with a database and a data folder of its own.

The table is filled in the main database, which also keeps the keys. Every change grows the counter `keys`, which each
process compares, so that a tenant is suspended everywhere as fast as a key is revoked.

A tenant whose creation or deletion was interrupted stays `creating` or `deleting` until the command is repeated.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from app.entities import from_microseconds
from app.errors import ConflictError, InvalidInputError, NotFoundError
from app.store import counters
from app.store.database import Database
from app.store.schema import api_keys, tenants

TenantState = Literal["creating", "active", "suspended", "deleting"]

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Names are parts of paths and of names of schemas."""


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    state: TenantState
    created_at: datetime


class Tenants:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Sequence[Tenant]:
        """By name."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(tenants).order_by(tenants.c.name))
            return [Tenant(row.name, row.state, from_microseconds(row.created_at)) for row in rows]

    def get(self, name: str) -> Tenant:
        """Raises `NotFoundError`."""
        with self._database.reading() as connection:
            return _stored(connection, name)

    def begin(self, name: str) -> None:
        """Record that the tenant is being created; once more if that was interrupted.

        Raises `InvalidInputError` for a name that is not allowed, and `ConflictError` if there is such a tenant.
        """
        if not NAME.fullmatch(name):
            raise InvalidInputError(
                f"{name!r} is no name of a tenant: up to 40 lower-case letters, digits and underscores; first a letter",
                field="name",
            )
        with self._database.writing() as connection:
            counters.lock(connection, "keys")
            found = connection.execute(sa.select(tenants.c.state).where(tenants.c.name == name)).scalar_one_or_none()
            if found == "creating":
                return
            if found is not None:
                raise ConflictError(f"there is a tenant {name!r}; it is {found}", field="name")
            now = self._database.dialect.now(connection)
            connection.execute(sa.insert(tenants).values(name=name, state="creating", created_at=now))

    def move(self, name: str, to: TenantState, *, among: Sequence[TenantState]) -> None:
        """Change the state. Raises `NotFoundError`, and `ConflictError` unless the state is one of `among` or `to`."""
        with self._database.writing() as connection:
            self._database.dialect.begin_lasting(connection)  # it may revoke keys
            counters.lock(connection, "keys")
            state = _stored(connection, name).state
            if state not in {*among, to}:
                raise ConflictError(f"the tenant {name!r} is {state}")
            connection.execute(sa.update(tenants).where(tenants.c.name == name).values(state=to))
            if to == "deleting":
                # A later tenant of the same name must not accept the keys of this one.
                of_tenant = (api_keys.c.tenant == name) & api_keys.c.revoked_at.is_(None)
                now = self._database.dialect.now(connection)
                connection.execute(sa.update(api_keys).where(of_tenant).values(revoked_at=now))
            counters.grow(connection, "keys")

    def end(self, name: str) -> None:
        """Forget a tenant of which nothing is left."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(tenants).where(tenants.c.name == name))
            counters.grow(connection, "keys")


def _stored(connection: sa.Connection, name: str) -> Tenant:
    row = connection.execute(sa.select(tenants).where(tenants.c.name == name)).one_or_none()
    if row is None:
        raise NotFoundError("tenant", name)
    return Tenant(row.name, row.state, from_microseconds(row.created_at))
