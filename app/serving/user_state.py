"""What is known of a user now: the user side and the history, mapped from the snapshot or folded in if changed."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.entities import Rating, User
from app.observability.metrics import Lag
from app.scoring import Scorer, UserSide
from app.serving.interactions import EventTypeIndex, UserInteractions
from app.serving.rows import NO_ROWS, Rows, within
from app.serving.serving_state import ServingState
from app.store.serving_reads import Interactions, ServingReads, UserVersions

MAX_PROFILES = 20_000
"""Users whose profile a process remembers, each as of a version that every request compares."""

NO_VALUES: NDArray[np.float32] = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """What is stored of a user besides ratings, as of `version` (`users.profile_version`)."""

    version: int
    user: User | None
    interactions: Interactions | None


NO_PROFILE = StoredProfile(0, None, None)


@dataclass(frozen=True)
class UserState:
    """`strategy`: personalized, fold_in, profile or popular, as in `Recommendations`. `side`: of an unknown user where
    the strategy is popular. `rated_rows`: catalogue rows (n,) of all rated items, newest first; `values`: (n,) their
    ratings. `interactions`: None where no event of the user is stored. `profile`: the stored user with country and
    attributes, None where nothing but ratings is stored.
    """

    strategy: str
    user_key: int | None
    side: UserSide
    rated_rows: Rows = field(default_factory=lambda: NO_ROWS)
    values: NDArray[np.floating] = field(default_factory=lambda: NO_VALUES)
    interactions: UserInteractions | None = None
    profile: User | None = None

    @cached_property
    def positive_rows(self) -> Rows:
        """Items with positive events and no rating, newest first."""
        return NO_ROWS if self.interactions is None else self._unrated(self.interactions.positive_rows)

    @cached_property
    def negative_rows(self) -> Rows:
        """Items with events, none of them positive, and no rating, newest first."""
        return NO_ROWS if self.interactions is None else self._unrated(self.interactions.negative_rows)

    def _unrated(self, rows: Rows) -> Rows:
        return rows[~within(rows, self.rated_rows)]

    def liked_rows(self, liked_from: float) -> Rows:
        """Liked items, newest first; those with positive events alone before those rated."""
        rated = self.rated_rows[self.values >= liked_from]
        return rated if self.interactions is None else np.concatenate((self.positive_rows, rated))

    @property
    def n_known(self) -> int:
        """How many ratings and positive items the side was made of; items newer than the snapshot count, too."""
        if self.strategy not in {"personalized", "fold_in"}:
            return 0
        return len(self.rated_rows) + (0 if self.interactions is None else len(self.positive_rows))

    @property
    def is_unknown(self) -> bool:
        """Whether the side is that of an unknown user, because nothing stored says what this user likes."""
        return self.strategy == "popular"

    def side_of_liked(self, liked_rows: Rows, scorer: Scorer) -> UserSide:
        """The user side if these of the liked items, all learned, were the whole history."""
        is_rated, positive = within(self.rated_rows, liked_rows), self.positive_rows
        user = self.profile if scorer.folds_features else None
        positive = positive[within(positive, liked_rows)]
        return scorer.fold_in(self.rated_rows[is_rated], self.values[is_rated], user, positive)


class UserStates:
    """Loads what is known of users; shared by all requests of a process."""

    def __init__(self, reads: ServingReads, lag: Lag) -> None:
        self._reads = reads
        self._lag = lag
        self._profiles: OrderedDict[int, StoredProfile] = OrderedDict()

    async def load(self, user: UserVersions, serving: ServingState, event_types: EventTypeIndex) -> UserState:
        """The state of a stored user, or of an unknown one."""
        scorer, key = serving.scorer, user.user_key
        if key is None:
            return UserState("popular", None, scorer.unknown_side)
        # Without attributes and events, the common case, there is nothing to read.
        profile = await self._profile(key, user.profile_version) if user.profile_version else NO_PROFILE
        interactions = None
        if profile.interactions is not None:
            item_rows = serving.catalogue.rows_of_keys(profile.interactions.item_key)
            interactions = UserInteractions(profile.interactions, item_rows, event_types)
        # The snapshot holds the user side folded in from its history: on the same versions it is still right.
        row = scorer.user_row(key)
        if row is not None:
            learned_versions = scorer.arrays.user_versions[row], scorer.arrays.user_profile_versions[row]
            if learned_versions == (user.user_version, user.profile_version):  # nothing changed since
                rated, ratings = scorer.arrays.history(row)
                if len(rated) or (interactions is not None and len(interactions.positive_rows)):
                    side, rows = scorer.user_side(row), rated.astype(np.int64)
                    return UserState("personalized", key, side, rows, ratings, interactions, profile.user)
        # Anything that changed makes it a fold-in of the whole history as it is now.
        history = await self._reads.history(key)
        if len(history.rated_at):
            self._lag.took_effect("ratings", (key, user.user_version), int(history.rated_at[0]))
        rows, values = serving.catalogue.rows_of_keys(history.item_key), history.value
        exists = rows >= 0
        if not exists.all():  # an item deleted at this moment
            rows, values = rows[exists], values[exists]
        return self._folded_in(key, rows, values, serving, interactions, profile.user)

    def from_ratings(self, ratings: Sequence[Rating], serving: ServingState) -> UserState:
        """The state of a guest with these ratings, newest first, of whom nothing is stored."""
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
        """By the history where any of it is learned, else by attributes, else as an unknown user."""
        scorer, n_learned = serving.scorer, serving.n_learned
        unknown = UserState("popular", user_key, scorer.unknown_side, rows, values, interactions, user)
        positive = unknown.positive_rows[unknown.positive_rows < n_learned]
        negative = unknown.negative_rows[unknown.negative_rows < n_learned]
        # Ratings of items newer than the snapshot count once the next one knows these items.
        is_learned = rows < n_learned
        learned, rated = (rows, values) if is_learned.all() else (rows[is_learned], values[is_learned])
        if len(learned) or len(positive):
            with_features = user if scorer.folds_features else None
            side = scorer.fold_in(learned, rated, with_features, positive, negative)
            return UserState("fold_in", user_key, side, rows, values, interactions, user)
        by_attributes = scorer.side_of(user) if scorer.reads_users and user is not None else None
        if by_attributes is not None:
            return UserState("profile", user_key, by_attributes, rows, values, interactions, user)
        return unknown

    async def _profile(self, user_key: int, version: int) -> StoredProfile:
        """The user's profile as of this version or later."""
        held = self._profiles.get(user_key)
        if held is not None and held.version >= version:  # another request may have read a later one
            self._profiles.move_to_end(user_key)
            return held
        user, interactions = await self._reads.profile(user_key)
        profile = self._profiles[user_key] = StoredProfile(version, user, interactions)
        if interactions is not None:
            self._lag.took_effect("events", (user_key, version), int(interactions.last_at.max()))
        if len(self._profiles) > MAX_PROFILES:
            self._profiles.popitem(last=False)
        return profile
