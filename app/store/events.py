"""Events: each of a user is stored once, by its id; sums for each user, item and type are kept in `interactions`.

The sums (counts, first and last times, the largest portion) do not depend on the order of arrival or on replays.
Weights are applied when the sums are read, so that a changed weight is valid at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
import structlog
from numpy.typing import NDArray

from app.entities import Event, EventType, IncomingEvents, InteractionColumns, from_microseconds
from app.errors import ConflictError, InvalidInputError, ReckonError
from app.store import counters
from app.store.database import Database
from app.store.dialect import KeyArray, Row, TimeArray, Upsert, ValueArray
from app.store.event_deletion import DELETED_EVENTS, delete_event, purge_deleted_events
from app.store.ratings import (
    REPLACED,
    STORED,
    UNCHANGED,
    UNKNOWN_ITEM,
    OvertakenError,
    resolve_keys,
    rows_of_known_items,
)
from app.store.redirects import RedirectedError, with_targets
from app.store.schema import event_types, events, items, users
from app.store.signals import Signals, event_signals_of_pairs, rating_signals_of_pairs
from app.store.trend_recount import recount
from app.store.trends import audiences_of, begin_recount, change_trends, lock_trends

log = structlog.get_logger()

MAX_TYPES = 100
"""Each type is a label of metrics, and all are read at every change of a placement."""

# Ids are those of callers, some of them pages in browsers: an event of one user says nothing about those of others.
KNOWN_EVENTS = "SELECT event_id, user_id FROM events JOIN users USING (user_key) WHERE event_id = ?"
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
        ("position", "bigint"),
    ),
    key=("event_id", "user_key"),
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


MAX_COUNTED = 20_000
"""Events of an item that are counted for a page: of the most popular items there are millions."""


@dataclass(frozen=True, slots=True)
class ItemEvents:
    """How many events of an item there are. `counts`: by name of the type and placement, None for events that no list
    led to. `is_complete`: False if only `MAX_COUNTED` of them were counted, those of the users known longest.
    """

    counts: Mapping[tuple[str, str | None], int]
    is_complete: bool


class TooManyEventTypesError(ConflictError):
    def __init__(self) -> None:
        super().__init__(f"there are {MAX_TYPES} event types already: delete one that is not used")


class EventTypeInUseError(ConflictError):
    def __init__(self, name: str) -> None:
        super().__init__(f"there are events of type {name!r}, so it cannot be deleted")


class Events:
    def __init__(self, database: Database, *, rejects_unknown_items: bool = False) -> None:
        self._database = database
        self._rejects_unknown_items = rejects_unknown_items

    def types(self) -> dict[int, EventType]:
        """The declared types by key, in the order of declaration."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(event_types).order_by(event_types.c.type_key)).all()
        return {row.type_key: EventType(row.name, row.weight, row.is_exposure, row.is_consumption) for row in rows}

    def put_type(self, declared: EventType) -> int:
        """STORED, REPLACED or UNCHANGED; raises `ConflictError` for one more than `MAX_TYPES`.

        After a change of the weight, trends are counted again in slices, between which other writes come.
        """
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
                    raise TooManyEventTypesError
                connection.execute(sa.insert(event_types).values(name=declared.name, **values))
            elif before._asdict() == values:
                return UNCHANGED
            else:
                is_reweighed = before.weight != declared.weight
                if is_reweighed:
                    self._database.dialect.lock_table(connection, "trends", "EXCLUSIVE")
                connection.execute(sa.update(event_types).where(is_same_type).values(**values))
                if is_reweighed:
                    begin_recount(connection)
            counters.grow(connection, "placements")
        if before is None:
            return STORED
        if is_reweighed:
            try:
                recount(self._database)
            except ReckonError as error:  # the weight is stored, and a worker goes on
                log.warning("trends are not counted again yet", why=error.detail)
        return REPLACED

    def finish_recount(self) -> None:
        """Goes on to count trends again where that was interrupted after a change of a weight."""
        recount(self._database)

    def delete_type(self, name: str) -> bool:
        """False if there is none. Raises `ConflictError` while there are events of the type."""
        with self._database.writing(uses_reserve=True) as connection:
            counters.lock(connection, "placements")
            # Writers of events hold a shared lock on the types they use: this one waits for them.
            find = sa.select(event_types.c.type_key).where(event_types.c.name == name).with_for_update()
            key = connection.execute(find).scalar_one_or_none()
            if key is None:
                return False
            if connection.execute(sa.select(events.c.event_id).where(events.c.type_key == key).limit(1)).first():
                raise EventTypeInUseError(name)
            connection.execute(sa.delete(event_types).where(event_types.c.type_key == key))
            counters.grow(connection, "placements")
        return True

    def record(self, incoming: IncomingEvents, *, is_direct: bool = False) -> NDArray[np.int8]:
        """Stores all events in one transaction; (n,) int8 STORED, or UNCHANGED where the id is known or deleted.

        Ids are unique among the events of a user: of equal ones the first is stored. Missing users and items are
        inserted; events of merged guests are stored for the users, see `redirects.py`. Where the store rejects unknown
        items, nothing is inserted for events of such items, and these have UNKNOWN_ITEM. Raises `InvalidInputError` for
        a type that is not declared. `is_direct`: they came through the API, and their users are marked as direct ones.
        """
        while True:
            try:
                with self._database.writing() as connection:
                    return self._record(connection, incoming, is_direct=is_direct)
            except OvertakenError:
                continue
            except RedirectedError as error:
                incoming = with_targets(incoming, error.targets)

    def _record(self, connection: sa.Connection, incoming: IncomingEvents, *, is_direct: bool) -> NDArray[np.int8]:
        accepted = np.arange(len(incoming))
        if self._rejects_unknown_items:
            accepted = rows_of_known_items(self._database, connection, incoming.item_id)
        new = self._new(connection, incoming, accepted)
        if len(new):
            self._store(connection, incoming, new, is_direct=is_direct)
        status = np.full(len(incoming), UNKNOWN_ITEM, dtype=np.int8)
        status[accepted] = UNCHANGED
        status[new] = STORED
        return status

    def _new(self, connection: sa.Connection, incoming: IncomingEvents, accepted: NDArray[np.intp]) -> NDArray[np.intp]:
        """(m,) of the `accepted` rows, those of events that are not stored yet, of equal ids of a user the first.

        The row of a merged guest counts as new: its user is known only once it is resolved, and then it comes again.
        """
        first: dict[tuple[str, str], int] = {}
        for row in accepted.tolist():
            first.setdefault((incoming.event_id[row], incoming.user_id[row]), row)
        ids = list({event_id for event_id, _ in first})
        known: set[Row] = set()
        for statement in (KNOWN_EVENTS, DELETED_EVENTS):
            known.update(self._database.dialect.rows_of(connection, statement, ids))
        rows = [row for pair, row in first.items() if known.isdisjoint({pair, (pair[0], None)})]
        return np.array(rows, dtype=np.intp)

    def _store(
        self, connection: sa.Connection, incoming: IncomingEvents, new: NDArray[np.intp], *, is_direct: bool
    ) -> None:
        dialect = self._database.dialect
        ids, types, user_ids, item_ids, *origin = (
            [column[row] for row in new.tolist()]
            for column in (
                incoming.event_id,
                incoming.type,
                incoming.user_id,
                incoming.item_id,
                incoming.placement,
                incoming.snapshot_version,
                incoming.position,
            )
        )
        at, portion = incoming.at[new], incoming.portion[new]
        inserts_items = not self._rejects_unknown_items
        user_key, item_key, _ = resolve_keys(
            self._database, connection, user_ids, item_ids, inserts_items=inserts_items
        )
        lock_trends(self._database, connection)
        type_key, weight = _keys_and_weights(connection, types)
        consumed = np.where(np.isnan(portion), 1, portion)
        signals = Signals.of_events(user_key, item_key, at, weight * consumed)
        before = self._signals_beside(connection, signals)
        portions = _nan_to_none(portion)
        keys = (type_key, user_key, item_key)
        n_stored = dialect.upsert(connection, INSERT_EVENTS, (ids, *keys, at, portions, *origin))
        # Fewer rows than ids: another transaction stored one meanwhile, and sums must not count it twice.
        if n_stored != len(ids):
            raise OvertakenError
        self._database.note("events", stored=n_stored)
        add_interactions(self._database, connection, _summed(user_key, item_key, type_key, at, portion))
        changed, changes = np.unique(user_key, return_counts=True)
        dialect.bump_users(connection, changed, changes, column="profile_version", is_direct=is_direct)
        audiences = audiences_of(self._database, connection, signals.user_key)
        change_trends(self._database, connection, before, before + signals, audiences, audiences)

    def _signals_beside(self, connection: sa.Connection, signals: Signals) -> Signals:
        """The stored signals of the users and items of `signals`, in their days and maybe in others."""
        if not len(signals):
            return signals
        user_key, item_key = np.unique(np.stack([signals.user_key, signals.item_key]), axis=1)
        of_ratings = rating_signals_of_pairs(self._database, connection, user_key, item_key)
        return of_ratings + event_signals_of_pairs(self._database, connection, user_key, item_key, signals.at)

    def delete(self, event_id: str, *, at: int) -> bool:
        """As `delete_event`."""
        return delete_event(self._database, event_id, at=at)

    def purge_tombstones(self, *, now: int) -> int:
        """Removes old tombstones of events, against which no replay is expected; returns how many."""
        return purge_deleted_events(self._database, now=now)

    def page(
        self,
        user_id: str | None = None,
        *,
        item_id: str | None = None,
        type_: str | None = None,
        before: tuple[int, str, str] | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """Events, newest first, after the one with the time (microseconds UTC), id and user's id of `before`.

        `user_id`, `item_id`, `type_`: only events of these; none where there is no such user, item or type.
        """
        # All of these columns: events may have equal times, and those of two users equal ids.
        order = events.c.at, events.c.event_id, events.c.user_key
        page = sa.select(events).order_by(*(column.desc() for column in order)).limit(limit)
        wanted = (
            (user_id, users.c.user_id, users.c.user_key, events.c.user_key),
            (item_id, items.c.item_id, items.c.item_key, events.c.item_key),
            (type_, event_types.c.name, event_types.c.type_key, events.c.type_key),
        )
        with self._database.reading() as connection:
            for identifier, id_column, key_column, event_column in wanted:
                if identifier is None:
                    continue
                # Read first, so that the statement compares one column with a number and uses its index.
                key = connection.execute(sa.select(key_column).where(id_column == identifier)).scalar_one_or_none()
                if key is None:
                    return []
                page = page.where(event_column == key)
            if before is not None:
                at, event_id, of_user = before
                find = sa.select(users.c.user_key).where(users.c.user_id == of_user)
                last_key = connection.execute(find).scalar_one_or_none() or 0  # deleted meanwhile, with its events
                page = page.where(sa.tuple_(*order) < (at, event_id, last_key))
            # The page is cut before the ids are joined to it: otherwise all events would be joined and sorted.
            rows = connection.execute(_with_ids(page.subquery("page")))
            return [_to_event(row) for row in rows]

    def of_item(self, item_id: str) -> ItemEvents:
        """Counts the events of an item; none for an unknown one."""
        find = sa.select(items.c.item_key).where(items.c.item_id == item_id).scalar_subquery()
        # The index of the item gives them by user.
        some = (
            sa.select(events.c.type_key, events.c.placement)
            .where(events.c.item_key == find)
            .order_by(events.c.user_key)
            .limit(MAX_COUNTED)
            .subquery()
        )
        # One more than is counted, to know whether there are others.
        n_all = sa.select(sa.func.count()).select_from(
            sa.select(events.c.item_key).where(events.c.item_key == find).limit(MAX_COUNTED + 1).subquery()
        )
        counted = (
            sa.select(event_types.c.name, some.c.placement, sa.func.count().label("n"))
            .join(event_types, event_types.c.type_key == some.c.type_key)
            .group_by(event_types.c.name, some.c.placement)
        )
        with self._database.reading() as connection:
            counts = {(row.name, row.placement): int(row.n) for row in connection.execute(counted)}
            is_complete = int(connection.execute(n_all).scalar_one()) <= MAX_COUNTED
        return ItemEvents(counts, is_complete)

    def times_of_user(self, user_id: str) -> NDArray[np.int64]:
        """The times of the user's events, microseconds UTC, newest first: up to `MAX_COUNTED` of them."""
        with self._database.reading() as connection:
            find = sa.select(users.c.user_key).where(users.c.user_id == user_id)
            key = connection.execute(find).scalar_one_or_none()
            # Read from the index of the user's events by time alone.
            times = sa.select(events.c.at).where(events.c.user_key == key).order_by(events.c.at.desc())
            return np.array(connection.execute(times.limit(MAX_COUNTED)).scalars().all(), np.int64)

    def stream(self, chunk_size: int = 10_000) -> Iterator[Event]:
        """All events in the order of ids."""
        # A page and a transaction at a time, so that a slow consumer holds none open.
        after = "", 0
        order = events.c.event_id, events.c.user_key
        statement = _SELECT_EVENTS.order_by(*order).limit(chunk_size)
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(statement.where(sa.tuple_(*order) > after)).all()
            if not rows:
                return
            yield from map(_to_event, rows)
            after = rows[-1].event_id, rows[-1].user_key

    def count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one())


def add_interactions(database: Database, connection: sa.Connection, added: InteractionColumns) -> None:
    """Adds sums of distinct (user, item, type) to the stored ones. The caller holds the locks of the users."""
    keys = (added.user_key, added.item_key, added.type_key)
    amounts = (added.count, added.first_at, added.last_at, _nan_to_none(added.portion))
    database.dialect.upsert(connection, ADD_INTERACTIONS, (*keys, *amounts))


_SELECT_EVENTS = (
    sa.select(events, event_types.c.name, users.c.user_id, items.c.item_id)
    .join(event_types, event_types.c.type_key == events.c.type_key)
    .join(users, users.c.user_key == events.c.user_key)
    .join(items, items.c.item_key == events.c.item_key)
)


def _with_ids(page: sa.Subquery) -> sa.Select[Any]:
    """The rows of `page`, of events by key, with the ids of their type, user and item, newest first."""
    return (
        sa.select(page, event_types.c.name, users.c.user_id, items.c.item_id)
        .join(event_types, event_types.c.type_key == page.c.type_key)
        .join(users, users.c.user_key == page.c.user_key)
        .join(items, items.c.item_key == page.c.item_key)
        .order_by(page.c.at.desc(), page.c.event_id.desc(), page.c.user_key.desc())
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
        position=row.position,
    )
