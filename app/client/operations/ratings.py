"""What users said of items."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..batches import RowOutcome, Sent, in_batches
from ..call import Call, Iteration, Procedure, Request, Steps, operation


@dataclass(frozen=True, slots=True)
class Rating:
    """`value`: on the service's rating scale. `rated_at`: when it was said, with an offset; now, where None."""

    user_id: str
    item_id: str
    value: float
    rated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredRating:
    """`value`: None where the rating was deleted later than it was given. `rated_at`: None where it is not known."""

    user_id: str
    item_id: str
    value: float | None
    rated_at: datetime | None


@dataclass(frozen=True, slots=True)
class RatingsPage:
    ratings: tuple[StoredRating, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[StoredRating]:
        return iter(self.ratings)


@dataclass(frozen=True, slots=True)
class RatingsOutcome:
    """What became of a batch, row by row in `results`."""

    stored: int
    replaced: int
    unchanged: int
    rejected: int
    results: tuple[RowOutcome, ...]


class RatingOperations:
    # Repeatable also without `rated_at`: the same value again changes nothing.
    @operation("POST", "/ratings", is_repeatable=True)
    def rate(self, user_id: str, item_id: str, value: float, rated_at: datetime | None = None) -> Request[StoredRating]:
        """Rate an item; user and item need not exist. The newest `rated_at` wins; answers what is stored now."""
        body = {"user_id": user_id, "item_id": item_id, "value": value, "rated_at": rated_at}
        return Request(StoredRating, body=body)

    @operation("POST", "/ratings/batch", is_repeatable=True)
    def rate_batch(self, ratings: Sequence[Rating]) -> Request[RatingsOutcome]:
        """Rate up to 1,000 items in one request: good rows are stored, bad ones named. `rate_many` takes any number."""
        return Request(RatingsOutcome, body={"ratings": list(ratings)})

    @Procedure
    def rate_many(self, ratings: Iterable[Rating]) -> Steps[Sent[Rating]]:
        """Rate any number of items, in batches of 1,000; names the rejected rows by their index in `ratings`."""
        return in_batches(ratings, RatingOperations.rate_batch.call)

    @operation("GET", "/users/{user_id}/ratings")
    def ratings(self, user_id: str, *, limit: int | None = None, cursor: str | None = None) -> Request[RatingsPage]:
        """A user's ratings, up to 1,000 a page, in the order in which the items became known."""
        return Request(RatingsPage, path={"user_id": user_id}, query={"limit": limit, "cursor": cursor})

    @Iteration
    def iter_ratings(self, user_id: str, *, page_size: int = 1_000) -> Call[RatingsPage]:
        """All ratings of a user."""
        return RatingOperations.ratings.call(user_id, limit=page_size)

    @operation("DELETE", "/users/{user_id}/ratings/{item_id}")
    def delete_rating(self, user_id: str, item_id: str) -> Request[None]:
        """Take a rating back; also where there is none. A replay of it does not bring it back."""
        return Request(type(None), path={"user_id": user_id, "item_id": item_id})
