"""What is known of a user now: the user side and the history, mapped from the snapshot or folded in if changed."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.entities import Rating, User
from app.observability.metrics import Lag
from app.scoring import Observations, Scorer, UserSide
from app.serving.guests import GuestEvent, interactions_of
from app.serving.interactions import VIEWED, EventTypeIndex, UserInteractions
from app.serving.rows import NO_ROWS, Rows, within
from app.serving.serving_state import ServingState
from app.serving.work_threads import WorkThreads
from app.store.read_replica import State
from app.store.serving_reads import Interactions, RatingHistory, ServingReads, UserVersions

MAX_PROFILES = 20_000
"""Users whose profile a process remembers, each as of a version that every request compares."""

MAX_HISTORY_BYTES = 16 << 20
HISTORY_OVERHEAD_BYTES = 700
AN_OBSERVATION = 2.0
"""Microseconds that a fold-in takes for each rating and event, estimated."""

NO_VALUES: NDArray[np.float32] = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """What is stored of a user besides ratings, as of `version` (`users.profile_version`)."""

    version: int
    user: User | None
    interactions: Interactions | None


NO_PROFILE = StoredProfile(0, None, None)


class Histories:
    """Ratings of users as of a version each, up to 16 MB; those asked for least recently are dropped first."""

    def __init__(self) -> None:
        # By generation of the database and user key: keys repeat after a restore.
        self._held: OrderedDict[tuple[str, int], tuple[int, RatingHistory]] = OrderedDict()
        self._n_bytes = 0

    def get(self, place: tuple[str, int]) -> tuple[int, RatingHistory] | None:
        """The version and the ratings."""
        held = self._held.get(place)
        if held is not None:
            self._held.move_to_end(place)
        return held

    def put(self, place: tuple[str, int], version: int, history: RatingHistory) -> None:
        replaced = self._held.pop(place, None)
        if replaced is not None:
            self._n_bytes -= self._size(replaced[1])
        self._held[place] = version, history
        self._n_bytes += self._size(history)
        while self._n_bytes > MAX_HISTORY_BYTES:
            _, (_, dropped) = self._held.popitem(last=False)
            self._n_bytes -= self._size(dropped)

    @staticmethod
    def _size(history: RatingHistory) -> int:
        return history.item_key.nbytes + history.value.nbytes + history.rated_at.nbytes + HISTORY_OVERHEAD_BYTES


@dataclass(frozen=True)
class UserState:
    """`strategy`: personalized, fold_in, profile or popular, as in `Recommendations`. `side`: of an unknown user where
    the strategy is popular. `rated_rows`: catalogue rows (n,) of all rated items, newest first; `values`: (n,) their
    ratings; `rated_at`: (n,) their times, None for a guest without events, whose ratings come newest first.
    `interactions`: None where no event of the user is known. `profile`: the stored user with country and attributes,
    None where nothing but ratings is stored.
    """

    strategy: str
    user_key: int | None
    side: UserSide
    rated_rows: Rows = field(default_factory=lambda: NO_ROWS)
    values: NDArray[np.floating] = field(default_factory=lambda: NO_VALUES)
    interactions: UserInteractions | None = None
    profile: User | None = None
    rated_at: NDArray[np.int64] | None = None

    @cached_property
    def positive_rows(self) -> Rows:
        """Items with positive events and no rating, newest first."""
        return self._positive[0]

    @property
    def positive_at(self) -> NDArray[np.int64]:
        """The times of the last events of `positive_rows`, microseconds UTC."""
        return self._positive[1]

    @cached_property
    def _positive(self) -> tuple[Rows, NDArray[np.int64]]:
        if self.interactions is None:
            return NO_ROWS, NO_ROWS
        rows, times = self.interactions.positive_rows, self.interactions.positive_at
        is_unrated = ~within(rows, self.rated_rows)
        return rows[is_unrated], times[is_unrated]

    @cached_property
    def negative_rows(self) -> Rows:
        """Items with events, none of them positive, and no rating, newest first."""
        if self.interactions is None:
            return NO_ROWS
        rows = self.interactions.negative_rows
        return rows[~within(rows, self.rated_rows)]

    def learned(self, n_learned: int) -> Observations:
        """The observations of the rows below `n_learned`: what a scorer can fold in."""
        rows, values, times = self.rated_rows, self.values, self.rated_at
        positive_rows, positive_at = self._positive
        negative_rows = self.negative_rows
        # Ratings of items newer than the snapshot count once the next one knows these items.
        if not (is_learned := rows < n_learned).all():
            rows, values, times = rows[is_learned], values[is_learned], None if times is None else times[is_learned]
        if len(positive_rows):
            is_learned = positive_rows < n_learned
            positive_rows, positive_at = positive_rows[is_learned], positive_at[is_learned]
        if len(negative_rows):
            negative_rows = negative_rows[negative_rows < n_learned]
        return Observations(rows, values, positive_rows, negative_rows, rated_at=times, positive_at=positive_at)

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
        is_rated, is_positive = within(self.rated_rows, liked_rows), within(self.positive_rows, liked_rows)
        observed = Observations(
            self.rated_rows[is_rated],
            self.values[is_rated],
            self.positive_rows[is_positive],
            rated_at=None if self.rated_at is None else self.rated_at[is_rated],
            positive_at=self.positive_at[is_positive],
        )
        return scorer.fold_in(observed, self.profile if scorer.folds_features else None)


class UserStates:
    """Loads what is known of users; shared by all requests of a process."""

    def __init__(self, reads: ServingReads, lag: Lag, threads: WorkThreads) -> None:
        self._reads = reads
        self._lag = lag
        self._threads = threads
        # By generation of the database and user key: keys repeat after a restore.
        self._profiles: OrderedDict[tuple[str, int], StoredProfile] = OrderedDict()
        self._histories = Histories()

    def forget(self) -> None:
        """Drops what is remembered of all users. For any thread: requests in flight go on with what they hold."""
        self._profiles = OrderedDict()
        self._histories = Histories()

    async def load(self, user: UserVersions, serving: ServingState, event_types: EventTypeIndex) -> UserState:
        """The state of a stored user, or of an unknown one; the last one known if `user` is not current."""
        scorer, key = serving.scorer, user.user_key
        if key is None:
            return UserState("popular", None, scorer.unknown_side)
        if not user.is_current:
            user = self._last_known(user, key, scorer)
        # Without attributes and events, the common case, there is nothing to read.
        profile = await self._profile(user, key, scorer, event_types) if user.profile_version else NO_PROFILE
        interactions = None
        if profile.interactions is not None:
            item_rows = serving.catalogue.rows_of_keys(profile.interactions.item_key)
            interactions = UserInteractions(profile.interactions, item_rows, event_types)
        # The snapshot holds the user side folded in from its history: on the same versions it is still right.
        row = scorer.user_row(key)
        if row is not None:
            learned_versions = scorer.arrays.user_versions[row], scorer.arrays.user_profile_versions[row]
            if learned_versions == (user.user_version, user.profile_version):  # nothing changed since
                rated, ratings, rated_at = scorer.arrays.history(row)
                if len(rated) or (interactions is not None and len(interactions.positive_rows)):
                    side, rows = scorer.user_side(row), rated.astype(np.int64)
                    return UserState("personalized", key, side, rows, ratings, interactions, profile.user, rated_at)
        # Anything that changed makes it a fold-in of the whole history as it is now.
        history = await self._history(user, key, scorer)
        rows, values, rated_at = serving.catalogue.rows_of_keys(history.item_key), history.value, history.rated_at
        exists = rows >= 0
        if not exists.all():  # an item deleted at this moment
            rows, values, rated_at = rows[exists], values[exists], rated_at[exists]
        unknown = UserState("popular", key, scorer.unknown_side, rows, values, interactions, profile.user, rated_at)
        n_observed = len(rows) + (0 if interactions is None else len(interactions.rows))
        return await self._threads.run(n_observed * AN_OBSERVATION, self._folded_in, unknown, serving)

    async def of_guest(
        self,
        ratings: Sequence[Rating],
        events: Sequence[GuestEvent],
        serving: ServingState,
        event_types: EventTypeIndex,
    ) -> UserState:
        """The state of a guest with these ratings, newest first, and these events, of whom nothing is stored."""
        cost = (len(ratings) + len(events)) * AN_OBSERVATION
        return await self._threads.run(cost, self._of_guest, ratings, events, serving, event_types)

    def _of_guest(
        self,
        ratings: Sequence[Rating],
        events: Sequence[GuestEvent],
        serving: ServingState,
        event_types: EventTypeIndex,
    ) -> UserState:
        known = [(serving.catalogue.row_of_id(rating.item_id), rating.value) for rating in ratings]
        rows = np.array([row for row, _ in known if row is not None], dtype=np.int64)
        values = np.array([value for row, value in known if row is not None])
        interactions = interactions_of(events, event_types, serving.catalogue) if events else None
        rated_at = None
        if interactions is not None:
            # The ratings have an order and no times: they get some that are older than all events.
            rated_at = interactions.interactions.first_at.min() - 1 - np.arange(len(rows))
        unknown = UserState("popular", None, serving.scorer.unknown_side, rows, values, interactions, rated_at=rated_at)
        return self._folded_in(unknown, serving)

    @staticmethod
    def _folded_in(unknown: UserState, serving: ServingState) -> UserState:
        """By the history where any of it is learned, else by attributes, else `unknown` itself."""
        scorer, user = serving.scorer, unknown.profile
        learned = unknown.learned(serving.n_learned)
        if len(learned.item_rows) or len(learned.positive_rows):
            side = scorer.fold_in(learned, user if scorer.folds_features else None)
            return replace(unknown, strategy="fold_in", side=side)
        by_attributes = scorer.side_of(user) if scorer.reads_users and user is not None else None
        if by_attributes is not None:
            return replace(unknown, strategy="profile", side=by_attributes)
        return unknown

    def _last_known(self, user: UserVersions, key: int, scorer: Scorer) -> UserVersions:
        """The versions that are remembered, or those of the snapshot where it is newer or nothing is remembered."""
        place, row = (user.generation, key), scorer.user_row(key)
        held, profile = self._histories.get(_place(user, key, scorer)), self._profiles.get(place)
        learned = (
            (0, 0) if row is None else (scorer.arrays.user_versions[row], scorer.arrays.user_profile_versions[row])
        )
        return replace(
            user,
            user_version=max(int(learned[0]), 0 if held is None else held[0]),
            profile_version=max(int(learned[1]), 0 if profile is None else profile.version),
        )

    async def _history(self, user: UserVersions, user_key: int, scorer: Scorer) -> RatingHistory:
        """The user's ratings as of this version or later; those of the snapshot where no later ones are remembered."""
        place, version = _place(user, user_key, scorer), user.user_version
        held = self._histories.get(place)
        if held is not None and held[0] >= version:
            return held[1]
        if not user.is_current:
            return mapped_history(user_key, scorer)
        if scorer.holds_histories:
            # The database has what was rated since, and the snapshot the rest.
            history = (await self._reads.changes(user_key)).over(mapped_history(user_key, scorer))
        else:
            history = await self._reads.history(user_key, State(user.generation, version))
        self._histories.put(place, version, history)
        if len(history.rated_at):
            self._lag.took_effect("ratings", (user_key, version), int(history.rated_at[0]))
        return history

    async def _profile(
        self, user: UserVersions, user_key: int, scorer: Scorer, event_types: EventTypeIndex
    ) -> StoredProfile:
        """The user's profile as of this version or later; that of the snapshot where no later one is remembered."""
        place, version, profiles = (user.generation, user_key), user.profile_version, self._profiles
        held = profiles.get(place)
        if held is not None and held.version >= version:  # another request may have read a later one
            profiles.move_to_end(place)
            return held
        if not user.is_current:
            known = None if held is None else held.user
            return StoredProfile(version, known, mapped_interactions(user_key, scorer, event_types))
        stored, interactions = await self._reads.profile(user_key, State(user.generation, version))
        profile = profiles[place] = StoredProfile(version, stored, interactions)
        if interactions is not None:
            self._lag.took_effect("events", (user_key, version), int(interactions.last_at.max()))
        if len(profiles) > MAX_PROFILES:
            profiles.popitem(last=False)
        return profile


def _place(user: UserVersions, user_key: int, scorer: Scorer) -> tuple[str, int]:
    """Where the history of a user is held: one that a snapshot completes is held for each snapshot."""
    return (f"{user.generation}/{scorer.version}" if scorer.holds_histories else user.generation), user_key


def mapped_history(user_key: int, scorer: Scorer) -> RatingHistory:
    """The ratings that the snapshot holds of the user; none of a user who is newer."""
    row, arrays = scorer.user_row(user_key), scorer.arrays
    if row is None:
        return RatingHistory(NO_ROWS, np.empty(0), NO_ROWS)
    rated, values, rated_at = arrays.history(row)
    return RatingHistory(arrays.item_keys[rated], values.astype(np.float64), rated_at.astype(np.int64))


def mapped_interactions(user_key: int, scorer: Scorer, event_types: EventTypeIndex) -> Interactions | None:
    """The items with positive events that the snapshot holds of the user, None without any.

    The snapshot does not say which types the events had. They count as a consumption where such a type is declared: to
    leave out what was only clicked does less harm than to show what was bought.
    """
    row, arrays = scorer.user_row(user_key), scorer.arrays
    rows, times, _ = (NO_ROWS, NO_ROWS, NO_ROWS) if row is None else arrays.labels(row)
    if not len(rows):
        return None
    type_key = event_types.consumptions[0] if len(event_types.consumptions) else VIEWED
    return Interactions(
        item_key=arrays.item_keys[rows],
        type_key=np.full(len(rows), type_key, np.int64),
        count=np.ones(len(rows), np.int64),
        first_at=times,
        last_at=times,
        portion=np.full(len(rows), np.nan),
    )
