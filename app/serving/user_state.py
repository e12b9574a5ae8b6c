"""What is known of a user at this moment: the vector and the history, mapped, or folded in if anything changed."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.entities import Rating, User
from app.observability.lag import Lag
from app.serving.interactions import EventTypeIndex, UserInteractions
from app.serving.rows import NO_ROWS, Rows, within
from app.serving.serving_state import ServingState
from app.snapshots import Snapshot, UserSide
from app.store.events import Interactions
from app.store.serving_reads import ServingReads
from app.store.users import UserVersions

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
class UserState:
    """`side`: None before anything is learned. `rated_rows`: catalogue rows of all rated items, newest first, and
    `values`, the ratings. `interactions`: None where no event of the user is stored. `profile`: None where nothing but
    ratings is known.
    """

    strategy: str
    user_key: int | None
    side: UserSide | None
    rated_rows: Rows = field(default_factory=lambda: NO_ROWS)
    values: NDArray[np.floating] = field(default_factory=lambda: NO_VALUES)
    interactions: UserInteractions | None = None
    profile: User | None = None

    @cached_property
    def positive_rows(self) -> Rows:
        """Items that were engaged with and not rated, newest first."""
        return NO_ROWS if self.interactions is None else self._unrated(self.interactions.positive_rows)

    @cached_property
    def negative_rows(self) -> Rows:
        """Items that were shown, or more than that, and did not engage; not rated, newest first."""
        return NO_ROWS if self.interactions is None else self._unrated(self.interactions.negative_rows)

    def _unrated(self, rows: Rows) -> Rows:
        return rows[~within(rows, self.rated_rows)]

    def liked_rows(self, liked_from: float) -> Rows:
        """Items liked, newest first; those only engaged with before those rated."""
        rated = self.rated_rows[self.values >= liked_from]
        return rated if self.interactions is None else np.concatenate((self.positive_rows, rated))

    @property
    def n_known(self) -> int:
        """How many ratings and engagements the side was made of, or about as many: items newer than it count, too."""
        is_own = self.strategy in {"personalized", "fold_in"}
        return len(self.rated_rows) + len(self.positive_rows) if is_own else 0

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known that says what the user likes."""
        return self.strategy == "popular"

    def side_of_liked(self, liked_rows: Rows, snapshot: Snapshot) -> UserSide:
        """The user side were these of the liked items, which the snapshot knows, all that was rated or engaged with."""
        is_rated, positive = within(self.rated_rows, liked_rows), self.positive_rows
        user = self.profile if snapshot.folds_features else None
        positive = positive[within(positive, liked_rows)]
        return snapshot.fold_in(self.rated_rows[is_rated], self.values[is_rated], user, positive)


class UserStates:
    def __init__(self, reads: ServingReads, lag: Lag) -> None:
        self._reads = reads
        self._lag = lag
        self._profiles: OrderedDict[int, Profile] = OrderedDict()

    async def load(self, user: UserVersions, serving: ServingState, event_types: EventTypeIndex) -> UserState:
        """The taste of somebody stored, or of an unknown user."""
        snapshot = serving.snapshot
        if user.user_key is None:
            return UserState("popular", None, _unknown(snapshot))
        profile = await self._profile(user.user_key, user.profile_version)
        interactions = _interactions(profile, serving, event_types)
        row = None if snapshot is None else snapshot.user_row(user.user_key)
        if snapshot is not None and row is not None and _is_unchanged(snapshot, row, user):
            rated_rows, ratings = snapshot.history(row)
            side = snapshot.user_side(row)
            if len(rated_rows) or (interactions is not None and len(interactions.positive_rows)):
                return UserState(
                    "personalized",
                    user.user_key,
                    side,
                    rated_rows.astype(np.int64),
                    ratings,
                    interactions,
                    profile.user,
                )
        history = await self._reads.history(user.user_key)
        if len(history.rated_at):
            self._lag.took_effect("ratings", (user.user_key, user.user_version), int(history.rated_at[0]))
        rows, values = serving.catalogue.rows_of_keys(history.item_key), history.value
        is_there = rows >= 0
        if not is_there.all():  # seldom
            rows, values = rows[is_there], values[is_there]
        return self._folded_in(user.user_key, rows, values, serving, interactions, profile.user)

    def from_ratings(self, ratings: Sequence[Rating], serving: ServingState) -> UserState:
        """The taste of somebody with these ratings, newest first, of whom nothing is stored."""
        known = [(serving.catalogue.row_of_id(rating.item_id), rating.value) for rating in ratings]
        rows = np.array([row for row, _ in known if row is not None], dtype=np.int64)
        values = np.array([value for row, value in known if row is not None])
        return self._folded_in(None, rows, values, serving, None, None)

    @staticmethod
    def _folded_in(
        user_key: int | None,
        rows: Rows,
        values: NDArray[np.floating],
        serving: ServingState,
        interactions: UserInteractions | None,
        user: User | None,
    ) -> UserState:
        snapshot = serving.snapshot
        if snapshot is None:
            return UserState("popular", user_key, None, rows, values, interactions, user)
        known = UserState("", user_key, None, rows, values, interactions)
        positive, negative = (each[each < serving.n_learned] for each in (known.positive_rows, known.negative_rows))
        is_learned = rows < serving.n_learned
        learned, rated = (rows, values) if is_learned.all() else (rows[is_learned], values[is_learned])
        if len(learned) or len(positive):
            described = user if snapshot.folds_features else None
            side = snapshot.fold_in(learned, rated, described, positive, negative)
            return UserState("fold_in", user_key, side, rows, values, interactions, user)
        by_attributes = snapshot.side_of(user) if snapshot.reads_users and user is not None else None
        if by_attributes is not None:
            return UserState("profile", user_key, by_attributes, rows, values, interactions, user)
        return UserState("popular", user_key, snapshot.unknown_side, rows, values, interactions, user)

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


def _is_unchanged(snapshot: Snapshot, row: int, user: UserVersions) -> bool:
    versions = snapshot.user_versions[row], snapshot.user_profile_versions[row]
    return bool(versions == (user.user_version, user.profile_version))


def _interactions(profile: Profile, serving: ServingState, event_types: EventTypeIndex) -> UserInteractions | None:
    if profile.interactions is None:
        return None
    return UserInteractions(
        profile.interactions, serving.catalogue.rows_of_keys(profile.interactions.item_key), event_types
    )


def _unknown(snapshot: Snapshot | None) -> UserSide | None:
    return None if snapshot is None else snapshot.unknown_side
