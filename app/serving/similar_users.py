"""Users similar to a user."""

from asyncio import to_thread
from dataclasses import dataclass

from app.errors import NotFoundError, StorageUnavailableError
from app.serving.request_state import RequestState
from app.serving.serving_state import ServingState
from app.serving.user_state import UserState, UserStates
from app.store.users import Users


@dataclass(slots=True)
class SimilarUser:
    """`similarity`: cosine of the two user sides, shrunk by n / (n + 10) ratings of the other user; above 0."""

    user_id: str
    similarity: float


@dataclass(slots=True)
class SimilarUsers:
    """`strategy`: how the user side was made, as in `Recommendations`."""

    user_id: str
    snapshot_version: int | None
    strategy: str
    users: list[SimilarUser]


class SimilarUserFinder:
    def __init__(self, user_states: UserStates, users: Users) -> None:
        self._user_states = user_states
        self._users = users

    async def similar_users(self, user_id: str, limit: int, request_state: RequestState) -> SimilarUsers:
        """The most similar users of the snapshot, best first; none for a user of whom nothing is known.

        Raises `NotFoundError` for an unknown user, `StorageUnavailableError` for a degraded state: the snapshot knows
        users by key alone.
        """
        if request_state.is_degraded:
            raise StorageUnavailableError("ids of users are not known while the database does not answer")
        if request_state.user.user_key is None:
            raise NotFoundError("user", user_id)
        serving = request_state.serving
        user = await self._user_states.load(request_state.user, serving, request_state.config.event_types)
        similar = await to_thread(self._existing, user, limit, serving)  # a scan of all users
        return SimilarUsers(user_id, serving.version, user.strategy, similar)

    def _existing(self, user: UserState, limit: int, serving: ServingState) -> list[SimilarUser]:
        scorer = serving.scorer
        if user.is_unknown:
            return []
        own_row = None if user.user_key is None else scorer.user_row(user.user_key)
        n = limit
        while True:  # until enough of them still exist
            rows, similarities = scorer.similar_users(user.side, n, own_row)
            keys = scorer.arrays.user_keys[rows].tolist()
            ids = self._users.ids_of(keys)
            if len(ids) >= limit or len(rows) < n:
                break
            n *= 4
        existing = [(ids[key], value) for key, value in zip(keys, similarities.tolist(), strict=True) if key in ids]
        return [SimilarUser(user_id, round(value, 5)) for user_id, value in existing[:limit]]
