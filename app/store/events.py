"""Events: each is stored once, by its id; sums for each user, item and type are kept in `interactions`.

The sums (counts, first and last times, the largest portion) do not depend on the order of arrival or on replays.
Weights are applied when the sums are read, so that a changed weight is valid at once.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.entities import Event, EventType, IncomingEvents, InteractionColumns, from_microseconds
from app.errors import ConflictError, InvalidInputError
from app.store import counters
from app.store.database import Database
from app.store.dialect import KeyArray, TimeArray, Upsert, ValueArray
from app.store.ratings import REPLACED, STORED, UNCHANGED, resolve_keys
from app.store.schema import event_types, events, items, users
from app.store.trends import add_to_trends

MAX_TYPES = 100
"""Each type is a label of metrics, and all are read at every change of a placement."""

KNOWN_EVENTS = "SELECT event_id FROM events WHERE event_id = ?"
# A NULL portion means the whole, so it is the larger one wherever either is NULL.
LARGER_PORTION = (
    "CASE WHEN excluded.portion > interactions.portion THEN excluded.portion"
    " WHEN excluded.portion <= interactions.portion THEN interactions.portion END"
)
EARLIER = "CASE WHEN excluded.first_at < interactions.first_at THEN excluded.first_at ELSE interactions.first_at END"
LATER = "CASE WHEN excluded.last_at > interactions.last_at THEN excluded.last_at ELSE interactions.last_at END"
INSERT_EVENTS = Upsert(
    "events",
    (
        ("event_id", "text"),
        ("type_key", "bigint"),
        ("user_key", "bigint"),
        ("item_key", "bigint"),
        ("at", "bigint"),
        ("portion", "float8"),
        ("placement", "text"),
        ("snapshot_version", "bigint"),
    ),
    key=("event_id",),
)
ADD_INTERACTIONS = Upsert(
    "interactions",
    (
        ("user_key", "bigint"),
        ("item_key", "bigint"),
        ("type_key", "bigint"),
        ("count", "bigint"),
        ("first_at", "bigint"),
        ("last_at", "bigint"),
        ("portion", "float8"),
    ),
    key=("user_key", "item_key", "type_key"),
    merged=(
        ("count", "interactions.count + excluded.count"),
        ("first_at", EARLIER),
        ("last_at", LATER),
        ("portion", LARGER_PORTION),
    ),
)


class _TakenError(Exception):
    """Another transaction has stored one of the events since they were looked up."""


class Events:
    def __init__(self, database: Database) -> None:
        self._database = database

    def types(self) -> dict[int, EventType]:
        """The declared types by key, in the order of declaration."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(event_types).order_by(event_types.c.type_key)).all()
        return {row.type_key: EventType(row.name, row.weight, row.is_exposure, row.is_consumption) for row in rows}

    def put_type(self, declared: EventType) -> int:
        """STORED, REPLACED or UNCHANGED; raises `ConflictError` for one more than `MAX_TYPES`."""
        values = {
            "weight": declared.weight,
            "is_exposure": declared.is_exposure,
            "is_consumption": declared.is_consumption,
        }
        with self._database.writing() as connection:
            # Orders concurrent declarations, so that the limit of types holds.
            counters.lock(connection, "placements")
            is_same_type = event_types.c.name == declared.name
            current = sa.select(*(event_types.c[name] for name in values)).where(is_same_type)
            before = connection.execute(current).one_or_none()
            if before is None:
                n_types = connection.execute(sa.select(sa.func.count()).select_from(event_types)).scalar_one()
                if n_types >= MAX_TYPES:
                    raise ConflictError(f"there are {MAX_TYPES} event types already: delete one that is not used")
                connection.execute(sa.insert(event_types).values(name=declared.name, **values))
            elif before._asdict() == values:
                return UNCHANGED
            else:
                connection.execute(sa.update(event_types).where(is_same_type).values(**values))
            counters.grow(connection, "placements")
        return STORED if before is None else REPLACED

    def delete_type(self, name: str) -> bool:
        """False if there is none. Raises `ConflictError` while there are events of the type."""
        with self._database.writing() as connection:
            counters.lock(connection, "placements")
            # Writers of events hold a shared lock on the types they use: this one waits for them.
            find = sa.select(event_types.c.type_key).where(event_types.c.name == name).with_for_update()
            key = connection.execute(find).scalar_one_or_none()
            if key is None:
                return False
            if connection.execute(sa.select(events.c.event_id).where(events.c.type_key == key).limit(1)).first():
                raise ConflictError(f"there are events of type {name!r}, so it cannot be deleted")
            connection.execute(sa.delete(event_types).where(event_types.c.type_key == key))
            counters.grow(connection, "placements")
        return True

    def record(self, incoming: IncomingEvents) -> NDArray[np.int8]:
        """Stores all events in one transaction; (n,) int8 STORED, or UNCHANGED where the id is known.

        Of events with the same id the first is stored. Missing users and items are inserted. Raises
        `InvalidInputError` for a type that is not declared.
        """
        while True:
            try:
                with self._database.writing() as connection:
                    new = self._new(connection, incoming)
                    if len(new):
                        self._store(connection, incoming, new)
            except _TakenError:
                continue  # the next look-up finds the event of the other transaction
            status = np.full(len(incoming), UNCHANGED, dtype=np.int8)
            status[new] = STORED
            return status

    def _new(self, connection: sa.Connection, incoming: IncomingEvents) -> NDArray[np.intp]:
        """(m,) rows of events that are not stored yet, of equal ids the first."""
        first: dict[str, int] = {}
        for row, event_id in enumerate(incoming.event_id):
            first.setdefault(event_id, row)
        for (event_id,) in self._database.dialect.rows_of(connection, KNOWN_EVENTS, list(first)):
            del first[event_id]
        return np.fromiter(first.values(), np.intp, count=len(first))

    def _store(self, connection: sa.Connection, incoming: IncomingEvents, new: NDArray[np.intp]) -> None:
        dialect = self._database.dialect
        ids, types, user_ids, item_ids, placement, version = (
            [column[row] for row in new.tolist()]
            for column in (
                incoming.event_id,
                incoming.type,
                incoming.user_id,
                incoming.item_id,
                incoming.placement,
                incoming.snapshot_version,
            )
        )
        at, portion = incoming.at[new], incoming.portion[new]
        user_key, item_key = resolve_keys(self._database, connection, user_ids, item_ids)
        type_key, weight = _keys_and_weights(connection, types)
        portions = _nan_to_none(portion)
        keys = (type_key.tolist(), user_key.tolist(), item_key.tolist())
        n_stored = dialect.upsert(connection, INSERT_EVENTS, (ids, *keys, at.tolist(), portions, placement, version))
        # Fewer rows than ids: another transaction stored one meanwhile, and sums must not count it twice.
        if n_stored != len(ids):
            raise _TakenError
        add_interactions(self._database, connection, _summed(user_key, item_key, type_key, at, portion))
        changed, changes = np.unique(user_key, return_counts=True)
        dialect.bump_users(connection, changed, changes, column="profile_version")
        consumed = np.where(np.isnan(portion), 1, portion)
        add_to_trends(self._database, connection, user_key, item_key, at, weight * consumed)

    def page(self, user_id: str, *, before: tuple[int, str] | None = None, limit: int = 100) -> list[Event]:
        """The user's events, newest first, after the one with the time (microseconds UTC) and id of `before`."""
        statement = (
            _SELECT_EVENTS.where(users.c.user_id == user_id)
            .order_by(events.c.at.desc(), events.c.event_id.desc())
            .limit(limit)
        )
        # Both columns of the order: events may have equal times.
        if before is not None:
            statement = statement.where(sa.tuple_(events.c.at, events.c.event_id) < before)
        with self._database.reading() as connection:
            return [_to_event(row) for row in connection.execute(statement)]

    def stream(self, chunk_size: int = 10_000) -> Iterator[Event]:
        """All events in the order of ids."""
        # A page and a transaction at a time, so that a slow consumer holds none open.
        after = ""
        statement = _SELECT_EVENTS.order_by(events.c.event_id).limit(chunk_size)
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(statement.where(events.c.event_id > after)).all()
            if not rows:
                return
            yield from map(_to_event, rows)
            after = rows[-1].event_id

    def count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one())


def add_interactions(database: Database, connection: sa.Connection, added: InteractionColumns) -> None:
    """Adds sums of distinct (user, item, type) to the stored ones. The caller holds the locks of the users."""
    keys = (added.user_key.tolist(), added.item_key.tolist(), added.type_key.tolist())
    amounts = (added.count.tolist(), added.first_at.tolist(), added.last_at.tolist(), _nan_to_none(added.portion))
    database.dialect.upsert(connection, ADD_INTERACTIONS, (*keys, *amounts))


_SELECT_EVENTS = (
    sa.select(events, event_types.c.name, users.c.user_id, items.c.item_id)
    .join(event_types, event_types.c.type_key == events.c.type_key)
    .join(users, users.c.user_key == events.c.user_key)
    .join(items, items.c.item_key == events.c.item_key)
)


def _keys_and_weights(connection: sa.Connection, names: list[str]) -> tuple[KeyArray, ValueArray]:
    """(n,) keys and weights of the types of n events; locks the types against deletion.

    Raises `InvalidInputError` for a type that is not declared.
    """
    statement = sa.select(event_types.c.name, event_types.c.type_key, event_types.c.weight)
    # In the order of keys, as every writer locks them.
    some = statement.where(event_types.c.name.in_(sorted(set(names)))).order_by(event_types.c.type_key)
    declared = {row.name: row for row in connection.execute(some.with_for_update(read=True, key_share=True))}
    missing = next((name for name in names if name not in declared), None)
    if missing is not None:
        raise InvalidInputError(f"there is no event type {missing!r}", field="type")
    rows = [declared[name] for name in names]
    return np.array([row.type_key for row in rows], np.int64), np.array([row.weight for row in rows], np.float64)


def _summed(
    user_key: KeyArray, item_key: KeyArray, type_key: KeyArray, at: TimeArray, portion: ValueArray
) -> InteractionColumns:
    """The sums of n >= 1 events by user, item and type."""
    # Events of the same keys become neighbours; `starts` are the first ones of each group.
    order = np.lexsort((type_key, item_key, user_key))
    keys = np.stack([user_key, item_key, type_key])[:, order]
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(keys) != 0).any(axis=0)]))
    return InteractionColumns(
        user_key=user_key[order][starts],
        item_key=item_key[order][starts],
        type_key=type_key[order][starts],
        count=np.diff(starts, append=len(order)),
        first_at=np.minimum.reduceat(at[order], starts),
        last_at=np.maximum.reduceat(at[order], starts),
        portion=np.maximum.reduceat(portion[order], starts),  # `maximum` keeps NaN, the whole
    )


def _nan_to_none(portion: ValueArray) -> list[float | None]:
    return [None if np.isnan(each) else each for each in portion.tolist()]


def _to_event(row: Any) -> Event:
    return Event(
        event_id=row.event_id,
        type=row.name,
        user_id=row.user_id,
        item_id=row.item_id,
        at=from_microseconds(row.at),
        portion=row.portion,
        placement=row.placement,
        snapshot_version=row.snapshot_version,
    )
