"""The state that a request is answered from: versions of the user, what is served, what is configured, the time."""

import hashlib
import time
from asyncio import to_thread
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.entities import RatingScale
from app.errors import StorageUnavailableError
from app.observability.traces import span
from app.serving.known_users import KnownUsers
from app.serving.placement_config import CompiledPlacement, PlacementConfig, PlacementConfigHolder
from app.serving.query import ListOptions
from app.serving.serving_state import ServingState, ServingStateHolder
from app.store.serving_reads import ServingReads, UserVersions

MICROSECONDS_A_MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class RequestState:
    """One state for the whole request: every write acknowledged before it is in it, unless it is degraded.

    `now`: microseconds UTC, the only clock of the request.
    """

    user: UserVersions
    serving: ServingState
    config: PlacementConfig
    now: int

    @property
    def is_degraded(self) -> bool:
        """Whether it is the last one known, because the database does not answer."""
        return not self.user.is_current

    def with_placement(self, name: str, placement: CompiledPlacement) -> "RequestState":
        """The same state with another placement of this name."""
        config = replace(self.config, placements={**self.config.placements, name: placement})
        return replace(self, config=config)

    def entity_tag(self, question: bytes, options: ListOptions) -> str:
        """The same for as long as the answer to `question`, which names the user and the `options`, is the same.

        It is made of versions and the clock alone, so that any process may be sent the tag of another. Weak (RFC 9110):
        which of the sources proposed an item may change under the same tag. Where the list depends on the clock, a tag
        holds for a minute; where it depends on trends, or on popularity before anything is learned, until these are
        counted anew. Raises `UnknownPlacementError`.
        """
        serving, user = self.serving, self.user
        # A user whose profile was never written has no events; of others the profile is not read for a tag.
        plan = self.config.placement(options.placement).plan(
            serving, options.given, has_events=user.profile_version > 0
        )
        depends_on_clock = plan.depends_on_clock or options.depends_on_clock
        state = (
            user.generation,
            serving.version,
            serving.popularity_digest,
            serving.trends_digest if plan.depends_on_trends else b"",
            serving.catalogue.version,
            serving.catalogue.next_expiry(self.now),
            self.config.version,
            user.user_key,
            user.user_version,
            user.profile_version,
            self.now // MICROSECONDS_A_MINUTE if depends_on_clock else 0,
            question,
        )
        return f'W/"{hashlib.blake2b(repr(state).encode(), digest_size=12).hexdigest()}"'


class RequestStates:
    """Reads the versions once a request, and catches up with what has changed.

    While the database does not answer, a request gets the last known state, which is degraded. Whatever reads the
    database for an answer looks at that first, and takes what is remembered instead.
    """

    def __init__(
        self,
        reads: ServingReads,
        serving: ServingStateHolder,
        config: PlacementConfigHolder,
        known_users: KnownUsers,
        scale: RatingScale,
        count_degraded: Callable[[], None],
    ) -> None:
        """`scale`: of ratings, as known now. `count_degraded`: called for each state that is degraded."""
        self._count_degraded = count_degraded
        self._reads = reads
        self._serving = serving
        self._config = config
        self._known_users = known_users
        self._scale = scale

    async def read(self, user_id: str) -> RequestState:
        """The state of a request about the user. `user_id`: empty (not a valid id) if the request names no user."""
        try:
            with span("request state"):
                state = await self._current(user_id)
        except StorageUnavailableError:
            self._count_degraded()
            return self._last_known(user_id)
        self._known_users.note(user_id, state.user.user_key)
        return state

    async def scale(self, request_state: RequestState) -> RatingScale:
        """The rating scale."""
        if not request_state.is_degraded:
            self._scale = await self._reads.scale()
        return self._scale

    def _last_known(self, user_id: str) -> RequestState:
        serving, config = self._serving.current, self._config.current
        user = UserVersions(
            catalogue_version=serving.catalogue.version,
            placements_version=config.version,
            user_key=self._known_users.key_of(user_id),
            user_version=0,
            profile_version=0,
            generation=serving.generation,
            is_current=False,
        )
        return RequestState(user, serving, config, time.time_ns() // 1_000)

    async def _current(self, user_id: str) -> RequestState:
        user = await self._reads.freshness(user_id)
        if user.catalogue_version < self._serving.current.catalogue.version:
            # The database was restored, or another request has caught up since the versions were read.
            await to_thread(self._serving.check_generation)
            user = await self._reads.freshness(user_id)
        # Nothing remembered of another generation is used: its keys and versions may be those of other users.
        while user.generation != self._serving.current.generation:
            await to_thread(self._serving.check_generation)
            user = await self._reads.freshness(user_id)
        # Versions are read first: whatever is found older than these catches up before it is used.
        serving, config = self._serving.current, self._config.current
        if serving.catalogue.version < user.catalogue_version:
            await to_thread(serving.catalogue.refresh)  # an import may have changed all of it
        if config.version < user.placements_version or config.generation != user.generation:
            config = await to_thread(self._config.refresh, user.generation)
        return RequestState(user, serving, config, time.time_ns() // 1_000)
