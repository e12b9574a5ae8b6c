"""What is known of a user at this moment: the vector and the history, mapped, or folded in if anything changed."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.entities import Rating, User
from app.observability.lag import Lag
from app.serving.behaviour import Behaviour, Kinds
from app.serving.live import Live
from app.serving.rows import NO_ROWS, Rows, within
from app.snapshots import Snapshot, UserSide
from app.store.events import Interactions
from app.store.reads import Reads
from app.store.users import Freshness

MAX_PROFILES = 20_000
"""Users whose attributes and interactions a process remembers, as of a version that each request compares."""

NO_VALUES: NDArray[np.float32] = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a user beside ratings, as of `version` (`users.profile_version`)."""

    version: int
    user: User | None
    interactions: Interactions | None


NOTHING_KNOWN = Profile(0, None, None)


@dataclass(frozen=True)
class Taste:
    """`side`: None before anything is learned. `rated_rows`: catalogue rows of all rated items, newest first, and
    `values`, the ratings. `behaviour`: None where no event of the user is stored. `user`: None where nothing but
    ratings is known.
    """

    strategy: str
    user_key: int | None
    side: UserSide | None
    rated_rows: Rows = field(default_factory=lambda: NO_ROWS)
    values: NDArray[np.floating] = field(default_factory=lambda: NO_VALUES)
    behaviour: Behaviour | None = None
    user: User | None = None

    @cached_property
    def engaged_rows(self) -> Rows:
        """Items that were engaged with and not rated, newest first."""
        return NO_ROWS if self.behaviour is None else self._unrated(self.behaviour.engaged_rows)

    @cached_property
    def declined_rows(self) -> Rows:
        """Items that were shown, or more than that, and did not engage; not rated, newest first."""
        return NO_ROWS if self.behaviour is None else self._unrated(self.behaviour.declined_rows)

    def _unrated(self, rows: Rows) -> Rows:
        return rows[~within(rows, self.rated_rows)]

    def liked_rows(self, liked_from: float) -> Rows:
        """Items liked, newest first; those only engaged with before those rated."""
        rated = self.rated_rows[self.values >= liked_from]
        return rated if self.behaviour is None else np.concatenate((self.engaged_rows, rated))

    @property
    def n_known(self) -> int:
        """How many ratings and engagements the side was made of, or about as many: items newer than it count, too."""
        is_own = self.strategy in {"personalized", "fold_in"}
        return len(self.rated_rows) + len(self.engaged_rows) if is_own else 0

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known that says what the user likes."""
        return self.strategy == "popular"

    def side_of_liked(self, liked_rows: Rows, snapshot: Snapshot) -> UserSide:
        """The user side were these of the liked items, which the snapshot knows, all that was rated or engaged with."""
        is_rated, engaged = within(self.rated_rows, liked_rows), self.engaged_rows
        user = self.user if snapshot.folds_features else None
        engaged = engaged[within(engaged, liked_rows)]
        return snapshot.fold_in(self.rated_rows[is_rated], self.values[is_rated], user, engaged)


class Tastes:
    def __init__(self, reads: Reads, lag: Lag) -> None:
        self._reads = reads
        self._lag = lag
        self._profiles: OrderedDict[int, Profile] = OrderedDict()

    async def of(self, user: Freshness, live: Live, kinds: Kinds) -> Taste:
        """The taste of somebody stored, or of an unknown user."""
        snapshot = live.snapshot
        if user.user_key is None:
            return Taste("popular", None, _unknown(snapshot))
        profile = await self._profile(user.user_key, user.profile_version)
        behaviour = _behaviour(profile, live, kinds)
        row = None if snapshot is None else snapshot.user_row(user.user_key)
        if snapshot is not None and row is not None and _is_unchanged(snapshot, row, user):
            rated_rows, ratings = snapshot.history(row)
            side = snapshot.user_side(row)
            if len(rated_rows) or (behaviour is not None and len(behaviour.engaged_rows)):
                return Taste(
                    "personalized", user.user_key, side, rated_rows.astype(np.int64), ratings, behaviour, profile.user
                )
        history = await self._reads.history(user.user_key)
        if len(history.rated_at):
            self._lag.took_effect("ratings", (user.user_key, user.user_version), int(history.rated_at[0]))
        rows, values = live.catalogue.rows_of_keys(history.item_key), history.value
        is_there = rows >= 0
        if not is_there.all():  # seldom
            rows, values = rows[is_there], values[is_there]
        return self._folded_in(user.user_key, rows, values, live, behaviour, profile.user)

    def of_guest(self, ratings: Sequence[Rating], live: Live) -> Taste:
        """The taste of somebody with these ratings, newest first, of whom nothing is stored."""
        known = [(live.catalogue.row_of_id(rating.item_id), rating.value) for rating in ratings]
        rows = np.array([row for row, _ in known if row is not None], dtype=np.int64)
        values = np.array([value for row, value in known if row is not None])
        return self._folded_in(None, rows, values, live, None, None)

    @staticmethod
    def _folded_in(
        user_key: int | None,
        rows: Rows,
        values: NDArray[np.floating],
        live: Live,
        behaviour: Behaviour | None,
        user: User | None,
    ) -> Taste:
        snapshot = live.snapshot
        if snapshot is None:
            return Taste("popular", user_key, None, rows, values, behaviour, user)
        known = Taste("", user_key, None, rows, values, behaviour)
        engaged, declined = (each[each < live.n_learned] for each in (known.engaged_rows, known.declined_rows))
        is_learned = rows < live.n_learned
        learned, rated = (rows, values) if is_learned.all() else (rows[is_learned], values[is_learned])
        if len(learned) or len(engaged):
            described = user if snapshot.folds_features else None
            side = snapshot.fold_in(learned, rated, described, engaged, declined)
            return Taste("fold_in", user_key, side, rows, values, behaviour, user)
        by_attributes = snapshot.side_of(user) if snapshot.reads_users and user is not None else None
        if by_attributes is not None:
            return Taste("profile", user_key, by_attributes, rows, values, behaviour, user)
        return Taste("popular", user_key, snapshot.unknown_side, rows, values, behaviour, user)

    async def _profile(self, user_key: int, version: int) -> Profile:
        if version == 0:  # no attributes, no events: the common case costs no read
            return NOTHING_KNOWN
        held = self._profiles.get(user_key)
        if held is not None and held.version >= version:
            self._profiles.move_to_end(user_key)
        else:
            user, interactions = await self._reads.profile(user_key)
            held = Profile(version, user, interactions)
            if interactions is not None:
                self._lag.took_effect("events", (user_key, version), int(interactions.last_at.max()))
            self._profiles[user_key] = held
            if len(self._profiles) > MAX_PROFILES:
                self._profiles.popitem(last=False)
        return held


def _is_unchanged(snapshot: Snapshot, row: int, user: Freshness) -> bool:
    versions = snapshot.user_versions[row], snapshot.user_profile_versions[row]
    return bool(versions == (user.user_version, user.profile_version))


def _behaviour(profile: Profile, live: Live, kinds: Kinds) -> Behaviour | None:
    if profile.interactions is None:
        return None
    return Behaviour(profile.interactions, live.catalogue.rows_of_keys(profile.interactions.item_key), kinds)


def _unknown(snapshot: Snapshot | None) -> UserSide | None:
    return None if snapshot is None else snapshot.unknown_side
