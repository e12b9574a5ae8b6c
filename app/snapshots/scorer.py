"""The vectors of a snapshot at work: whoever rated anything folded in, scores foretold and taken apart again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.engagement_fold_in import EngagementFoldIn
from app.algorithms.feature_map import crossed
from app.algorithms.taste_vectors import TasteFoldIn
from app.entities import Item, RatingScale, User
from app.snapshots.arrays import NO_ROWS, SnapshotArrays
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.features import Encodings, item_table, user_table
from app.snapshots.manifest import Manifest, Segment
from app.snapshots.segments import ENGAGEMENT, PRIOR, RATING, TASTE, RatingFold, prior_parts
from app.snapshots.sides import covariance_blocks, join_one, join_user_parts, part_scales, popular_side
from app.snapshots.towers import TOWERS, TowersFold

UNDESCRIBED = User("undescribed")
ONE = prior_parts(1)[0]

Spoken = tuple[NDArray[np.integer], NDArray[np.floating]]
"""Item rows (m,), and (m,) what each was rated, or counts as."""


class UserSide(NamedTuple):
    """One user: the weighted vector (d,) float32 whose dot product with an item's row is the score, and b_u.

    `deviation`: what is not known of the user, in the rating scale, see `Snapshot.deviations`.
    """

    vector: NDArray[np.float32]
    bias: float
    deviation: float


@dataclass(frozen=True)
class Scorer(SnapshotArrays):
    """All that is dot products and regressions; `Snapshot` adds how items are found. See `SnapshotArrays`."""

    manifest: Manifest
    encodings: Encodings

    @property
    def n_items(self) -> int:
        return len(self.item_keys)

    def user_side(self, user_row: int) -> UserSide:
        return UserSide(
            self.user_vectors[user_row], float(self.user_biases[user_row]), float(self.user_deviations[user_row])
        )

    def fold_in(
        self,
        item_rows: NDArray[np.integer],
        values: NDArray[np.floating],
        user: User | None = None,
        positive_rows: NDArray[np.integer] = NO_ROWS,
        negative_rows: NDArray[np.integer] = NO_ROWS,
    ) -> UserSide:
        """The user side of somebody with these ratings: the arithmetic that made `user_vectors`, for one user.

        `item_rows`, `values`: (m,), in the rating scale. `user`: asked for where `folds_features`. `positive_rows`,
        `negative_rows`: of other items, by what events say. With neither ratings nor engagements: `unknown_side`. On an
        unchanged history it agrees with the stored user side to 1e-4.
        """
        if not len(item_rows) and not len(positive_rows) and user is None:
            return self.unknown_side
        (item_rows, values), (chosen, sizes), observed = self._spoken(item_rows, values, positive_rows, negative_rows)
        rated = self.item_vectors.take(item_rows, axis=0)
        part, bias, deviation = self.rating_fold.part(rated[:, self.rating.slice], values)
        parts = {RATING: part, PRIOR: ONE}
        if self._taste is not None:
            vectors = rated if chosen is item_rows else self.item_vectors.take(chosen, axis=0)
            parts[TASTE] = self._taste_fold.taste(vectors[:, self._taste.slice], sizes)
        if self._engagement is not None:
            columns = self.item_vectors.take(observed[0], axis=0)[:, self._engagement.slice]
            parts[ENGAGEMENT] = self._engagement_fold.part(columns, observed[1])
        if self._towers is not None:
            parts[TOWERS] = self._towers_fold.user_part(self._features_of(user), item_rows, values)
        vector = join_one(parts, self.manifest.segments, self._covariances, self.item_vectors.shape[1])
        return UserSide(vector, bias, deviation)

    def _spoken(
        self,
        item_rows: NDArray[np.integer],
        values: NDArray[np.floating],
        positive_rows: NDArray[np.integer],
        negative_rows: NDArray[np.integer],
    ) -> tuple[Spoken, Spoken, Spoken]:
        """What rating, taste and engagement are folded in from: item rows, and the ratings they are or count as.

        All begin with what was rated, then comes what engaged, then what was declined.
        """
        n_of_events = len(positive_rows), len(negative_rows)
        if self.manifest.is_led_by_events:
            ends = np.repeat([self._scale.maximum, self._scale.minimum], n_of_events)
            observed = np.concatenate([item_rows, positive_rows, negative_rows]), np.concatenate([values, ends])
            return observed, observed, observed
        rated = chosen = observed = item_rows, values
        if self._taste is not None and len(positive_rows):
            counted = np.append(values, np.full(len(positive_rows), self._positive))
            chosen = np.concatenate([item_rows, positive_rows]), counted
        if self._engagement is not None and any(n_of_events):
            ends = np.repeat([np.inf, -np.inf], n_of_events)  # labels, whatever is liked
            observed = np.concatenate([item_rows, positive_rows, negative_rows]), np.concatenate([values, ends])
        return rated, chosen, observed

    def vectors_of(self, items: Sequence[Item]) -> NDArray[np.float32]:
        """The item side (n, d) of items without ratings, by their features alone."""
        encoding = self.encodings.items
        features = encoding.encode(item_table(items, encoding.kinds))
        vectors = np.tile(self.unrated_item, (len(items), 1))
        is_described = np.diff(features.indptr) > 0
        vectors[is_described] = self.item_offset + crossed(features[is_described]) @ self.item_map
        if self._towers is not None:
            vectors[is_described, self._towers.slice] = self._towers_fold.item_parts(features[is_described])
        return vectors

    @cached_property
    def unknown_side(self) -> UserSide:
        """The user side of somebody of whom nothing is known."""
        return UserSide(popular_side(self.manifest.segments, self.item_covariance), 0.0, self._new_user_deviation)

    @property
    def reads_users(self) -> bool:
        """Whether the features of users say anything here."""
        return len(self.user_map) > 0

    @property
    def folds_features(self) -> bool:
        """Whether a fold-in asks for the user's features, too."""
        return self.reads_users and self._towers is not None

    def side_of(self, user: User) -> UserSide | None:
        """The user side of somebody without ratings, by features alone; None where they say nothing."""
        features = self._features_of(user)
        if not features.nnz:
            return None
        unweighted = self.user_offset + np.asarray(crossed(features) @ self.user_map, np.float32)
        parts = {segment.name: unweighted[:, segment.slice] for segment in self.manifest.segments}
        if self._towers is not None:
            parts[TOWERS] = self._towers_fold.user_part(features)[None]
        vector = join_user_parts(parts, self.manifest.segments, self.item_covariance)[0]
        return UserSide(vector, 0.0, self._new_user_deviation)

    def predicted_ratings(self, user: UserSide, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The ratings mu + b_u + b_i + p_u . q_i of (m,) items, clipped to the scale; the rating segment alone."""
        return self.predict(user, self.item_vectors[item_rows])

    def predict(self, user: UserSide, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `predicted_ratings`, of items by their vectors (m, d)."""
        columns = vectors[:, self.rating.slice]
        weighted = user.vector[self.rating.slice]
        # The last column of the weighted part is a_u, and a_u > 0.
        deviations = columns @ weighted / weighted[-1]
        predicted: NDArray[np.float32] = np.float32(self.rating_fold.mean + user.bias) + deviations
        # Of a few numbers, in half the time that `clip` takes.
        np.maximum(predicted, self._scale.minimum, out=predicted)
        return np.minimum(predicted, self._scale.maximum, out=predicted)

    def deviations(self, user: UserSide, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """(m,) the standard deviation of the ratings around `predicted_ratings`, before these are clipped.

        Rows from `n_items` on are those of newer items, of which all is to be learned.
        """
        if len(item_rows) and item_rows.max() >= self.n_items:
            item_deviations = np.full(len(item_rows), self.rating_fold.new_item, np.float32)
            is_learned = item_rows < self.n_items
            item_deviations[is_learned] = self.item_deviations[item_rows[is_learned]]
        else:  # nearly always
            item_deviations = self.item_deviations[item_rows]
        both: NDArray[np.float32] = np.hypot(item_deviations, np.float32(user.deviation))
        return both

    def shares(self, user: UserSide, vectors: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Segment name -> its part of the score of n items, (n,): together they are the score.

        `vectors`: (n, d), the items' rows of `item_vectors`, or what `vectors_of` gives newer ones.
        """
        return {part.name: vectors[:, part.slice] @ user.vector[part.slice] for part in self.manifest.segments}

    def influences(
        self,
        item_rows: NDArray[np.integer],
        values: NDArray[np.floating],
        vectors: NDArray[np.float32],
        positive_rows: NDArray[np.integer] = NO_ROWS,
        negative_rows: NDArray[np.integer] = NO_ROWS,
    ) -> NDArray[np.float64]:
        """How much of the score of n items each of m ratings and engagements carries, (n, m), for who has these.

        `item_rows`, `values`, `positive_rows`, `negative_rows`: as of `fold_in`; what is declined is not in the answer.
        `vectors`: (n, d), as of `shares`. The parts of rating, taste and engagement are sums over what was rated and
        met: this is no approximation, and with what is declined it adds up to the score less what nothing here carries,
        the b_i, the prior and the towers.
        """
        rated, chosen, observed = self._spoken(item_rows, values, positive_rows, negative_rows)
        columns = self.item_vectors[rated[0], self.rating.slice]
        part, _, _ = self.rating_fold.part(columns, rated[1])
        of_rating = self.rating_fold.influences(columns, rated[1], vectors[:, self.rating.slice])
        carried = np.zeros((len(vectors), len(item_rows) + len(positive_rows) + len(negative_rows)))
        carried[:, : len(rated[0])] = of_rating * part_scales(part[None], self.rating, self.item_covariance)
        if self._taste is not None:
            columns = self.item_vectors[chosen[0], self._taste.slice]
            taste = self._taste_fold.taste(columns, chosen[1])
            of_taste = self._taste_fold.influences(columns, chosen[1], vectors[:, self._taste.slice])
            carried[:, : len(chosen[0])] += of_taste * part_scales(taste[None], self._taste, self.item_covariance)
        if self._engagement is not None:
            columns = self.item_vectors[observed[0], self._engagement.slice]
            part = self._engagement_fold.part(columns, observed[1])
            of_observed = self._engagement_fold.influences(columns, observed[1], vectors[:, self._engagement.slice])
            carried[:, : len(observed[0])] += of_observed * part_scales(
                part[None], self._engagement, self.item_covariance
            )
        return carried[:, : len(item_rows) + len(positive_rows)]

    def check_segments(self) -> None:
        """Raises `SnapshotDamagedError` where a segment lacks what it needs to fold a user in."""
        try:
            _ = self.rating_fold
            if self._taste is not None:
                _ = self._taste_fold
            if self._engagement is not None:
                _ = self._engagement_fold
            if self._towers is not None:
                self._towers_fold.check(len(self.encodings.users.names), len(self.encodings.items.names))
        except KeyError as error:
            raise SnapshotDamagedError(f"a segment lacks {error}") from error

    @cached_property
    def liked_from(self) -> float:
        """Ratings at or above are liked."""
        return self._scale.liked_from

    @cached_property
    def rating(self) -> Segment:
        rating = self.manifest.segment(RATING)
        if rating is None:
            raise SnapshotDamagedError("there is no rating segment")
        return rating

    @cached_property
    def rating_fold(self) -> RatingFold:
        return RatingFold.read(self.rating.numbers, self.of_segments)

    @cached_property
    def _taste(self) -> Segment | None:
        return self.manifest.segment(TASTE)

    @cached_property
    def _taste_fold(self) -> TasteFoldIn:
        return TasteFoldIn.from_state(self._taste.numbers if self._taste else {}, self.of_segments["taste.gram"])

    @cached_property
    def _positive(self) -> float:
        """The rating that an engagement counts as to the taste."""
        return self._taste_fold.weighting.positive(self._scale.liked_from)

    @cached_property
    def _engagement(self) -> Segment | None:
        return self.manifest.segment(ENGAGEMENT)

    @cached_property
    def _engagement_fold(self) -> EngagementFoldIn:
        return EngagementFoldIn.from_state(self._engagement.numbers if self._engagement else {})

    @cached_property
    def _towers(self) -> Segment | None:
        return self.manifest.segment(TOWERS)

    @cached_property
    def _towers_fold(self) -> TowersFold:
        return TowersFold.read(self._towers.numbers if self._towers else {}, self.of_segments)

    @cached_property
    def _covariances(self) -> tuple[NDArray[np.float32], ...]:
        return covariance_blocks(self.manifest.segments, self.item_covariance)

    @property
    def _new_user_deviation(self) -> float:
        return self.rating_fold.spread.standard_deviation(0.0, 0)

    def _features_of(self, user: User | None) -> sparse.csr_array:
        encoding = self.encodings.users
        return encoding.encode(user_table([user or UNDESCRIBED], encoding.kinds))

    @cached_property
    def _scale(self) -> RatingScale:
        return self.manifest.scale
