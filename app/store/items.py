"""Items: the catalogue, its version, and what changed since a version."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME, AttributeValue, Item, from_microseconds, to_microseconds
from app.store import counters
from app.store.columns import KeyArray, TimeArray
from app.store.database import Database
from app.store.ratings import REPLACED, STORED, UNCHANGED
from app.store.schema import deleted_items, events, interactions, items, ratings, trends, users

STREAM_ROWS = 5_000
CATALOGUE_ROWS = 10_000
NEVER = 2**63 - 1
"""`available_until` of an item without an end, in arrays."""

ITEM_FIELDS = frozenset(field.name for field in fields(Item)) - {"item_id"}


@dataclass(frozen=True, slots=True)
class CatalogueColumns:
    """Some items by column; equal lengths n.

    `item_key`: (n,) int64. `year`: (n,) float64, NaN where not known. `is_available`: (n,) bool. `available_until`,
    `added_at`: (n,) int64 microseconds UTC; `NEVER` where there is no end, `UNKNOWN_TIME` where not known. Equal
    `categories` are one object.
    """

    item_key: KeyArray
    item_id: Sequence[str]
    title: Sequence[str | None]
    categories: Sequence[tuple[str, ...]]
    year: NDArray[np.float64]
    attributes: Sequence[dict[str, AttributeValue]]
    is_available: NDArray[np.bool_]
    available_until: TimeArray
    created_by: Sequence[str | None]
    added_at: TimeArray

    def __len__(self) -> int:
        return len(self.item_id)


@dataclass(frozen=True, slots=True)
class CatalogueChanges:
    """Items new or changed since a version, by parts, keys of items gone since, and the version this leads to."""

    version: int
    parts: Iterator[CatalogueColumns]
    deleted_keys: list[int]


class Items:
    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, incoming: Sequence[Item], given: Collection[str] = ITEM_FIELDS) -> list[int]:
        """Upsert in one transaction; only the `given` fields overwrite. For each item STORED, REPLACED or UNCHANGED."""
        newest = {item.item_id: item for item in incoming}  # of an id that comes twice, the later one
        with self._database.writing() as connection:
            keys, made = self._database.dialect.item_keys(connection, list(newest))
            known = self._rows(connection, sorted(keys.tolist()))
            given_columns = {column for field in given for column in _columns_of(field)}
            changed = []
            statuses: dict[str, int] = {}
            for key, item in zip(keys.tolist(), newest.values(), strict=True):
                row = {name: value for name, value in _to_row(item).items() if name in given_columns}
                is_new = item.item_id in made
                is_changed = is_new or any(known[key][name] != value for name, value in row.items())
                if is_changed:
                    changed.append({"key": key, **row})
                statuses[item.item_id] = STORED if is_new else REPLACED if is_changed else UNCHANGED
            if changed:
                version = counters.grow(connection, "catalogue")
                statement = sa.update(items).where(items.c.item_key == sa.bindparam("key")).values(version=version)
                connection.execute(statement, changed)
        return [statuses[item.item_id] for item in incoming]

    def _rows(self, connection: sa.Connection, keys: list[int]) -> dict[int, Any]:
        found: dict[int, Any] = {}
        for start in range(0, len(keys), STREAM_ROWS):
            some = sa.select(items).where(items.c.item_key.in_(keys[start : start + STREAM_ROWS]))
            statement = some.order_by(items.c.item_key).with_for_update(key_share=True)
            found |= {row["item_key"]: row for row in connection.execute(statement).mappings()}
        return found

    def get(self, item_id: str) -> Item | None:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(items).where(items.c.item_id == item_id)).one_or_none()
        return None if row is None else _to_item(row)

    def key_of(self, item_id: str) -> int | None:
        row = self._database.dialect.hot_row("SELECT item_key FROM items WHERE item_id = ?", item_id)
        return None if row is None else int(row[0])

    def delete(self, item_id: str) -> bool:
        """Delete the item, its ratings and events, which count as changes of their users; False if there is none."""
        while (is_deleted := self._try_to_delete(item_id)) is None:
            pass
        return is_deleted

    def _try_to_delete(self, item_id: str) -> bool | None:
        """As `delete`; None where somebody met the item before it could be locked: locks are taken users first."""
        find = sa.select(items.c.item_key).where(items.c.item_id == item_id)
        with self._database.writing() as connection:
            key = connection.execute(find).scalar_one_or_none()
            if key is None:
                return False
            raters = sa.select(ratings.c.user_key).where(ratings.c.item_key == key)
            actors = sa.select(events.c.user_key).where(events.c.item_key == key)
            is_concerned = users.c.user_key.in_(raters) | users.c.user_key.in_(actors)
            lock = sa.select(users.c.user_key).where(is_concerned).order_by(users.c.user_key)
            locked = set(connection.execute(lock.with_for_update()).scalars())
            if connection.execute(find.where(items.c.item_key == key).with_for_update()).first() is None:
                return None
            if not locked.issuperset(connection.execute(sa.union(raters, actors)).scalars()):
                return None
            rated = users.c.user_key.in_(raters.where(ratings.c.value.is_not(None)))
            connection.execute(sa.update(users).where(rated).values(version=users.c.version + 1))
            connection.execute(sa.delete(ratings).where(ratings.c.item_key == key))
            acted = users.c.user_key.in_(actors)
            connection.execute(sa.update(users).where(acted).values(profile_version=users.c.profile_version + 1))
            is_theirs = interactions.c.user_key.in_(actors) & (interactions.c.item_key == key)  # by its primary key
            connection.execute(sa.delete(interactions).where(is_theirs))
            connection.execute(sa.delete(events).where(events.c.item_key == key))
            connection.execute(sa.delete(items).where(items.c.item_key == key))
            version = counters.grow(connection, "catalogue")
            connection.execute(sa.insert(deleted_items).values(item_key=key, version=version))
            connection.execute(sa.delete(trends).where(trends.c.item_key == key))
        return True

    def page(self, *, search: str | None = None, after: int = 0, limit: int = 100) -> list[tuple[int, Item]]:
        """Items in the order of keys, each with its key, beginning behind key `after`; `search` is part of a title."""
        statement = sa.select(items).where(items.c.item_key > after).order_by(items.c.item_key).limit(limit)
        if search:
            statement = statement.where(items.c.title_folded.contains(search.casefold(), autoescape=True))
        with self._database.reading() as connection:
            return [(row.item_key, _to_item(row)) for row in connection.execute(statement)]

    def count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(items)).scalar_one())

    def stream(self) -> Iterator[Item]:
        return (item for _, item in self.by_key())

    def by_key(self) -> Iterator[tuple[int, Item]]:
        """All items in the order of keys, each with its key; a page at a time, so not as of one moment."""
        after = 0
        while page := self.page(after=after, limit=STREAM_ROWS):
            yield from page
            after = page[-1][0]

    def of_keys(self, keys: Sequence[int]) -> dict[int, Item]:
        """By key, those that still exist."""
        found: dict[int, Item] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), STREAM_ROWS):
                part = [int(key) for key in keys[start : start + STREAM_ROWS]]
                rows = connection.execute(sa.select(items).where(items.c.item_key.in_(part)))
                found |= {row.item_key: _to_item(row) for row in rows}
        return found

    def ids_of(self, keys: Sequence[int]) -> dict[int, str]:
        """Public ids by key, for those that still exist."""
        found: dict[int, str] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), STREAM_ROWS):
                part = [int(key) for key in keys[start : start + STREAM_ROWS]]
                statement = sa.select(items.c.item_key, items.c.item_id).where(items.c.item_key.in_(part))
                found |= {row.item_key: row.item_id for row in connection.execute(statement)}
        return found

    @contextmanager
    def changes_since(self, version: int) -> Iterator[CatalogueChanges]:
        """What a holder of `version` does not know yet, as of one moment; version -1: everything there is."""
        statement = sa.select(*_CATALOGUE_COLUMNS)
        if version >= 0:  # ordered as their index is, or SQLite goes through all items for the sake of the order
            statement = statement.where(items.c.version > version).order_by(items.c.version)
        statement = statement.order_by(items.c.item_key)
        gone = sa.select(deleted_items.c.item_key).where(deleted_items.c.version > version)
        with self._database.reading() as connection:
            current = counters.read(connection, "catalogue")
            if current == version:
                yield CatalogueChanges(version, iter(()), [])
                return
            deleted = [] if version < 0 else list(connection.execute(gone).scalars())
            streaming = connection.execution_options(yield_per=CATALOGUE_ROWS)
            rows = streaming.execute(statement)
            yield CatalogueChanges(current, (_to_columns(part) for part in rows.partitions()), deleted)


_CATALOGUE_COLUMNS = (
    items.c.item_key,
    items.c.item_id,
    items.c.title,
    sa.cast(items.c.categories, sa.Text),  # parsed here, a part at once
    items.c.year,
    sa.cast(items.c.attributes, sa.Text),
    sa.type_coerce(items.c.is_available, sa.Integer),
    sa.func.coalesce(items.c.available_until, sa.literal(NEVER, sa.BigInteger)),
    items.c.created_by,
    sa.func.coalesce(items.c.added_at, sa.literal(int(UNKNOWN_TIME), sa.BigInteger)),
)


def _to_columns(rows: Sequence[Any]) -> CatalogueColumns:
    keys, ids, titles, categories, years, attributes, are_available, until, creators, added = zip(*rows, strict=True)
    category_lists = list(dict.fromkeys(categories))
    parsed = dict(zip(category_lists, map(tuple, _parse_all(category_lists)), strict=True))
    return CatalogueColumns(
        item_key=np.array(keys, np.int64),
        item_id=ids,
        title=titles,
        categories=[parsed[text] for text in categories],
        year=np.array(years, np.float64),
        attributes=_parse_all(attributes),
        is_available=np.array(are_available, np.bool_),
        available_until=np.array(until, np.int64),
        created_by=creators,
        added_at=np.array(added, np.int64),
    )


def _parse_all(texts: Sequence[str]) -> list[Any]:
    """JSON documents, parsed as one: three times as fast as one by one, and names that recur are one object."""
    parsed: list[Any] = json.loads(f"[{','.join(texts)}]")
    return parsed


def _columns_of(field: str) -> tuple[str, ...]:
    return ("title", "title_folded") if field == "title" else (field,)


def _to_row(item: Item) -> dict[str, Any]:
    return {
        "title": item.title,
        "title_folded": None if item.title is None else item.title.casefold(),
        "categories": list(item.categories),
        "year": item.year,
        "attributes": dict(item.attributes),
        "is_available": item.is_available,
        "available_until": None if item.available_until is None else to_microseconds(item.available_until),
        "created_by": item.created_by,
        "added_at": None if item.added_at is None else to_microseconds(item.added_at),
    }


def _to_item(row: Any) -> Item:
    return Item(
        item_id=row.item_id,
        title=row.title,
        categories=tuple(row.categories),
        year=row.year,
        attributes=row.attributes,
        is_available=row.is_available,
        available_until=None if row.available_until is None else from_microseconds(row.available_until),
        created_by=row.created_by,
        added_at=None if row.added_at is None else from_microseconds(row.added_at),
    )
