"""A ranking of the caller's own candidates, and predicted ratings."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Unpack

import msgspec

from ..call import Request, operation
from ..wire import decode
from .item_columns import ItemColumns
from .recommendations import (
    AttributeField,
    GuestRating,
    ItemField,
    PastEvent,
    RankingOptions,
    RecommendedItem,
    StoredField,
    guest_body,
    written,
)


@dataclass(frozen=True, slots=True)
class ExcludedItem:
    """A candidate that is not ranked. `rule`: the first rule that excluded it."""

    item_id: str
    rule: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ranking of the candidates. Each of them is in one of three groups.

    `items`: the ranked candidates, best first.
    `excluded`: candidates that a rule excluded.
    `unknown`: ids without an item.
    `ignored_items`: of a guest's ratings and events, the ids without an item; None for a user.
    """

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: tuple[RecommendedItem, ...]
    excluded: tuple[ExcludedItem, ...]
    unknown: tuple[str, ...]
    # With a default, so that programs from before it was answered still make answers for their tests.
    ignored_items: tuple[str, ...] | None = None
    degraded: bool = field(default=False, kw_only=True)

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Pair:
    """A user and an item, to predict the rating of one for the other."""

    user_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class Prediction(ItemColumns):
    """What a user would rate an item.

    `predicted_rating`: on the rating scale; None before anything is learned, and for pairs and amounts.
    `uncertainty`: the standard deviation of the rating around it, in the same unit.
    `strategy`: what the prediction is based on, as in `Recommendations`.
    `item`: `learned` (known from its ratings), `new` (known from its features) or `unknown` (there is no such item).
    `title`: of the stored item, where `fields` names it.
    """

    index: int
    status: Literal["predicted"]
    user_id: str
    item_id: str
    predicted_rating: float | None
    uncertainty: float | None
    strategy: str
    item: Literal["learned", "new", "unknown"]
    title: str | None = None


@dataclass(frozen=True, slots=True)
class RejectedPair:
    """A pair that is malformed. `problem`: why."""

    index: int
    status: Literal["rejected"]
    problem: str


@dataclass(frozen=True, slots=True)
class Predictions:
    """In the order of the pairs."""

    snapshot_version: int | None
    results: tuple[Prediction | RejectedPair, ...]
    degraded: bool = field(default=False, kw_only=True)

    def __iter__(self) -> Iterator[Prediction | RejectedPair]:
        return iter(self.results)


# What `_read_predictions` looks at first: `Raw` leaves each row as text until its kind is known.
class _Row(msgspec.Struct):
    status: str


class _Rows(msgspec.Struct):
    snapshot_version: int | None
    results: list[msgspec.Raw]
    degraded: bool = False


def _read_predictions(content: bytes) -> Predictions:
    """Msgspec refuses a union of dataclasses, since it cannot tell which one a row is; `status` can."""
    rows = decode(_Rows, content)
    return Predictions(rows.snapshot_version, tuple(_read_row(row) for row in rows.results), degraded=rows.degraded)


def _read_row(row: bytes) -> Prediction | RejectedPair:
    return decode(Prediction, row) if decode(_Row, row).status == "predicted" else decode(RejectedPair, row)


class RankingOperations:
    # Both are POSTs for the length of their input alone: they store nothing, so they may be repeated.
    @operation("POST", "/rankings", changes=False)
    def rank(
        self,
        item_ids: Iterable[str],
        *,
        user_id: str | None = None,
        ratings: Iterable[GuestRating] = (),
        events: Iterable[PastEvent] = (),
        viewed_item_ids: Iterable[str] = (),
        fields: Sequence[ItemField | AttributeField] = (),
        **options: Unpack[RankingOptions],
    ) -> Request[Ranking]:
        """Rank up to 1,000 items of the caller's, best first, for a user or a guest; see `recommendations_for`."""
        body = {"item_ids": list(item_ids), **guest_body(user_id, ratings, events, viewed_item_ids), **written(options)}
        if fields:
            body["fields"] = list(fields)
        return Request(Ranking, body=body)

    @operation("POST", "/predictions", changes=False)
    def predict(
        self, pairs: Sequence[Pair], *, fields: Sequence[StoredField | AttributeField] = ()
    ) -> Request[Predictions]:
        """Predict ratings with their uncertainty, for up to 1,000 pairs. Each pair is checked separately.

        `fields`: what to return of the items besides.
        """
        body: dict[str, Any] = {"pairs": list(pairs)} | ({"fields": list(fields)} if fields else {})
        return Request(Predictions, body=body, read=_read_predictions)
