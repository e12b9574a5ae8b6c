"""Predicted ratings of pairs of a user and an item, and their uncertainty."""

from asyncio import gather, sleep
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.serving.ranking import null_where_nan
from app.serving.request_state import RequestState, RequestStates
from app.serving.rows import Rows
from app.serving.serving_state import ServingState
from app.serving.user_state import UserState, UserStates

USERS_AT_ONCE = 8
"""Fold-ins, or users whose ratings are predicted, between two yields to the event loop."""

Knowledge = Literal["learned", "new", "unknown"]


@dataclass(frozen=True, slots=True)
class Pair:
    """`index`: its place in the request."""

    index: int
    user_id: str
    item_id: str


@dataclass(slots=True)
class Prediction:
    """`predicted_rating`: on the rating scale, null before anything is learned and where values are pairs or amounts.
    `uncertainty`: the standard deviation of the rating around it, before it is clipped to the scale.
    `strategy`: what the user was known by, as of recommendations.
    `item`: `learned` (from its ratings), `new` (without ratings at the snapshot: from its features) or `unknown` (no
    such item: predicted as an item of which nothing is known).
    """

    index: int
    status: Literal["predicted"]
    user_id: str
    item_id: str
    predicted_rating: float | None
    uncertainty: float | None
    strategy: str
    item: Knowledge


class RatingPredictor:
    def __init__(self, user_states: UserStates, request_states: RequestStates) -> None:
        self._user_states = user_states
        self._request_states = request_states

    async def predict(self, pairs: Sequence[Pair]) -> tuple[RequestState, list[Prediction]]:
        """The state that they are made from, and the pairs in order; each user is folded in once, as of now."""
        # Grouped by user: a fold-in costs more than all predictions of a user together.
        of_user: dict[str, list[Pair]] = {}
        for pair in pairs:
            of_user.setdefault(pair.user_id, []).append(pair)
        request_state, user_states = await self._load_users(list(of_user))
        predictions: list[Prediction] = []
        for place, (user_id, own) in enumerate(of_user.items(), start=1):
            predictions += predicted(own, user_states[user_id], request_state.serving)
            if place % USERS_AT_ONCE == 0:
                await sleep(0)
        return request_state, sorted(predictions, key=lambda each: each.index)

    async def _load_users(self, user_ids: Sequence[str]) -> tuple[RequestState, Mapping[str, UserState]]:
        """All by one snapshot, even if another is published meanwhile. The state is degraded if that of a user is."""
        request_state = await self._request_states.read("")
        user_states: dict[str, UserState] = {}
        for start in range(0, len(user_ids), USERS_AT_ONCE):
            part = user_ids[start : start + USERS_AT_ONCE]
            states = await gather(*(self._request_states.read(user_id) for user_id in part))
            # Versions of the users are read now, but the snapshot is that of the whole request.
            serving = request_state.serving
            loaded = await gather(
                *(self._user_states.load(each.user, serving, each.config.event_types) for each in states)
            )
            user_states |= zip(part, loaded, strict=True)
            if degraded := [each for each in states if each.is_degraded]:
                request_state = replace(request_state, user=degraded[0].user)
        return request_state, user_states


def predicted(pairs: Sequence[Pair], user: UserState, serving: ServingState) -> Iterator[Prediction]:
    """The pairs of one user."""
    n_rows = len(serving.catalogue)
    known = [serving.catalogue.row_of_id(pair.item_id) for pair in pairs]
    # An unknown item gets the first row behind the catalogue.
    rows = np.array([n_rows if row is None else row for row in known], dtype=np.int64)
    ratings, uncertainties = _predict(rows, rows < n_rows, user, serving)
    for pair, row, rating, uncertainty in zip(pairs, rows.tolist(), ratings, uncertainties, strict=True):
        item: Knowledge = "unknown" if row >= n_rows else _knowledge(row, serving)
        yield Prediction(pair.index, "predicted", pair.user_id, pair.item_id, rating, uncertainty, user.strategy, item)


def _knowledge(row: int, serving: ServingState) -> Knowledge:
    is_learned = row < serving.n_learned and serving.scorer.arrays.item_counts[row] > 0
    return "learned" if is_learned else "new"


def _predict(
    rows: Rows, is_known: NDArray[np.bool_], user: UserState, serving: ServingState
) -> tuple[Sequence[float | None], Sequence[float | None]]:
    """(n,) predicted ratings and their uncertainties; None before anything is learned."""
    ratings = serving.scorer.predict(user.side, _vectors(rows, is_known, serving))
    return null_where_nan(ratings), null_where_nan(serving.scorer.uncertainties(user.side, rows))


def _vectors(rows: Rows, is_known: NDArray[np.bool_], serving: ServingState) -> NDArray[np.float32]:
    """(n, d) the item side; of an unknown item, that of an item without ratings and features."""
    if is_known.all():
        return serving.vectors_of(rows)
    # Of an item that does not exist, nothing is known: the mean item side.
    vectors = np.tile(serving.scorer.arrays.unrated_item, (len(rows), 1))
    vectors[is_known] = serving.vectors_of(rows[is_known])
    return vectors
