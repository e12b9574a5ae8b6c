"""A snapshot ready to answer: folds users in, finds and scores items, predicts ratings, and explains scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.feature_map import crossed
from app.algorithms.neighbour_table import NeighbourTable
from app.entities import Item, RatingScale, User
from app.scoring.features import Encodings, item_table, user_table
from app.scoring.groups import Group, PopularInGroups
from app.scoring.index import ItemIndex, Neighbours, PopularityIndex
from app.scoring.neighbours import open_tables, voted_for
from app.scoring.sides import join_user_parts, part_scales, unknown_user_side, weigh
from app.scoring.similar import similar_to, similar_users, unit_directions
from app.segments.base import NO_ITEM_ROWS, DenseFold, Observations, Segment, SegmentStateError, first_likeness
from app.segments.rating import RatingFold
from app.segments.registry import SEGMENTS, arrays_of
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.manifest import Manifest, SegmentEntry

UNDESCRIBED = User("undescribed")


class UserSide(NamedTuple):
    """One user: the weighted vector (d,) float32 whose dot product with an item's row is the score, and b_u.

    `uncertainty`: what is not known of the user, in the rating scale, see `Scorer.uncertainties`.
    """

    vector: NDArray[np.float32]
    bias: float
    uncertainty: float


@dataclass(frozen=True)
class SegmentBlock:
    """A segment of a snapshot at work: its columns (c of them) and weight, its kind, and its state.

    `covariance`: (c, c) float32, that of its columns over the chosen items.
    """

    entry: SegmentEntry
    segment: Segment
    fold: DenseFold
    slice: slice
    covariance: NDArray[np.float32]

    @classmethod
    def from_entry(cls, entry: SegmentEntry, arrays: SnapshotArrays) -> "SegmentBlock":
        """Raises `SnapshotDamagedError` for a segment that does not exist, or whose state is not complete."""
        if (segment := SEGMENTS.get(entry.name)) is None:
            raise SnapshotDamagedError(f"there is no segment {entry.name}")
        try:
            fold = segment.open(entry.numbers, arrays_of(segment, arrays.extra))
        except SegmentStateError as error:
            raise SnapshotDamagedError(str(error)) from error
        columns = entry.slice
        # A copy, since a view of some columns slows the products of every fold-in down.
        covariance = np.ascontiguousarray(arrays.item_covariance[columns, columns])
        if isinstance(fold, RatingFold):
            return RatingBlock(entry, segment, fold, columns, covariance)
        return cls(entry, segment, fold, columns, covariance)


@dataclass(frozen=True)
class RatingBlock(SegmentBlock):
    """The segment that predicts ratings."""

    fold: RatingFold


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Answers from one set of vectors; immutable, shared by all requests.

    `blocks`: the segments in the order of their columns. `scale`: of the ratings. `is_led_by_events`: see `Manifest`.
    `rating`: the block among `blocks` that predicts ratings, None where none does. `version`: of the snapshot, None for
    vectors that were never published (`popularity_scorer`).
    """

    arrays: SnapshotArrays
    blocks: tuple[SegmentBlock, ...]
    index: ItemIndex | PopularityIndex
    encodings: Encodings
    groups: PopularInGroups
    tables: Mapping[str, NeighbourTable]
    scale: RatingScale
    rating: RatingBlock | None = None
    is_led_by_events: bool = False
    version: int | None = None

    @property
    def is_learned(self) -> bool:
        """Whether training learned it, so that users get lists of their own."""
        return self.version is not None

    @property
    def n_items(self) -> int:
        return len(self.arrays.item_keys)

    # What follows is read several times in a request and looked up once.

    @cached_property
    def item_vectors(self) -> NDArray[np.float32]:
        """(n_items, d), the item side."""
        return self.arrays.item_vectors

    @cached_property
    def user_vectors(self) -> NDArray[np.float32]:
        """(n_users, d), the user side."""
        return self.arrays.user_vectors

    @cached_property
    def liked_from(self) -> float:
        """Ratings at or above it are liked."""
        return self.scale.liked_from

    # One user.

    def user_row(self, user_key: int) -> int | None:
        """None for a user who came after the snapshot."""
        keys = self.arrays.user_keys
        # Keys ascend, so a binary search replaces a dictionary of all users.
        row = int(keys.searchsorted(user_key))
        return row if row < len(keys) and keys[row] == user_key else None

    def user_side(self, user_row: int) -> UserSide:
        """The user side as published: the fold-in of the history at the snapshot."""
        biases, deviations = self.arrays.user_biases, self.arrays.user_uncertainties
        return UserSide(self.user_vectors[user_row], float(biases[user_row]), float(deviations[user_row]))

    def fold_in(
        self,
        item_rows: NDArray[np.integer],
        values: NDArray[np.floating],
        user: User | None = None,
        positive_rows: NDArray[np.integer] = NO_ITEM_ROWS,
        negative_rows: NDArray[np.integer] = NO_ITEM_ROWS,
    ) -> UserSide:
        """The user side of a user with these ratings: the arithmetic that made `user_vectors`, for one user.

        `item_rows`, `values`: (m,), in the rating scale. `user`: needed where `folds_features`. `positive_rows`,
        `negative_rows`: other items with positive events of the user, or with negative ones. Without ratings and
        positive events it is `unknown_side`. On an unchanged history it agrees with the published user side to 1e-4.
        """
        if not len(item_rows) and not len(positive_rows) and user is None:
            return self.unknown_side
        observed = self._observed(item_rows, values, positive_rows, negative_rows)
        features = self._features_of(user) if self._reads_features else None
        vector = np.zeros(self.item_vectors.shape[1], np.float32)
        bias = uncertainty = 0.0
        rows = columns = None
        for block in self.blocks:
            selected, counted = block.fold.select(observed)
            # Most segments read the same rows, whose vectors are then gathered once.
            if columns is None or selected is not rows:
                rows, columns = selected, self.item_vectors.take(selected, axis=0)
            part = block.fold.fold_in(columns[:, block.slice], counted, selected, features)
            vector[block.slice] = weigh(part.columns, block.covariance, block.entry.weight)
            bias += part.bias
            uncertainty += part.uncertainty
        return UserSide(vector, bias, uncertainty)

    def side_of(self, user: User) -> UserSide | None:
        """The user side of a user without ratings, by features alone; None where they say nothing."""
        features = self._features_of(user)
        if not features.nnz:
            return None
        # offset + features . map holds the parts of all segments side by side.
        unweighted = self.arrays.user_offset + np.asarray(crossed(features) @ self.arrays.user_map, np.float32)
        parts = {block.entry.name: unweighted[:, block.slice] for block in self.blocks}
        for block in self.blocks:
            if (described := block.fold.described_part(features)) is not None:
                parts[block.entry.name] = described[None]
        vector = join_user_parts(parts, self._entries, self.arrays.item_covariance)[0]
        return UserSide(vector, 0.0, self._unknown_uncertainty)

    @cached_property
    def unknown_side(self) -> UserSide:
        """The user side of an unknown user."""
        vector = unknown_user_side(self._entries, self.arrays.item_covariance)
        return UserSide(vector, 0.0, self._unknown_uncertainty)

    @property
    def reads_users(self) -> bool:
        """Whether the features of users say anything here."""
        return len(self.arrays.user_map) > 0

    @property
    def folds_features(self) -> bool:
        """Whether `fold_in` reads the user's features, too."""
        return self.reads_users and self._reads_features

    # Items.

    def vectors_of(self, items: Sequence[Item]) -> NDArray[np.float32]:
        """The item side (n, d) of items without ratings, by their features alone."""
        encoding = self.encodings.items
        features = encoding.encode(item_table(items, encoding.kinds))
        vectors = np.tile(self.arrays.unrated_item, (len(items), 1))
        # An item without any known feature keeps the vector of an unknown item.
        is_described = np.diff(features.indptr) > 0
        described = features[is_described]
        vectors[is_described] = self.arrays.item_offset + crossed(described) @ self.arrays.item_map
        for block in self.blocks:
            if (columns := block.fold.item_parts(described)) is not None:
                vectors[is_described, block.slice] = columns
        return vectors

    def similar(self, item_row: int, n: int) -> Neighbours:
        """Up to `n` items most similar to this one, rows and similarities, best first; none for an unrated item."""
        stored = self.arrays.similar_rows.shape
        if stored[0] and n <= stored[1]:
            # Stored rows end with -1 where there are fewer similar items.
            rows = self.arrays.similar_rows[item_row]
            n = min(n, int(np.count_nonzero(rows >= 0)))
            return rows[:n].astype(np.int64), self.arrays.similar_scores[item_row, :n]
        return similar_to(item_row, self._directions, self.arrays.item_counts, n)

    def directions(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, c) vectors of length 1 by which items with vectors (n, d) are compared; 0 for an unrated item."""
        return unit_directions(np.ascontiguousarray(vectors[:, self.likeness]))

    @cached_property
    def likeness(self) -> slice:
        """The columns by which items are compared, and users as well."""
        return first_likeness([(block.segment, block.slice) for block in self.blocks])

    def similar_users(self, user: UserSide, n: int, left_out: int | None = None) -> Neighbours:
        """Up to `n` users with the nearest taste, rows and similarities, best first; none for a user without one.

        A scan of all users, for a thread: 50 ms for 200,000 of them. `left_out`: the user's own row, if there is one.
        """
        # Users with few ratings are trusted less, as items are.
        columns, counts = self.likeness, np.diff(self.arrays.history_starts)
        return similar_users(user.vector[columns], self.user_vectors, columns, counts, n, left_out)

    def neighbours(
        self,
        table: str,
        item_rows: NDArray[np.integer],
        n: int,
        values: NDArray[np.floating] | None = None,
        allowed: NDArray[np.bool_] | None = None,
    ) -> Neighbours:
        """Up to `n` items with the most votes from the items of a history, best first, and their votes.

        `table`: a name in `tables`. `item_rows`: (m,), newest first; the first `MAX_VOTERS` vote. `values`: (m,), their
        ratings, if a better rating is to count for more. `allowed`: as in `ItemIndex.nearest`. Items of the history may
        be among the answers.
        """
        weights = None
        if values is not None:
            # At most one segment weighs observations: the taste, where there is one.
            weighed = (block.fold.observation_weights(values) for block in self.blocks)
            weights = next((each for each in weighed if each is not None), None)
        return voted_for(self.tables[table], item_rows, weights, n, allowed)

    # Ratings.

    def predict(self, user: UserSide, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(m,) float32, the ratings mu + b_u + b_i + p_u . q_i of items with vectors (m, d), clipped to the scale.

        By the rating segment alone; NaN where there is none.
        """
        # Nothing in the other segments is in units of the rating scale.
        rating = self.rating
        if rating is None:
            return np.full(len(vectors), np.nan, np.float32)
        weighted = user.vector[rating.slice]
        # The last column of the weighted part is a_u, and a_u > 0.
        deviations = vectors[:, rating.slice] @ weighted / weighted[-1]
        predicted: NDArray[np.float32] = np.float32(rating.fold.mean + user.bias) + deviations
        # For a few numbers this takes half the time of `clip`.
        np.maximum(predicted, self._ends[0], out=predicted)
        return np.minimum(predicted, self._ends[1], out=predicted)

    def uncertainties(self, user: UserSide, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """(m,) float32, the standard deviations of the ratings around `predict`, before these are clipped.

        Rows from `n_items` on stand for items newer than the snapshot. NaN where no ratings are predicted.
        """
        if self.rating is None:
            return np.full(len(item_rows), np.nan, np.float32)
        if len(item_rows) and item_rows.max() >= self.n_items:
            item_uncertainties = np.full(len(item_rows), self.rating.fold.new_item, np.float32)
            is_learned = item_rows < self.n_items
            item_uncertainties[is_learned] = self.arrays.item_uncertainties[item_rows[is_learned]]
        else:  # nearly always
            item_uncertainties = self.arrays.item_uncertainties[item_rows]
        # uncertainty^2 = user^2 + item^2: independent, since either side is learned given the other.
        both: NDArray[np.float32] = np.hypot(item_uncertainties, np.float32(user.uncertainty))
        return both

    # Why a score is what it is.

    def shares(self, user: UserSide, vectors: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Segment name -> its part of the score of n items, (n,); they sum to the score.

        `vectors`: (n, d), the items' rows of `item_vectors`, or what `vectors_of` gives newer items.
        """
        return {block.entry.name: vectors[:, block.slice] @ user.vector[block.slice] for block in self.blocks}

    def influences(
        self,
        item_rows: NDArray[np.integer],
        values: NDArray[np.floating],
        vectors: NDArray[np.float32],
        positive_rows: NDArray[np.integer] = NO_ITEM_ROWS,
        negative_rows: NDArray[np.integer] = NO_ITEM_ROWS,
    ) -> NDArray[np.float64]:
        """How much of the score of n items each of a user's m ratings and engagements carries, (n, m).

        `item_rows`, `values`, `positive_rows`, `negative_rows`: as of `fold_in`; negative items have no column in the
        answer. `vectors`: (n, d), as of `shares`. Exact, not an approximation: with what negative items carry, a row
        sums to the score less what no observation carries (item biases, popularity, towers).
        """
        observed = self._observed(item_rows, values, positive_rows, negative_rows)
        carried = np.zeros((len(vectors), len(item_rows) + len(positive_rows) + len(negative_rows)))
        for block in self.blocks:
            selected, counted = block.fold.select(observed)
            columns = self.item_vectors[selected, block.slice]
            of_block = block.fold.influences(columns, counted, vectors[:, block.slice])
            if of_block is not None:
                part = block.fold.fold_in(columns, counted, selected, None).columns[None]
                scales = part_scales(part, block.entry, self.arrays.item_covariance)
                carried[:, : len(selected)] += of_block * scales
        return carried[:, : len(item_rows) + len(positive_rows)]

    # Parts that are computed once.

    def _observed(
        self,
        item_rows: NDArray[np.integer],
        values: NDArray[np.floating],
        positive_rows: NDArray[np.integer],
        negative_rows: NDArray[np.integer],
    ) -> Observations:
        """What is known of a user; where events lead, they are ratings at the ends of the scale."""
        if not self.is_led_by_events:
            return Observations(item_rows, values, positive_rows, negative_rows, self.liked_from)
        # Training did the same with the labels that it learned from.
        ends = np.repeat([self.scale.maximum, self.scale.minimum], [len(positive_rows), len(negative_rows)])
        all_rows = np.concatenate([item_rows, positive_rows, negative_rows])
        return Observations(all_rows, np.concatenate([values, ends]), liked_from=self.liked_from)

    def _features_of(self, user: User | None) -> sparse.csr_array:
        """(1, g); without entries where nothing is known of the user."""
        encoding = self.encodings.users
        return encoding.encode(user_table([user or UNDESCRIBED], encoding.kinds))

    @cached_property
    def _entries(self) -> tuple[SegmentEntry, ...]:
        return tuple(block.entry for block in self.blocks)

    @cached_property
    def _reads_features(self) -> bool:
        return any(block.fold.reads_features for block in self.blocks)

    @cached_property
    def _unknown_uncertainty(self) -> float:
        """What is not known of a user without ratings, in the rating scale."""
        return 0.0 if self.rating is None else self.rating.fold.user_uncertainty.standard_deviation(0.0, 0)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        return self.scale.minimum, self.scale.maximum

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        return self.directions(self.item_vectors)


@dataclass(frozen=True, kw_only=True)
class PublishedScorer(Scorer):
    """The scorer of a published snapshot, which always predicts ratings."""

    manifest: Manifest
    rating: RatingBlock

    @classmethod
    def from_parts(
        cls,
        manifest: Manifest,
        arrays: SnapshotArrays,
        index: ItemIndex | PopularityIndex,
        encodings: Encodings,
        groups: tuple[Group, ...] = (),
    ) -> "PublishedScorer":
        """Raises `SnapshotDamagedError` where a segment or a table lacks something, or does not fit the features."""
        blocks = tuple(SegmentBlock.from_entry(entry, arrays) for entry in manifest.segments)
        n_items = len(arrays.item_keys)
        for block in blocks:
            try:
                block.fold.check(n_items, len(encodings.items.names), len(encodings.users.names))
            except SegmentStateError as error:
                raise SnapshotDamagedError(str(error)) from error
        rating = next((block for block in blocks if isinstance(block, RatingBlock)), None)
        if rating is None:
            raise SnapshotDamagedError("no segment predicts ratings")
        return cls(
            arrays=arrays,
            blocks=blocks,
            rating=rating,
            index=index,
            encodings=encodings,
            groups=PopularInGroups.from_arrays(groups, arrays),
            tables=open_tables(arrays.extra, n_items),
            scale=manifest.scale,
            is_led_by_events=manifest.is_led_by_events,
            version=manifest.version,
            manifest=manifest,
        )
