"""A snapshot ready to answer: folds users in, finds and scores items, predicts ratings, and explains scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.feature_map import crossed, mapped
from app.algorithms.strengths import strengths_of_user
from app.entities import BARE_ITEM, UNKNOWN_TIME, Item, RatingScale, User
from app.scoring.blocks import RatingBlock, SegmentBlock, TableBlock
from app.scoring.features import Encodings, item_table, user_table
from app.scoring.groups import Group, PopularInGroups
from app.scoring.index import ItemIndex, Neighbours, PopularityIndex
from app.scoring.item_similarity import ItemSimilarity
from app.scoring.sides import (
    NO_TABLES,
    UserSide,
    join_user_parts,
    part_scales,
    table_scale,
    table_scales,
    unknown_user_side,
    weigh,
)
from app.scoring.similar import best, similar_users, unit_directions
from app.segments.base import Observations, SegmentStateError
from app.segments.dense import first_likeness
from app.segments.popularity import POPULARITY
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.manifest import UNMEASURED_BLEND, Manifest, SegmentEntry, SimilarBlend

UNDESCRIBED = User("undescribed")
SCANNED_AT_ONCE = 1 << 16
"""Rows that fit the cache of a processor."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Answers from one set of vectors; immutable, shared by all requests.

    `blocks`: the dense segments in the order of their columns. `tables`: the sparse segments by name. `scale`: of the
    ratings. `is_led_by_events`: see `Manifest`.
    `has_all_users`: whether every user it was learned from is in its arrays; see `Manifest.user_share`.
    `rating`: the block among `blocks` that predicts ratings, None where none does. `version`: of the snapshot, None for
    vectors that were never published (`popularity_scorer`). `fallback_reason`, `fallback_advice`, `similar_blend`: see
    `Manifest`. `holds_histories`: the database lacks ratings that the snapshot has, see `Manifest.histories`.
    """

    arrays: SnapshotArrays
    blocks: tuple[SegmentBlock, ...]
    index: ItemIndex | PopularityIndex
    encodings: Encodings
    groups: PopularInGroups
    tables: Mapping[str, TableBlock]
    scale: RatingScale
    rating: RatingBlock | None = None
    is_led_by_events: bool = False
    has_all_users: bool = True
    version: int | None = None
    fallback_reason: str | None = None
    fallback_advice: str | None = None
    similar_blend: SimilarBlend = UNMEASURED_BLEND
    holds_histories: bool = False

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

    # One item.

    def ratings_of(self, item_row: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The values and times (microseconds UTC, `UNKNOWN_TIME` where unknown) of the ratings of an item, both (n,).

        As of the snapshot, in no order. A scan of the histories of all users, for a thread: 30 ms for ten million
        ratings, and no list by item has to be written and kept for it.
        """
        history = self.arrays.history_rows
        starts = range(0, len(history), SCANNED_AT_ONCE)
        found = [np.flatnonzero(history[start : start + SCANNED_AT_ONCE] == item_row) + start for start in starts]
        places = np.concatenate([np.empty(0, np.int64), *found])
        return self.arrays.history_values[places], self.arrays.history_times[places]

    # One user.

    def user_row(self, user_key: int) -> int | None:
        """None for a user who came after the snapshot, or is not in its table."""
        keys = self.arrays.user_keys
        # Keys ascend, so a binary search replaces a dictionary of all users.
        row = int(keys.searchsorted(user_key))
        return row if row < len(keys) and keys[row] == user_key else None

    def user_side(self, user_row: int) -> UserSide:
        """The user side as published: the fold-in of the history at the snapshot."""
        arrays, tables = self.arrays, NO_TABLES
        biases, deviations = arrays.user_biases, arrays.user_uncertainties
        if self.tables:
            # Tables have no learned user side: the scores follow from the history, as mapped.
            item_rows, values, rated_at = arrays.history(user_row)
            positive_rows, positive_at, negative_rows = arrays.labels(user_row)
            observed = Observations(
                item_rows, values, positive_rows, negative_rows, rated_at=rated_at, positive_at=positive_at
            )
            tables, _ = self._table_scores(self._as_learned(observed))
        return UserSide(self.user_vectors[user_row], float(biases[user_row]), float(deviations[user_row]), tables)

    def fold_in(self, observed: Observations, user: User | None = None) -> UserSide:
        """The user side of a user with these observations: the arithmetic that made `user_vectors`, for one user.

        `observed`: ratings in the rating scale; its `liked_from` is not read. `user`: needed where `folds_features`.
        Without ratings and positive events it is `unknown_side`. On an unchanged history it agrees with the published
        user side to 1e-4.
        """
        if not len(observed.item_rows) and not len(observed.positive_rows) and user is None:
            return self.unknown_side
        observed = self._as_learned(observed)
        features = self._features_of(user) if self._reads_features else None
        vector = np.zeros(self.item_vectors.shape[1], np.float32)
        bias = uncertainty = 0.0
        tables, silent = self._table_scores(observed)
        rows = columns = None
        for block in self.blocks:
            selected, counted = block.fold.select(observed)
            # Most segments read the same rows, whose vectors are then gathered once.
            if columns is None or selected is not rows:
                rows, columns = selected, self.item_vectors.take(selected, axis=0)
            part = block.fold.fold_in(columns[:, block.slice], counted, selected, features)
            vector[block.slice] = weigh(part.columns, block.covariance, block.entry.weight)
            if not part.columns.any():
                silent += block.entry.weight
            bias += part.bias
            uncertainty += part.uncertainty
        if silent:
            # As in `join_user_parts`.
            for block in self.blocks:
                if block.entry.name == POPULARITY and block.entry.weight > 0:
                    vector[block.slice] *= np.float32(1 + silent / block.entry.weight)
        return UserSide(vector, bias, uncertainty, tables)

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
        described = mapped(features, self.encodings.text_of(items))
        vectors = np.tile(self.arrays.unrated_item, (len(items), 1))
        # An item without any known feature or word keeps the vector of an unknown item.
        is_described, has_features = np.diff(described.indptr) > 0, np.diff(features.indptr) > 0
        vectors[is_described] = self.arrays.item_offset + described[is_described] @ self.arrays.item_map
        for block in self.blocks:
            # A network reads features and no texts.
            if (columns := block.fold.item_parts(features[has_features])) is not None:
                vectors[:, block.slice] = self.arrays.unrated_item[block.slice]
                vectors[has_features, block.slice] = columns
        return vectors

    def similar(self, item_row: int, n: int) -> Neighbours:
        """Up to `n` items most similar to this one, rows and similarities, best first."""
        stored = self.arrays.similar_rows.shape
        if stored[0] and n <= stored[1]:
            # Stored rows end with -1 where there are fewer similar items.
            rows = self.arrays.similar_rows[item_row]
            n = min(n, int(np.count_nonzero(rows >= 0)))
            return rows[:n].astype(np.int64), self.arrays.similar_scores[item_row, :n]
        return best(self.item_similarity.to_item(item_row), n)

    def content_of(self, items: Sequence[Item]) -> sparse.csr_array:
        """(1, t), by what an item newer than the snapshot is compared, see `ItemSimilarity`. `items`: it, or none."""
        return self.encodings.content.encode(items[:1] or [BARE_ITEM])

    @cached_property
    def item_similarity(self) -> ItemSimilarity:
        """How alike the items are. Made when it is first needed: a stored list needs none of it."""
        arrays, n = self.arrays, self.n_items
        content = (arrays.content_values, arrays.content_columns, arrays.content_starts)
        together = (arrays.together_values, arrays.together_rows, arrays.together_starts)
        return ItemSimilarity(
            vectors=self.item_vectors[:, self.likeness],
            counts=arrays.item_counts,
            together=sparse.csr_array(together, shape=(n, n)),
            content=sparse.csr_array(content, shape=(n, self.encodings.content.n_columns)),
            encoding=self.encodings.content,
            blend=self.similar_blend,
        )

    def proposed_by(self, item_row: int, similar_kind: str, n: int) -> Neighbours:
        """Up to `n` items that the table of one kind (`SparseSegment.similar_kind`) proposes for this item, rows and
        entries, best first; none where no segment has such a table.
        """
        table = next((each for each in self.tables.values() if each.segment.similar_kind == similar_kind), None)
        if table is None:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        rows, entries = table.fold.strongest(item_row)
        return rows[:n], entries[:n]

    def directions(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, c) vectors of length 1 by which items with vectors (n, d) are compared; 0 for an unrated item."""
        return unit_directions(np.ascontiguousarray(vectors[:, self.likeness]))

    @cached_property
    def likeness(self) -> slice:
        """The columns by which items are compared, and users as well."""
        return first_likeness([(block.segment, block.slice) for block in self.blocks])

    @cached_property
    def directional(self) -> Sequence[slice]:
        """The columns of each segment by which items could be compared; `likeness` is one of them, unless empty."""
        columns = (block.segment.likeness(block.slice) for block in self.blocks)
        return [each for each in columns if each is not None]

    def similar_users(self, user: UserSide, n: int, left_out: int | None = None) -> Neighbours:
        """Up to `n` users with the nearest taste, rows and similarities, best first; none for a user without one.

        A scan of all users, for a thread: 50 ms for 200,000 of them. `left_out`: the user's own row, if there is one.
        """
        # Users with few ratings are trusted less, as items are.
        columns, counts = self.likeness, np.diff(self.arrays.history_starts)
        return similar_users(user.vector[columns], self.user_vectors, columns, counts, n, left_out)

    # Ratings.

    @cached_property
    def mean_rating(self) -> float:
        """The mean of all ratings as of the snapshot, in the rating scale; NaN where there are none."""
        values = self.arrays.history_values
        return float(values.mean(dtype=np.float64)) if len(values) else math.nan

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

    # Scores, and why they are what they are.

    def scores(
        self, user: UserSide, item_rows: NDArray[np.integer], vectors: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(n,) the scores of n items.

        `item_rows`: (n,), rows from `n_items` on stand for items newer than the snapshot. `vectors`: (n, d), the items'
        rows of `item_vectors`, or what `vectors_of` gives newer items.
        """
        # score = dense user side . dense item side + the scores of the tables
        scores: NDArray[np.float32] = vectors @ user.vector
        for of_table in user.tables.values():
            scores += of_table.take(item_rows, mode="clip")  # the last score is that of newer items
        return scores

    def shares(
        self, user: UserSide, item_rows: NDArray[np.integer], vectors: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Segment name -> its part of the score of n items, (n,); they sum to the score.

        `item_rows`, `vectors`: (n,) and (n, d), as of `scores`.
        """
        dense = {block.entry.name: vectors[:, block.slice] @ user.vector[block.slice] for block in self.blocks}
        return dense | {name: scores.take(item_rows, mode="clip") for name, scores in user.tables.items()}

    def influences(
        self, observed: Observations, shown_rows: NDArray[np.integer], vectors: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """How much of the score of n items each of a user's m ratings and positive events carries, (n, m).

        `observed`: as of `fold_in`; the columns are the rated items, then the positive ones. `shown_rows`, `vectors`:
        (n,) and (n, d), as of `scores`. Exact, not an approximation: with what negative items carry, a row sums to the
        score less what no observation carries (item biases, popularity, towers, the score of newer items by tables).
        """
        known = np.concatenate([observed.item_rows, observed.positive_rows, observed.negative_rows])
        learned = self._as_learned(observed)
        carried = np.zeros((len(vectors), len(known)))
        for block in self.blocks:
            selected, counted = block.fold.select(learned)
            columns = self.item_vectors[selected, block.slice]
            of_block = block.fold.influences(columns, counted, vectors[:, block.slice])
            if of_block is not None:
                part = block.fold.fold_in(columns, counted, selected, None).columns[None]
                scales = part_scales(part, block.entry, self.arrays.item_covariance)
                carried[:, _places(selected, known)] += of_block * scales
        is_held = shown_rows < self.n_items  # a table has entries of the items of the snapshot alone
        for table in self.tables.values():
            history = table.fold.history(learned)
            scale = table_scales(table.fold.scores(history), self._n_chosen, table.entry.weight)
            of_table = table.fold.influences(history, shown_rows[is_held]) * scale
            carried[np.ix_(is_held, _places(history.item_rows, known))] += of_table
        return carried[:, : len(observed.item_rows) + len(observed.positive_rows)]

    # Parts that are computed once.

    def _as_learned(self, observed: Observations) -> Observations:
        """`observed` as training learned from it: amounts become strengths, and where events lead, they are ratings at
        the ends of the scale.
        """
        stored = self._learnable(observed.values)
        if not self.is_led_by_events:
            return observed._replace(values=stored, liked_from=self.liked_from)
        rated_at, positive_at = observed.rated_at, observed.positive_at
        ends = np.repeat(self.scale.of_labels, [len(observed.positive_rows), len(observed.negative_rows)])
        rows = np.concatenate([observed.item_rows, observed.positive_rows, observed.negative_rows])
        values = np.concatenate([stored, ends])
        if rated_at is None or positive_at is None:
            return Observations(rows, values, liked_from=self.liked_from)
        # Negative items are no choices, so their times do not matter.
        times = np.concatenate([rated_at, positive_at, np.full(len(observed.negative_rows), UNKNOWN_TIME)])
        order = np.lexsort((rows, ~times))
        return Observations(rows[order], values[order], liked_from=self.liked_from, rated_at=times[order])

    def _table_scores(self, observed: Observations) -> tuple[Mapping[str, NDArray[np.float32]], float]:
        """The weighted scores (n_items,) of each sparse segment by name, and the weight of those that say nothing."""
        silent = 0.0
        weighted: dict[str, NDArray[np.float32]] = {}
        known = None
        for name, table in self.tables.items():
            # The tables of a snapshot are learned from the same choices, which are then found once.
            if known is None or known[0] != table.fold.least_liked:
                known = table.fold.least_liked, table.fold.choices(observed)
            history = table.fold.decayed(*known[1])
            if not table.fold.speaks(history.item_rows):
                silent += table.entry.weight
            scores = table.fold.scores(history)
            scale, mean = table_scale(scores, self._n_chosen, table.entry.weight)
            of_all = weighted[name] = np.empty(len(scores) + 1, np.float32)
            np.multiply(scores, scale, out=of_all[:-1])
            of_all[-1] = scale * mean
        return weighted, silent

    @cached_property
    def _n_chosen(self) -> int:
        return int(np.count_nonzero(self.arrays.item_counts))

    def _learnable(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """(m,), the stored values of one user as training learned from them: amounts become strengths."""
        return strengths_of_user(values) if self.scale.kind == "amounts" else values

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


def _places(item_rows: NDArray[np.integer], known: NDArray[np.integer]) -> NDArray[np.int64]:
    """(m,) where each of `item_rows` stands among `known`, all of which differ."""
    order = np.argsort(known, kind="stable")
    return order[np.searchsorted(known, item_rows, sorter=order)]


@dataclass(frozen=True, kw_only=True)
class PublishedScorer(Scorer):
    """The scorer of a published snapshot, which predicts ratings exactly where values are grades."""

    manifest: Manifest

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
        blocks = tuple(
            SegmentBlock.from_entry(entry, arrays) for entry in manifest.segments if entry.columns is not None
        )
        tables = tuple(TableBlock.from_entry(entry, arrays) for entry in manifest.segments if entry.columns is None)
        n_items = len(arrays.item_keys)
        for fold in [*(block.fold for block in blocks), *(table.fold for table in tables)]:
            try:
                fold.check(n_items, len(encodings.items.names), len(encodings.users.names))
            except SegmentStateError as error:
                raise SnapshotDamagedError(str(error)) from error
        rating = next((block for block in blocks if isinstance(block, RatingBlock)), None)
        if rating is None and manifest.scale.is_graded:
            raise SnapshotDamagedError("no segment predicts ratings")
        return cls(
            arrays=arrays,
            blocks=blocks,
            rating=rating,
            index=index,
            encodings=encodings,
            groups=PopularInGroups.from_arrays(groups, arrays),
            tables={table.entry.name: table for table in tables},
            scale=manifest.scale,
            is_led_by_events=manifest.is_led_by_events,
            has_all_users=manifest.has_all_users,
            version=manifest.version,
            fallback_reason=manifest.reason,
            fallback_advice=manifest.advice,
            similar_blend=manifest.similar,
            holds_histories=manifest.histories == "snapshot",
            manifest=manifest,
        )
