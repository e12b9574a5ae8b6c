"""Everything that is stored of one user, for the user to take along."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.entities import Event, User, from_microseconds, to_microseconds
from app.errors import NotFoundError
from app.store.database import Database
from app.store.events import Events
from app.store.schema import deleted_events, deleted_items, items, ratings, redirects, users

PAGE_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class DatedId:
    """An id, and when something happened to it."""

    identifier: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ExportedRating:
    """A rating as stored. `value`: None for one that was deleted at `rated_at`. `rated_at`: None where not known."""

    item_id: str
    value: float | None
    rated_at: datetime | None


@dataclass(frozen=True, slots=True)
class HeldOfUser:
    """What is stored of a user, as of one moment, besides ratings and events.

    `merged_guests`: ids of guests who were merged into the user, as long as late events of theirs are taken.
    `created_items`: ids of items that name the user as their creator. `deleted_events`: ids of events taken back.
    """

    user_key: int
    user: User
    merged_guests: tuple[DatedId, ...]
    created_items: tuple[str, ...]
    deleted_events: tuple[DatedId, ...]


class UserData:
    def __init__(self, database: Database, events: Events) -> None:
        self._database = database
        self._events = events

    def held_of(self, user_id: str) -> HeldOfUser:
        """Raises `NotFoundError` for an unknown user."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(users).where(users.c.user_id == user_id)).one_or_none()
            if row is None:
                raise NotFoundError("user", user_id)
            guests = sa.select(redirects.c.user_id, redirects.c.merged_at).where(redirects.c.user_key == row.user_key)
            made = sa.select(items.c.item_id).where(items.c.created_by == user_id).order_by(items.c.item_key)
            taken_back = sa.select(deleted_events.c.event_id, deleted_events.c.deleted_at)
            taken_back = taken_back.where(deleted_events.c.user_key == row.user_key)
            return HeldOfUser(
                user_key=row.user_key,
                user=User(row.user_id, row.country, row.attributes),
                merged_guests=tuple(
                    DatedId(each[0], from_microseconds(each[1])) for each in connection.execute(guests)
                ),
                created_items=tuple(connection.execute(made).scalars()),
                deleted_events=tuple(
                    DatedId(each[0], from_microseconds(each[1])) for each in connection.execute(taken_back)
                ),
            )

    def ratings(self, user_key: int) -> Iterator[list[ExportedRating]]:
        """All ratings in the order of item keys, page by page, deleted ones included."""
        # A transaction for each page, so that a slow reader of an export holds none open.
        item_id = sa.func.coalesce(items.c.item_id, deleted_items.c.item_id, "")
        page = (
            sa.select(ratings.c.item_key, item_id.label("item_id"), ratings.c.value, ratings.c.rated_at)
            .outerjoin(items, items.c.item_key == ratings.c.item_key)
            .outerjoin(deleted_items, deleted_items.c.item_key == ratings.c.item_key)
            .where(ratings.c.user_key == user_key)
            .order_by(ratings.c.item_key)
            .limit(PAGE_ROWS)
        )
        after = 0
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(page.where(ratings.c.item_key > after)).all()
            if not rows:
                return
            yield [
                ExportedRating(
                    row.item_id, row.value, None if row.rated_at is None else from_microseconds(row.rated_at)
                )
                for row in rows
            ]
            after = rows[-1].item_key

    def events(self, user_id: str) -> Iterator[list[Event]]:
        """All events, newest first, page by page."""
        before: tuple[int, str, str] | None = None
        while page := self._events.page(user_id, before=before, limit=PAGE_ROWS):
            yield page
            before = to_microseconds(page[-1].at), page[-1].event_id, user_id
