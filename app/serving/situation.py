"""How things stand when a request arrives: what is stored of the user, what is served, what is declared."""

import hashlib
from asyncio import to_thread
from dataclasses import dataclass, replace

from app.serving.declared import Declarations, Declared, Rulebook
from app.serving.live import Live, LiveSnapshot
from app.serving.query import Wishes
from app.store.reads import Reads
from app.store.users import Freshness

MICROSECONDS_A_MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class Situation:
    """One state of affairs for the whole of a request; whatever was acknowledged before it is in it."""

    user: Freshness
    live: Live
    declared: Declarations

    def with_rulebook(self, name: str, rulebook: Rulebook) -> "Situation":
        """The same, were this placement as told."""
        declared = replace(self.declared, rulebooks={**self.declared.rulebooks, name: rulebook})
        return replace(self, declared=declared)

    def entity_tag(self, question: bytes, wishes: Wishes, now: int) -> str:
        """The same while the same question has the same answer: `question` names the user and the `wishes`, `now` is in
        microseconds UTC. Made of data and the clock alone: any process may be shown the tag of another.

        Weak (RFC 9110): what trends may change who is named as a source. Where rules look at the clock, for a minute;
        where popularity decides, or trends do, by a placement's choice of sources or by a rule of order, until these
        are counted anew. Raises `UnknownPlacementError`.
        """
        rulebook = self.declared.rulebook(wishes.placement)
        may_rotate = self.user.profile_version > 0 and rulebook.placement.rotation > 0
        looks_at_clock = rulebook.changes_with_time or wishes.looks_at_clock or may_rotate
        depends_on_trends = rulebook.depends_on_trends or wishes.boost is not None or may_rotate
        state = (
            self.live.version,
            self.live.popularity_digest,
            self.live.trends_digest if depends_on_trends else b"",
            self.live.catalogue.version,
            self.live.catalogue.next_expiry(now),
            self.declared.version,
            self.user.user_key,
            self.user.user_version,
            self.user.profile_version,
            now // MICROSECONDS_A_MINUTE if looks_at_clock else 0,
            question,
        )
        return f'W/"{hashlib.blake2b(repr(state).encode(), digest_size=12).hexdigest()}"'


class Situations:
    """Reads the versions once a request, and catches up with whatever changed."""

    def __init__(self, reads: Reads, live: LiveSnapshot, declared: Declared) -> None:
        self._reads = reads
        self._live = live
        self._declared = declared

    async def of(self, user_id: str) -> Situation:
        """The situation of a request about this user; any other text for one about nobody."""
        user = await self._reads.freshness(user_id)
        live = await self._live.at(user.catalogue_version)
        declared = self._declared.current
        if declared.version < user.placements_version:
            declared = await to_thread(self._declared.refresh)
        return Situation(user, live, declared)
