"""Ratings in memory, by the service's own rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ..batches import RowOutcome
from ..errors import ProblemError, invalid
from ..operations.ratings import RatingsOutcome, RatingsPage, StoredRating
from .memory import Memory
from .paging import found, page_of

MAX_AHEAD = timedelta(minutes=5)


class RatingAnswers:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def rate(self, user_id: str, item_id: str, value: float, rated_at: str | None = None) -> StoredRating:
        return self._rate(user_id, item_id, value, rated_at)[1]

    def rate_batch(self, ratings: list[dict[str, Any]]) -> RatingsOutcome:
        results = tuple(self._judge(index, row) for index, row in enumerate(ratings))
        statuses = [result.status for result in results]
        counts = {name: statuses.count(name) for name in ("stored", "replaced", "unchanged", "rejected")}
        return RatingsOutcome(**counts, results=results)

    def ratings(self, user_id: str, limit: int = 100, cursor: str | None = None) -> RatingsPage:
        found(self._memory.users, "user", user_id)
        return RatingsPage(*page_of(self._memory.ratings_of(user_id), limit, cursor))

    def delete_rating(self, user_id: str, item_id: str) -> None:
        if (user_id, item_id) in self._memory.ratings:
            self._memory.ratings[user_id, item_id] = StoredRating(user_id, item_id, None, datetime.now(UTC))

    def _judge(self, index: int, row: dict[str, Any]) -> RowOutcome:
        try:
            return RowOutcome(index, self._rate(**row)[0])
        except ProblemError as error:
            return RowOutcome(index, "rejected", error.detail)

    def _rate(self, user_id: str, item_id: str, value: float, rated_at: str | None = None) -> tuple[str, StoredRating]:
        """What happened, and what is stored now: the newest wins; of equal times, the later arrival."""
        moment = self._checked(value, rated_at)
        self._memory.add_user(user_id)
        self._memory.add_item(item_id)
        held = self._memory.ratings.get((user_id, item_id))
        if held is not None and held.rated_at is not None:
            is_same = held.value == value and (rated_at is None or moment == held.rated_at)
            if is_same or moment < held.rated_at:
                return "unchanged", held
        rating = StoredRating(user_id, item_id, value, moment)
        self._memory.ratings[user_id, item_id] = rating
        return "stored" if held is None or held.value is None else "replaced", rating

    def _checked(self, value: float, rated_at: str | None) -> datetime:
        least, most = self._memory.scale
        if not least <= value <= most:
            raise invalid("body.value", f"{value!r} is not on the rating scale {least:g}:{most:g}")
        now = datetime.now(UTC)
        moment = now if rated_at is None else datetime.fromisoformat(rated_at)
        if moment - now > MAX_AHEAD:
            raise invalid("body.rated_at", "rated_at is more than 5 minutes ahead of the server's clock")
        return moment
