"""Items: the catalogue, its version, and what changed since a version."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sqlalchemy as sa

from app.entities import ITEM_FIELDS, Item, ItemFieldKind, from_microseconds, to_microseconds
from app.store import counters
from app.store.database import Database
from app.store.dialect import KeyArray, PointRead, Row
from app.store.ratings import REPLACED, STORED, UNCHANGED
from app.store.schema import deleted_items, events, interactions, items, ratings, trends, users

STREAM_ROWS = 5_000
CATALOGUE_ROWS = 10_000

Value = Any
"""Of an item's column, as an entity, a row or an array holds it."""

# How an entity's value is stored, and how a stored one is read; of other kinds the two are the same.
_TO_STORED: dict[ItemFieldKind, Callable[[Any], Value]] = {
    "texts": list,
    "attributes": dict,
    "time": to_microseconds,
}
_FROM_STORED: dict[ItemFieldKind, Callable[[Any], Value]] = {"texts": tuple, "time": from_microseconds}
_HELD = {name: declared for name, declared in ITEM_FIELDS.items() if declared.is_filterable}
"""The columns that every serving process holds in memory, and that learners read."""


@dataclass(frozen=True, slots=True)
class CatalogueColumns:
    """Some items by column; equal lengths n.

    `item_key`: (n,) int64. `fields`: the filterable columns by name, each (n,), by kind: numbers float64, NaN where not
    known; flags bool; times int64 microseconds UTC, `ItemField.missing_time` where there is none; texts and ids str or
    None; `texts` tuples, equal ones one object; `attributes` dicts.
    """

    item_key: KeyArray
    item_id: Sequence[str]
    fields: Mapping[str, Any]

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

    def record(self, incoming: Sequence[Item], given: Collection[str] = ITEM_FIELDS.keys()) -> list[int]:
        """Upsert in one transaction; only the `given` fields overwrite. For each item STORED, REPLACED or UNCHANGED."""
        newest = {item.item_id: item for item in incoming}  # the last one of a repeated id wins
        with self._database.writing() as connection:
            keys, made_ids = self._database.dialect.item_keys(connection, list(newest))
            made = set(made_ids)
            known = self._rows(connection, sorted(keys.tolist()))
            to_row = _row_writer(given)
            changed = []
            statuses: dict[str, int] = {}
            for key, item in zip(keys.tolist(), newest.values(), strict=True):
                row = to_row(item)
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
        rows: dict[int, Any] = {}
        for start in range(0, len(keys), STREAM_ROWS):
            some = sa.select(items).where(items.c.item_key.in_(keys[start : start + STREAM_ROWS]))
            statement = some.order_by(items.c.item_key).with_for_update(key_share=True)
            rows |= {row["item_key"]: row for row in connection.execute(statement).mappings()}
        return rows

    def get(self, item_id: str) -> Item | None:
        with self._database.reading() as connection:
            row = connection.execute(_WHOLE.where(items.c.item_id == item_id)).one_or_none()
        return None if row is None else _to_item(row)

    def delete(self, item_id: str) -> bool:
        """Delete the item, its ratings and events, which count as changes of their users; False if there is none."""
        while (is_deleted := self._try_to_delete(item_id)) is None:
            pass
        return is_deleted

    def _try_to_delete(self, item_id: str) -> bool | None:
        """As `delete`; None if a rating or event came before all locks were held (those of users are taken first)."""
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
        statement = _WHOLE.where(items.c.item_key > after).order_by(items.c.item_key).limit(limit)
        if search:
            statement = statement.where(items.c.title_folded.contains(search.casefold(), autoescape=True))
        with self._database.reading() as connection:
            return [(row.item_key, _to_item(row)) for row in connection.execute(statement)]

    def count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(items)).scalar_one())

    def stream(self) -> Iterator[Item]:
        """All items in the order of keys; a page at a time, so not as of one moment."""
        after = 0
        while page := self.page(after=after, limit=STREAM_ROWS):
            yield from (item for _, item in page)
            after = page[-1][0]

    def by_key(self) -> Iterator[tuple[int, Item]]:
        """As `stream`, each item with its key, and of its fields only what learners read (the filterable ones).

        A training run holds all items at once: descriptions would take many times the memory of the rest.
        """
        after = 0
        statement = _LEARNED.order_by(items.c.item_key).limit(STREAM_ROWS)
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(statement.where(items.c.item_key > after)).all()
            if not rows:
                return
            yield from ((row.item_key, _to_item(row, _HELD)) for row in rows)
            after = rows[-1].item_key

    def of_keys(self, keys: Sequence[int]) -> dict[int, Item]:
        """By key, those that still exist, with the fields that `by_key` gives."""
        existing: dict[int, Item] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), STREAM_ROWS):
                part = [int(key) for key in keys[start : start + STREAM_ROWS]]
                rows = connection.execute(_LEARNED.where(items.c.item_key.in_(part)))
                existing |= {row.item_key: _to_item(row, _HELD) for row in rows}
        return existing

    def ids_of(self, keys: Sequence[int]) -> dict[int, str]:
        """Public ids by key, for those that still exist."""
        ids: dict[int, str] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), STREAM_ROWS):
                part = [int(key) for key in keys[start : start + STREAM_ROWS]]
                statement = sa.select(items.c.item_key, items.c.item_id).where(items.c.item_key.in_(part))
                ids |= {row.item_key: row.item_id for row in connection.execute(statement)}
        return ids

    @contextmanager
    def changes_since(self, version: int) -> Iterator[CatalogueChanges]:
        """What changed after `version`, as of one moment; version -1: everything."""
        statement = sa.select(*_CATALOGUE_COLUMNS)
        if version >= 0:  # in the order of the index, or SQLite scans all items to sort them
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


def _held_column(name: str) -> Any:
    """The SQL of a column held in memory, in the form that `_HELD_READERS` take."""
    declared = _HELD[name]
    column = items.c[name]
    match declared.kind:
        case "texts" | "attributes":
            return sa.cast(column, sa.Text)  # parsed by `_parse_all`, not row by row
        case "flag":
            return sa.type_coerce(column, sa.Integer)  # without SQLAlchemy's conversion of each value
        case "time":
            return sa.func.coalesce(column, sa.literal(declared.missing_time, sa.BigInteger))
        case _:
            return column


_CATALOGUE_COLUMNS = (items.c.item_key, items.c.item_id, *map(_held_column, _HELD))


def _to_columns(rows: Sequence[Any]) -> CatalogueColumns:
    keys, ids, *columns = zip(*rows, strict=True)
    held = {
        name: _HELD_READERS[declared.kind](values)
        for (name, declared), values in zip(_HELD.items(), columns, strict=True)
    }
    return CatalogueColumns(np.array(keys, np.int64), ids, held)


def _parse_all(documents: Sequence[str]) -> list[Any]:
    """JSON documents, parsed as one: three times as fast as one by one, and names that recur are one object."""
    parsed: list[Any] = json.loads(f"[{','.join(documents)}]")
    return parsed


def _parse_sets(documents: Sequence[str]) -> list[tuple[str, ...]]:
    """As `_parse_all`, each different document once: few sets of categories recur in many items."""
    different = list(dict.fromkeys(documents))
    parsed = dict(zip(different, map(tuple, _parse_all(different)), strict=True))
    return [parsed[document] for document in documents]


def _as_written(values: Sequence[Value]) -> Sequence[Value]:
    return values


_HELD_READERS: dict[ItemFieldKind, Callable[[Sequence[Any]], Any]] = {
    "text": _as_written,
    "url": _as_written,
    "id": _as_written,
    "texts": _parse_sets,
    "integer": lambda values: np.array(values, np.float64),
    "number": lambda values: np.array(values, np.float64),
    "flag": lambda values: np.array(values, np.bool_),
    "time": lambda values: np.array(values, np.int64),
    "attributes": _parse_all,
}


def _row_writer(given: Collection[str]) -> Callable[[Item], dict[str, Value]]:
    """What makes the stored values of the `given` fields, by column."""
    columns = [(name, _TO_STORED.get(declared.kind)) for name, declared in ITEM_FIELDS.items() if name in given]

    def to_row(item: Item) -> dict[str, Value]:
        row = {}
        for name, to_stored in columns:
            value = getattr(item, name)
            row[name] = value if to_stored is None or value is None else to_stored(value)
        if "title" in row:
            row["title_folded"] = None if item.title is None else item.title.casefold()
        return row

    return to_row


def _to_item(row: sa.Row[Any], names: Collection[str] = ITEM_FIELDS.keys()) -> Item:
    """The item of a row that holds the key, the id and the columns `names`."""
    _, item_id, *stored = tuple(row)
    values = dict(zip(names, stored, strict=True))
    for name, from_stored in _CONVERTED:
        if values.get(name) is not None:
            values[name] = from_stored(values[name])
    return Item(item_id, **values)


_CONVERTED = [
    (name, _FROM_STORED[declared.kind]) for name, declared in ITEM_FIELDS.items() if declared.kind in _FROM_STORED
]
_WHOLE = sa.select(items.c.item_key, items.c.item_id, *(items.c[name] for name in ITEM_FIELDS))
_LEARNED = sa.select(items.c.item_key, items.c.item_id, *(items.c[name] for name in _HELD))


@lru_cache(maxsize=1_000)
def item_read(names: tuple[str, ...]) -> PointRead:
    """The look-up of columns of one item, by its id, for the event loop."""
    columns = (f"CAST({name} AS TEXT) AS {name}" if name in _DOCUMENTS else name for name in names)
    statement = f"SELECT {', '.join(columns)} FROM items WHERE item_id = ?"  # noqa: S608  names of our own columns
    return PointRead(statement, by=str, columns=names)


def read_columns(names: tuple[str, ...], row: Row) -> dict[str, Value]:
    """The columns of an `item_read`, by name, as `Item` has them."""
    values = dict(zip(names, row, strict=True))
    for name in names:
        from_driver = _FROM_DRIVER.get(ITEM_FIELDS[name].kind)
        if from_driver is not None and values[name] is not None:
            values[name] = from_driver(values[name])
    return values


_FROM_DRIVER: dict[ItemFieldKind, Callable[[Any], Value]] = {
    "texts": lambda document: tuple(json.loads(document)),
    "attributes": json.loads,
    "flag": bool,  # a number in SQLite
    "time": from_microseconds,
}
_DOCUMENTS = frozenset(name for name, declared in ITEM_FIELDS.items() if declared.kind in {"texts", "attributes"})
