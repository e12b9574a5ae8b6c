"""What an answer reads, for the event loop: a function call on SQLite, one statement for all who wait on Postgres.

Each read sees every change acknowledged before it was asked for. On SQLite nothing here suspends the caller: a read
takes 10 us, less than handing it to anybody. Every other read and all writes are for threads.
"""

import json
from collections.abc import Sequence
from typing import Any

from app.entities import RatingScale, User
from app.store.database import Database
from app.store.events import INTERACTIONS, Interactions
from app.store.instance import ONLY_ID, SCALE
from app.store.items import item_lookup, read_columns
from app.store.lookup import Lookup
from app.store.ratings import HISTORY, RatingHistory
from app.store.users import FRESHNESS, UserVersions

USER = Lookup(
    "SELECT user_id, country, CAST(attributes AS TEXT) AS attributes,"
    " EXISTS (SELECT 1 FROM interactions WHERE interactions.user_key = users.user_key) AS has_events"
    " FROM users WHERE user_key = ?",
    by=int,
    columns=("user_id", "country", "attributes", "has_events"),
)


class ServingReads:
    def __init__(self, database: Database) -> None:
        self._dialect = database.dialect

    async def freshness(self, user_id: str) -> UserVersions:
        """All versions that a request needs."""
        return UserVersions.of(await self._dialect.look_up_row(FRESHNESS, user_id))

    async def history(self, user_key: int) -> RatingHistory:
        """The user's ratings by surrogate key."""
        return RatingHistory.of(await self._dialect.look_up_columns(HISTORY, user_key))

    async def item_columns(self, item_ids: Sequence[str], names: tuple[str, ...]) -> list[dict[str, Any] | None]:
        """Of each item the columns `names`, as `Item` has them, by name; None where there is no such item."""
        rows = await self._dialect.look_up_rows(item_lookup(names), item_ids)
        return [None if row is None else read_columns(names, row) for row in rows]

    async def scale(self) -> RatingScale:
        """The rating scale, read anew for each request: `reckon scale set` changes it while the service runs."""
        return RatingScale(*await self._dialect.look_up_row(SCALE, ONLY_ID) or ())

    async def profile(self, user_key: int) -> tuple[User | None, Interactions | None]:
        """The user, and what the user's events amount to; None where there are none."""
        row = await self._dialect.look_up_row(USER, user_key)
        if row is None:
            return None, None
        user_id, country, attributes, has_events = row
        user = User(user_id, country, json.loads(attributes))
        if not has_events:
            return user, None
        found = Interactions.of(await self._dialect.look_up_columns(INTERACTIONS, user_key))
        return user, found if len(found) else None  # none where the user was deleted or merged between the two reads
