"""The state that a request is answered from: versions of the user, what is served, what is configured, the time."""

import hashlib
import time
from asyncio import to_thread
from dataclasses import dataclass, replace

from app.serving.placement_config import CompiledPlacement, PlacementConfig, PlacementConfigHolder
from app.serving.query import ListOptions
from app.serving.serving_state import ServingState, ServingStateHolder
from app.store.serving_reads import ServingReads, UserVersions

MICROSECONDS_A_MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class RequestState:
    """One state for the whole request: every write acknowledged before it is in it.

    `now`: microseconds UTC, the only clock of the request.
    """

    user: UserVersions
    serving: ServingState
    config: PlacementConfig
    now: int

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
    """Reads the versions once a request, and catches up with what has changed."""

    def __init__(self, reads: ServingReads, serving: ServingStateHolder, config: PlacementConfigHolder) -> None:
        self._reads = reads
        self._serving = serving
        self._config = config

    async def read(self, user_id: str) -> RequestState:
        """The state of a request about the user. `user_id`: empty (not a valid id) if the request names no user."""
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
