"""How things stand when a request arrives: what is stored of the user, what is served, what is declared."""

import hashlib
from asyncio import to_thread
from dataclasses import dataclass, replace

from app.serving.placement_config import CompiledPlacement, PlacementConfig, PlacementConfigHolder
from app.serving.query import ListOptions
from app.serving.serving_state import ServingState, ServingStateHolder
from app.store.serving_reads import ServingReads
from app.store.users import UserVersions

MICROSECONDS_A_MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class RequestState:
    """One state of affairs for the whole of a request; whatever was acknowledged before it is in it."""

    user: UserVersions
    serving: ServingState
    config: PlacementConfig

    def with_placement(self, name: str, placement: CompiledPlacement) -> "RequestState":
        """The same, were this placement as told."""
        config = replace(self.config, placements={**self.config.placements, name: placement})
        return replace(self, config=config)

    def entity_tag(self, question: bytes, options: ListOptions, now: int) -> str:
        """The same while the same question has the same answer: `question` names the user and the `options`, `now` is
        in microseconds UTC. Made of data and the clock alone: any process may be shown the tag of another.

        Weak (RFC 9110): what trends may change who is named as a source. Where rules look at the clock, for a minute;
        where popularity decides, or trends do, by a placement's choice of sources or by a rule of order, until these
        are counted anew. Raises `UnknownPlacementError`.
        """
        placement = self.config.placement(options.placement)
        may_rotate = self.user.profile_version > 0 and placement.settings.rotation > 0
        looks_at_clock = placement.changes_with_time or options.looks_at_clock or may_rotate
        depends_on_trends = placement.depends_on_trends or options.boost is not None or may_rotate
        state = (
            self.serving.version,
            self.serving.popularity_digest,
            self.serving.trends_digest if depends_on_trends else b"",
            self.serving.catalogue.version,
            self.serving.catalogue.next_expiry(now),
            self.config.version,
            self.user.user_key,
            self.user.user_version,
            self.user.profile_version,
            now // MICROSECONDS_A_MINUTE if looks_at_clock else 0,
            question,
        )
        return f'W/"{hashlib.blake2b(repr(state).encode(), digest_size=12).hexdigest()}"'


class RequestStates:
    """Reads the versions once a request, and catches up with whatever changed."""

    def __init__(self, reads: ServingReads, serving: ServingStateHolder, config: PlacementConfigHolder) -> None:
        self._reads = reads
        self._serving = serving
        self._config = config

    async def read(self, user_id: str) -> RequestState:
        """The situation of a request about this user; any other text for one about nobody."""
        user = await self._reads.freshness(user_id)
        serving = await self._serving.at(user.catalogue_version)
        config = self._config.current
        if config.version < user.placements_version:
            config = await to_thread(self._config.refresh)
        return RequestState(user, serving, config)
