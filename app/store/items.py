"""Items: the catalogue, its version, and what changed since a version."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import ITEM_DEFAULTS, ITEM_FIELDS, Item, ItemFieldKind, Patch, from_microseconds, to_microseconds
from app.store import counters
from app.store.database import Database
from app.store.deleted_items import forget, mark_deleted, remember, set_mark
from app.store.dialect import KeyArray, PointRead, Row
from app.store.patching import Columns, PatchedRows, check_n_attributes
from app.store.ratings import known_items
from app.store.schema import deleted_items, events, interactions, items, ratings, trends, users
from app.texts import folded

IS_SHOWN = ~items.c.is_deleted
"""Of every read of the catalogue: deleted items have rows only for the history of users, see `deleted_items.py`."""

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
_READ = {name: each for name, each in ITEM_FIELDS.items() if each.is_filterable or each.kind == "text"}
"""The same and all texts, for learners that read those too."""


@dataclass(frozen=True, slots=True)
class CatalogueColumns:
    """Some items by column; equal lengths n.

    `item_key`: (n,) int64. `is_bare`: (n,) bool, which items are known from ratings and events alone. `fields`: the
    filterable columns by name, each (n,), by kind: numbers float64, NaN where not known; flags bool; times int64
    microseconds UTC, `ItemField.missing_time` where there is none; texts and ids str or None; `texts` tuples, equal
    ones one object; `attributes` dicts.
    """

    item_key: KeyArray
    item_id: Sequence[str]
    is_bare: NDArray[np.bool_]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CatalogueChanges:
    """Items new or changed since a version, by parts, keys of items gone since, and the version this leads to."""

    version: int
    parts: Iterator[CatalogueColumns]
    deleted_keys: list[int]


class Items:
    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, incoming: Sequence[Item]) -> list[int]:
        """Insert or replace whole items in one transaction. Return STORED, REPLACED or UNCHANGED for each."""
        whole = ({name: getattr(item, name) for name in ITEM_FIELDS} for item in incoming)
        return self.patch([Patch(item.item_id, fields) for item, fields in zip(incoming, whole, strict=True)])

    def patch(self, patches: Sequence[Patch]) -> list[int]:
        """Apply the patches one after the other, in one transaction; an unknown item is inserted.

        Return STORED, REPLACED or UNCHANGED for each. Of several patches of an unknown item the first is STORED. A
        deleted item is unknown until a patch catalogues it.
        """
        with self._database.writing() as connection:
            return self._apply(connection, patches)

    def patch_stored(self, patch: Patch, *, field: str) -> Item | None:
        """Apply the patch of one request to a stored item. Return the item as it is now; None if there is none.

        `field`: the part of the input that holds the patch. Raises `InvalidInputError` for too many attributes.
        """
        find = _WHOLE.where(items.c.item_id == patch.entry_id, IS_SHOWN)
        with self._database.writing() as connection:
            row = connection.execute(find.with_for_update(key_share=True)).one_or_none()
            if row is None:
                return None
            check_n_attributes(patch, row.attributes, field)
            self._apply(connection, [patch])
            return _to_item(connection.execute(find).one())

    def _apply(self, connection: sa.Connection, patches: Sequence[Patch]) -> list[int]:
        distinct_ids = list(dict.fromkeys(patch.entry_id for patch in patches))
        key_array, made = self._database.dialect.item_keys(connection, distinct_ids)
        keys = dict(zip(distinct_ids, key_array.tolist(), strict=True))
        named = set().union(*(patch.fields for patch in patches))
        rows = self._rows(connection, sorted(keys[item_id] for item_id in keys.keys() - set(made)), named)
        rows |= {item_id: dict(_BARE_ROW) for item_id in made}
        deleted = self._deleted(connection, rows, made, patches)
        revived = {patch.entry_id for patch in patches if not patch.keeps_bare} & deleted
        # Those that are made and stay deleted are not counted as items; one that is made and revived is one.
        self._database.note("items", stored=len({*made, *revived} - (deleted - revived)))
        patched = PatchedRows(rows, {*made, *revived})
        statuses = [patched.apply(patch.entry_id, _columns(patch, patched[patch.entry_id])) for patch in patches]
        # New items get a version even if they stay bare.
        names, changes = patched.to_write(keys, also=made)
        if changes:
            values: dict[str, Any] = {name: sa.bindparam(name) for name in names}
            statement = sa.update(items).where(items.c.item_key == sa.bindparam("key"))
            version = counters.grow(connection, "catalogue")
            connection.execute(statement.values(**values, version=version), changes)
        forget(connection, revived)
        return statuses

    def _deleted(
        self,
        connection: sa.Connection,
        rows: Mapping[str, dict[str, Value]],
        made: Sequence[str],
        patches: Sequence[Patch],
    ) -> set[str]:
        """The ids among `rows` of deleted items; marks those that were just `made`, in the database and in `rows`."""
        marked = mark_deleted(self._database, connection, made)
        stays = {patch.entry_id for patch in patches if patch.stays_deleted}.intersection(made) - marked
        set_mark(connection, stays)
        for item_id in marked | stays:
            rows[item_id]["is_deleted"] = True
        return {item_id for item_id, row in rows.items() if row["is_deleted"]}

    @staticmethod
    def _rows(connection: sa.Connection, keys: list[int], named: Collection[str]) -> dict[str, dict[str, Value]]:
        """The columns that patches change which name these fields, by item id; locks the rows."""
        # Not all columns: the JSON of some takes long to parse.
        read = [name for name in _BARE_ROW if name in named or name in _ALWAYS_PATCHED]
        columns = sa.select(items.c.item_id, *(items.c[name] for name in read)).order_by(items.c.item_key)
        rows: dict[str, dict[str, Value]] = {}
        for start in range(0, len(keys), STREAM_ROWS):
            some = columns.where(items.c.item_key.in_(keys[start : start + STREAM_ROWS]))
            result = connection.execute(some.with_for_update(key_share=True))
            rows |= {item_id: dict(zip(read, stored, strict=True)) for item_id, *stored in result}
        return rows

    def get(self, item_id: str) -> Item | None:
        """The item; None for an unknown or deleted one."""
        with self._database.reading() as connection:
            row = connection.execute(_WHOLE.where(items.c.item_id == item_id, IS_SHOWN)).one_or_none()
        return None if row is None else _to_item(row)

    def delete(self, item_id: str) -> bool:
        """Delete the item, its ratings and events, which count as changes of their users; False if there is none."""
        while (is_deleted := self._try_to_delete(item_id)) is None:
            pass
        return is_deleted

    def _try_to_delete(self, item_id: str) -> bool | None:
        """As `delete`; None if a rating or event came before all locks were held (those of users are taken first)."""
        find = sa.select(items.c.item_key).where(items.c.item_id == item_id)
        with self._database.writing(uses_reserve=True) as connection:
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
            n_rated = connection.execute(sa.update(users).where(rated).values(version=users.c.version + 1)).rowcount
            self._database.note("ratings", removed=n_rated)
            connection.execute(sa.delete(ratings).where(ratings.c.item_key == key))
            acted = users.c.user_key.in_(actors)
            connection.execute(sa.update(users).where(acted).values(profile_version=users.c.profile_version + 1))
            is_theirs = interactions.c.user_key.in_(actors) & (interactions.c.item_key == key)  # by its primary key
            connection.execute(sa.delete(interactions).where(is_theirs))
            n_events = connection.execute(sa.delete(events).where(events.c.item_key == key)).rowcount
            self._database.note("events", removed=n_events)
            was_shown = connection.execute(sa.delete(items).where(items.c.item_key == key).returning(IS_SHOWN)).scalar()
            self._database.note("items", removed=int(bool(was_shown)))
            remember(connection, key, item_id)
            connection.execute(sa.delete(trends).where(trends.c.item_key == key))
        return True

    def page(self, *, search: str | None = None, after: int = 0, limit: int = 100) -> list[tuple[int, Item]]:
        """Items in the order of keys, each with its key, beginning behind key `after`.

        `search`: a part of the title, whatever the case and accents.
        """
        statement = _WHOLE.where(items.c.item_key > after, IS_SHOWN).order_by(items.c.item_key).limit(limit)
        if search:
            statement = statement.where(items.c.title_folded.contains(folded(search), autoescape=True))
        with self._database.reading() as connection:
            return [(row.item_key, _to_item(row)) for row in connection.execute(statement)]

    def count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(items).where(IS_SHOWN)).scalar_one())

    def stream(self) -> Iterator[Item]:
        """All items in the order of keys; a page at a time, so not as of one moment."""
        return (item for item, _, is_deleted in self.stream_marked() if not is_deleted)

    def stream_marked(self) -> Iterator[tuple[Item, bool, bool]]:
        """As `stream`, with deleted items that have ratings or events; each with whether it is bare and deleted.

        Bare: known from ratings and events alone.
        """
        after = 0
        statement = _select((*ITEM_FIELDS, "is_bare", "is_deleted")).order_by(items.c.item_key).limit(STREAM_ROWS)
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(statement.where(items.c.item_key > after)).all()
            if not rows:
                return
            yield from ((_to_item(row[:-2]), row.is_bare, row.is_deleted) for row in rows)
            after = rows[-1].item_key

    def by_key(self, *, with_text: bool = False) -> Iterator[tuple[int, Item]]:
        """As `stream`, each item with its key, and of its fields only what learners read (the filterable ones).

        `with_text`: also texts for display. A training run holds all items at once: descriptions take many times the
        memory of the rest.
        """
        after, read = 0, _READ if with_text else _HELD
        statement = _select(read).where(IS_SHOWN).order_by(items.c.item_key).limit(STREAM_ROWS)
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(statement.where(items.c.item_key > after)).all()
            if not rows:
                return
            yield from ((row.item_key, _to_item(row, read)) for row in rows)
            after = rows[-1].item_key

    def of_keys(self, keys: Sequence[int]) -> dict[int, Item]:
        """By key, those that still exist, with the fields that `by_key` gives with texts."""
        existing: dict[int, Item] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), STREAM_ROWS):
                part = [int(key) for key in keys[start : start + STREAM_ROWS]]
                rows = connection.execute(_select(_READ).where(items.c.item_key.in_(part)))
                existing |= {row.item_key: _to_item(row, _READ) for row in rows}
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

    def known_ids(self, item_ids: Collection[str]) -> set[str]:
        """Those of the distinct ids whose item is stored and not deleted."""
        with self._database.reading() as connection:
            return known_items(self._database, connection, item_ids)

    @contextmanager
    def changes_since(self, version: int) -> Iterator[CatalogueChanges]:
        """What changed after `version`, as of one moment; version -1: everything."""
        statement = sa.select(*_CATALOGUE_COLUMNS).where(IS_SHOWN)
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


_CATALOGUE_COLUMNS = (
    items.c.item_key,
    items.c.item_id,
    sa.type_coerce(items.c.is_bare, sa.Integer),  # as in `_held_column`
    *map(_held_column, _HELD),
)


def _to_columns(rows: Sequence[Any]) -> CatalogueColumns:
    keys, ids, is_bare, *columns = zip(*rows, strict=True)
    held = {
        name: _HELD_READERS[declared.kind](values)
        for (name, declared), values in zip(_HELD.items(), columns, strict=True)
    }
    return CatalogueColumns(np.array(keys, np.int64), ids, np.array(is_bare, np.bool_), held)


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


_WRITERS = {name: _TO_STORED[declared.kind] for name, declared in ITEM_FIELDS.items() if declared.kind in _TO_STORED}


def _to_row(fields: Mapping[str, Any]) -> dict[str, Value]:
    """The values of fields as a row holds them."""
    return {
        name: _WRITERS[name](value) if name in _WRITERS and value is not None else value
        for name, value in fields.items()
    }


_BARE_ROW: dict[str, Value] = {**_to_row(ITEM_DEFAULTS), "title_folded": None, "is_bare": True, "is_deleted": False}
"""The columns that patches change, as a new row has them."""
_ALWAYS_PATCHED = frozenset({"attributes", "title_folded", "is_bare", "is_deleted"})
"""Those among them that a patch may change whatever fields it names."""


def _columns(patch: Patch, row: Columns) -> dict[str, Value]:
    """The new values of the columns of a row that a patch sets."""
    columns = _to_row(patch.values(row["attributes"]))
    if "title" in columns:
        columns["title_folded"] = None if columns["title"] is None else folded(columns["title"])
    if not patch.keeps_bare:
        columns |= {"is_bare": False, "is_deleted": False}
    return columns


def _to_item(row: Sequence[Any], names: Collection[str] = ITEM_FIELDS.keys()) -> Item:
    """The item of a row that holds the key, the id and the columns `names`."""
    _, item_id, *stored = row
    values = dict(zip(names, stored, strict=True))
    for name, from_stored in _CONVERTED:
        if values.get(name) is not None:
            values[name] = from_stored(values[name])
    return Item(item_id, **values)


_CONVERTED = [
    (name, _FROM_STORED[declared.kind]) for name, declared in ITEM_FIELDS.items() if declared.kind in _FROM_STORED
]


def _select(names: Iterable[str]) -> sa.Select[Any]:
    return sa.select(items.c.item_key, items.c.item_id, *(items.c[name] for name in names))


_WHOLE = _select(ITEM_FIELDS)


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
