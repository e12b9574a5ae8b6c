"""Users whose taste is like a user's."""

from asyncio import to_thread
from dataclasses import dataclass

from app.errors import NotFoundError
from app.serving.live import Live
from app.serving.situation import Situation
from app.serving.tastes import Taste, Tastes
from app.store.users import Users


@dataclass(slots=True)
class SimilarUser:
    """`similarity`: cosine of the two tastes, shrunk by n / (n + 10) ratings of the other; above 0."""

    user_id: str
    similarity: float


@dataclass(slots=True)
class SimilarUsers:
    """`strategy`: what the user was known by, as of recommendations."""

    user_id: str
    snapshot_version: int | None
    strategy: str
    users: list[SimilarUser]


class Neighbourhood:
    def __init__(self, tastes: Tastes, users: Users) -> None:
        self._tastes = tastes
        self._users = users

    async def similar_users(self, user_id: str, limit: int, situation: Situation) -> SimilarUsers:
        """The most similar users of the snapshot, best first; none for somebody whose taste is not known.

        Raises `NotFoundError` for an unknown user.
        """
        if situation.user.user_key is None:
            raise NotFoundError("user", user_id)
        live = situation.live
        taste = await self._tastes.of(situation.user, live, situation.declared.kinds)
        found = await to_thread(self._found, taste, limit, live)  # a scan of all users
        return SimilarUsers(user_id, live.version, taste.strategy, found)

    def _found(self, taste: Taste, limit: int, live: Live) -> list[SimilarUser]:
        snapshot = live.snapshot
        if snapshot is None or taste.side is None or taste.is_unknown:
            return []
        own_row = None if taste.user_key is None else snapshot.user_row(taste.user_key)
        n = limit
        while True:  # widen until enough of them still exist
            rows, similarities = snapshot.similar_users(taste.side, n, own_row)
            keys = snapshot.user_keys[rows].tolist()
            ids = self._users.ids_of(keys)
            if len(ids) >= limit or len(rows) < n:
                break
            n *= 4
        found = [(ids[key], value) for key, value in zip(keys, similarities.tolist(), strict=True) if key in ids]
        return [SimilarUser(user_id, round(value, 5)) for user_id, value in found[:limit]]
