"""Users: their attributes and versions, their deletion, and merging a guest into a user."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

import sqlalchemy as sa

from app.entities import USER_DEFAULTS, Patch, User
from app.store.database import Database
from app.store.erasures import ERASED_WITHIN, Erasure, erase_user
from app.store.merging import Merged, merge_users
from app.store.patching import PatchedRows, check_n_attributes
from app.store.redirects import end_redirects, guests_of, purge_redirects, targets_of
from app.store.schema import events, ratings, users
from app.store.serving_reads import VERSIONS, UserVersions
from app.store.signals import signals_of_users
from app.store.trends import ANY, audiences_of, change_trends, lock_trends
from app.texts import folded

STREAM_ROWS = 5_000
_PATCHED = sa.select(users.c.user_id, *(users.c[name] for name in USER_DEFAULTS))


class Users:
    def __init__(self, database: Database) -> None:
        self._database = database

    def freshness(self, user_id: str) -> UserVersions:
        """All versions that a request needs. Blocks; `ServingReads.freshness` is the same for coroutines."""
        return UserVersions.from_row(self._database.hot_row(VERSIONS.statement, user_id))

    def record(self, incoming: Sequence[User]) -> list[int]:
        """Insert or replace whole users in one transaction. Return STORED, REPLACED or UNCHANGED for each."""
        return self.patch([Patch(user.user_id, _to_row(user)) for user in incoming])

    def patch(self, patches: Sequence[Patch]) -> list[int]:
        """Apply the patches one after the other, in one transaction; an unknown user is inserted.

        Return STORED, REPLACED or UNCHANGED for each. Of several patches of an unknown user the first is STORED. A
        merged guest is unknown and becomes a user of its own.
        """
        with self._database.writing() as connection:
            return self._apply(connection, patches)

    def patch_stored(self, patch: Patch, *, field: str) -> User | None:
        """Apply the patch of one request to a stored user. Return the user as stored now; None if there is none.

        `field`: the part of the input that holds the patch. Raises `InvalidInputError` for too many attributes.
        """
        find = sa.select(users).where(users.c.user_id == patch.entry_id)
        with self._database.writing() as connection:
            row = connection.execute(find.with_for_update()).one_or_none()
            if row is None:
                return None
            check_n_attributes(patch, row.attributes, field)
            self._apply(connection, [patch])
            return _to_user(connection.execute(find).one())

    def _apply(self, connection: sa.Connection, patches: Sequence[Patch]) -> list[int]:
        distinct_ids = list(dict.fromkeys(patch.entry_id for patch in patches))
        # Before the keys are resolved, which inserts the missing users.
        known = self._known_ids(connection, distinct_ids)
        key_array, inserted = self._database.dialect.user_keys(connection, distinct_ids)
        self._database.note("users", stored=len(inserted))
        keys = dict(zip(distinct_ids, key_array.tolist(), strict=True))
        made = [user_id for user_id in distinct_ids if user_id not in known]
        end_redirects(connection, made)
        rows = self._rows(connection, list(keys.values()))
        countries = {keys[user_id]: row["country"] for user_id, row in rows.items() if user_id in known}
        patched = PatchedRows(rows, made)
        statuses = [
            patched.apply(patch.entry_id, patch.values(patched[patch.entry_id]["attributes"])) for patch in patches
        ]
        names, changes = patched.to_write(keys)
        # Only users that changed get a new version, so that a repeated import invalidates no answer.
        if changes:
            # One statement for all rows, which the driver executes in bulk.
            statement = sa.update(users).where(users.c.user_key == sa.bindparam("key"))
            overwritten: dict[str, Any] = {name: sa.bindparam(name) for name in names}
            version = users.c.profile_version + 1
            connection.execute(statement.values(**overwritten, profile_version=version), changes)
            if "country" in names:
                self._move_trends(connection, countries, {row["key"]: row["country"] for row in changes})
        return statuses

    def _move_trends(
        self, connection: sa.Connection, before: Mapping[int, str | None], after: Mapping[int, str | None]
    ) -> None:
        """Moves what users raised the trends by from their countries `before`, by key, to those `after`."""
        moved = [key for key, country in after.items() if key in before and before[key] != country]
        if not moved:
            return
        lock_trends(self._database, connection)
        signals = signals_of_users(self._database, connection, moved)
        audiences = audiences_of(self._database, connection, moved)
        audiences_before = {key: audiences.get(key, ANY)._replace(country=before[key]) for key in moved}
        change_trends(self._database, connection, signals, signals, audiences_before, audiences)

    @staticmethod
    def _known_ids(connection: sa.Connection, user_ids: list[str]) -> set[str]:
        known: set[str] = set()
        for start in range(0, len(user_ids), STREAM_ROWS):
            part = user_ids[start : start + STREAM_ROWS]
            known |= set(connection.execute(sa.select(users.c.user_id).where(users.c.user_id.in_(part))).scalars())
        return known

    @staticmethod
    def _rows(connection: sa.Connection, keys: list[int]) -> dict[str, dict[str, Any]]:
        """The columns that patches change, by user id."""
        rows: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), STREAM_ROWS):
            statement = _PATCHED.where(users.c.user_key.in_(keys[start : start + STREAM_ROWS]))
            rows |= {row[0]: dict(zip(USER_DEFAULTS, row[1:], strict=True)) for row in connection.execute(statement)}
        return rows

    def get(self, user_id: str) -> User | None:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(users).where(users.c.user_id == user_id)).one_or_none()
        return None if row is None else _to_user(row)

    def page(self, *, search: str | None = None, after: int = 0, limit: int = 100) -> list[tuple[int, User]]:
        """Users in the order of keys, each with its key, beginning behind key `after`; `search` is part of the id."""
        if not search:
            statement = sa.select(users).where(users.c.user_key > after).order_by(users.c.user_key).limit(limit)
            with self._database.reading() as connection:
                return [(row.user_key, _to_user(row)) for row in connection.execute(statement)]
        keys = list(islice(self._keys_matching(folded(search), after), limit))
        found = sa.select(users).where(users.c.user_key.in_(keys)).order_by(users.c.user_key)
        with self._database.reading() as connection:
            return [(row.user_key, _to_user(row)) for row in connection.execute(found)]

    def _keys_matching(self, wanted: str, after: int) -> Iterator[int]:
        """The keys behind `after` of users whose folded id contains `wanted`, in order."""
        # The databases fold case differently, and only ASCII in SQLite. An index would not serve parts of ids either.
        ids = sa.select(users.c.user_key, users.c.user_id).order_by(users.c.user_key).limit(STREAM_ROWS)
        if wanted.isascii():
            # Spares reading most ids. Other characters than ASCII may fold to it: such ids have more bytes than UTF-8
            # needs for their number of characters.
            is_ascii = sa.func.length(users.c.user_id) == sa.literal_column(self._database.dialect.n_bytes("user_id"))
            contains = sa.func.lower(users.c.user_id).contains(wanted, autoescape=True)
            ids = ids.where(contains | ~is_ascii)
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(ids.where(users.c.user_key > after)).all()
            if not rows:
                return
            yield from (key for key, user_id in rows if wanted in folded(user_id))
            after = rows[-1].user_key

    def delete(self, user_id: str, *, within: timedelta = ERASED_WITHIN) -> Erasure | None:
        """Deletes everything that is stored of the user; None if there is nothing. See `erase_user`.

        `within`: the time until when nothing may be left of the user in snapshots and files either.
        """
        return erase_user(self._database, user_id, within=within)

    def merge(self, user_id: str, guest_id: str) -> Merged:
        """Moves everything known of the guest to the user and deletes the guest; see `merge_users`."""
        return merge_users(self._database, user_id, guest_id)

    def is_merged(self, user_id: str) -> bool:
        """Whether the id is that of a guest who was merged into a user."""
        with self._database.reading() as connection:
            return bool(targets_of(self._database, connection, [user_id]))

    def aliases(self, user_ids: Collection[str]) -> dict[str, set[str]]:
        """Of each id all ids of the same user: its own, the user's if it is of a merged guest, and those of the guests
        merged into that user.
        """
        with self._database.reading() as connection:
            targets = targets_of(self._database, connection, list(user_ids))
            users_of = {user_id: targets.get(user_id, user_id) for user_id in user_ids}
            guests = guests_of(self._database, connection, sorted(set(users_of.values())))
        return {given: {given, user_id, *guests.get(user_id, ())} for given, user_id in users_of.items()}

    def purge_redirects(self, *, now: int) -> int:
        """Ends the redirects of guests that were merged long ago; returns how many."""
        with self._database.writing(uses_reserve=True) as connection:
            return purge_redirects(connection, now=now)

    def stream(self) -> Iterator[User]:
        """All users in the order of keys."""
        return (user for _, user in self._by_key(sa.select(users)))

    def with_profiles(self) -> Iterator[tuple[int, User]]:
        """The users with a country or attributes, each with its key, in the order of keys."""
        has_profile = users.c.country.is_not(None) | (sa.cast(users.c.attributes, sa.Text) != "{}")
        return self._by_key(sa.select(users).where(has_profile))

    def _by_key(self, statement: sa.Select[Any]) -> Iterator[tuple[int, User]]:
        after = 0
        page = statement.order_by(users.c.user_key).limit(STREAM_ROWS)
        while True:
            # A transaction for each page, so that a slow consumer holds none open.
            with self._database.reading() as connection:
                rows = connection.execute(page.where(users.c.user_key > after)).all()
            if not rows:
                return
            yield from ((row.user_key, _to_user(row)) for row in rows)
            after = rows[-1].user_key

    def ids_after(self, key: int) -> Iterator[tuple[list[str], list[int]]]:
        """Ids and keys of the users behind `key`, in the order of keys, some thousands at a time."""
        page = sa.select(users.c.user_id, users.c.user_key).order_by(users.c.user_key).limit(STREAM_ROWS)
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(page.where(users.c.user_key > key)).all()
            if not rows:
                return
            user_ids, keys = map(list, zip(*rows, strict=True))
            yield user_ids, keys
            key = keys[-1]

    def count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(users)).scalar_one())

    def count_interactions(self, user_id: str) -> dict[str, int]:
        """The numbers of the user's `ratings` and `events`; 0 for an unknown user."""
        key = sa.select(users.c.user_key).where(users.c.user_id == user_id).scalar_subquery()
        rated = sa.select(sa.func.count(ratings.c.value)).where(ratings.c.user_key == key)  # a tombstone has none
        acted = sa.select(sa.func.count()).select_from(events).where(events.c.user_key == key)
        with self._database.reading() as connection:
            n_ratings, n_events = connection.execute(sa.select(rated.scalar_subquery(), acted.scalar_subquery())).one()
        return {"ratings": n_ratings, "events": n_events}

    def ids_of(self, keys: Sequence[int]) -> dict[int, str]:
        """Public ids by key, for those that still exist."""
        ids: dict[int, str] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), STREAM_ROWS):
                part = [int(key) for key in keys[start : start + STREAM_ROWS]]
                statement = sa.select(users.c.user_key, users.c.user_id).where(users.c.user_key.in_(part))
                ids |= {row.user_key: row.user_id for row in connection.execute(statement)}
        return ids


def _to_row(user: User) -> dict[str, Any]:
    return {"country": user.country, "attributes": dict(user.attributes)}


def _to_user(row: Any) -> User:
    return User(user_id=row.user_id, country=row.country, attributes=row.attributes)
