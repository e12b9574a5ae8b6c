"""A sparse segment: a table of what each item proposes, and the decayed history as the user side.

    score of the segment  sum over items j of the history of h_uj B[j, i]      h_uj = decay^age(j)

B is an item-item table, cut to its strongest entries; `choice_sequences.py` defines age. The user side needs no
learning: a user is folded in exactly, and each item of a history carries one entry of the table. A history is what the
user liked: liked ratings and positive events. Other ratings neither propose nor push away: with them in the history,
lists hold a quarter more of what users then rate low, at equal nDCG@10 (ml-latest-small), and negative weights for low
ratings change neither. The columns of dense segments cannot replace the table: cut to 64 columns by SVD it loses half
of its nDCG on short histories. Entries are not shrunk by the support of the proposed item: that loses nDCG@10 on films
and toys (0.083 -> 0.076) and proposes hardly better-known items.

A snapshot stores the table as CSR arrays: row j holds the columns and the entries of B[j, :].
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from reprlib import repr as shortened
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.choice_sequences import ChoiceSequences, decayed_weights
from app.algorithms.errors import FitDivergedError, InvalidHyperparameterError
from app.algorithms.hyperparameters import build, check_hyperparameters, hyperparameter
from app.algorithms.neighbour_table import cut_rows
from app.algorithms.progress import ProgressCallback
from app.algorithms.rating_matrix import RatingMatrix
from app.segments.base import (
    AUTO,
    Float32Array,
    Fold,
    Layout,
    LearnedSegment,
    Observations,
    Segment,
    SegmentRecipe,
    SegmentStateError,
    Validation,
)

MAX_CHOICES = 500
"""The newest choices of a user that count, which bounds the cost of a long history."""

LEAST_SUPPORT = 3
"""Items chosen by fewer users are in no table: one or two histories are little evidence of what goes together."""

MAX_PADDED = 2_000_000
"""Cells of a table that each process copies for speed, 8 bytes each; larger tables are read as mapped."""

MAX_BYTES, BYTES_PER_ENTRY = 64 << 20, 6
"""The memory of one table, at most; an entry takes 4 bytes for its column and 2 for its value."""


TableOf = Callable[[Mapping[str, Any], ChoiceSequences], sparse.csr_array]
"""Makes the table of a segment, CSR, from the settings of its learner and the choices of the supported items."""


class History(NamedTuple):
    """The user side of a sparse segment: item rows (m,) and what each counts, (m,) float32."""

    item_rows: NDArray[np.integer]
    weights: Float32Array


@dataclass(frozen=True)
class SparseFold(Fold):
    """The table of a sparse segment, and the decay of the history.

    `starts`: (n_items + 1,) int64; the entries of row j stand at `starts[j] : starts[j + 1]` of `columns` (int32) and
    `entries` (float16). `least_liked`: ratings at or above it are choices; others are not.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    entries: NDArray[np.float16]
    decay: float
    least_liked: float

    @classmethod
    def from_table(cls, table: sparse.csr_array, decay: float, least_liked: float) -> "SparseFold":
        """`table`: (n_items, n_items) CSR, B. Raises `FitDivergedError` for entries beyond half precision."""
        with np.errstate(over="ignore"):
            entries = table.data.astype(np.float16)
        if not np.isfinite(entries).all():
            raise FitDivergedError("the entries are too large; try a larger regularization")
        return cls(table.indptr.astype(np.int64), table.indices.astype(np.int32), entries, decay, least_liked)

    @property
    def numbers(self) -> dict[str, float]:
        return {"decay": self.decay, "least_liked": self.least_liked}

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"starts": self.starts, "columns": self.columns, "entries": self.entries}

    @cached_property
    def table(self) -> sparse.csr_array:
        """(n_items, n_items) CSR float32, B as stored, for products with many histories."""
        n_items = len(self.starts) - 1
        return sparse.csr_array((self.entries.astype(np.float32), self.columns, self.starts), shape=(n_items, n_items))

    def history(self, observed: Observations) -> History:
        """The choices of one user that count: rated items and items with positive events, newest first."""
        return self.decayed(*self.choices(observed))

    def choices(self, observed: Observations) -> tuple[NDArray[np.integer], NDArray[np.int64] | None]:
        """The newest choices of one user, rows and times as in `Observations`; equal for all folds of one threshold."""
        rows, times, is_liked = observed.item_rows, observed.rated_at, observed.values >= self.least_liked
        if not is_liked.all():
            rows, times = rows[is_liked], None if times is None else times[is_liked]
        if len(observed.positive_rows):
            rows, times = _newest_first(np.concatenate([rows, observed.positive_rows]), times, observed.positive_at)
        return rows[:MAX_CHOICES], None if times is None else times[:MAX_CHOICES]

    def decayed(self, item_rows: NDArray[np.integer], times: NDArray[np.int64] | None) -> History:
        """The history of these choices, (m,) newest first, without those that have decayed away."""
        weights = decayed_weights(times, len(item_rows), self.decay)
        n = int(np.count_nonzero(weights))  # weights descend
        return History(item_rows[:n], weights[:n])

    def speaks(self, item_rows: NDArray[np.integer]) -> bool:
        """Whether the table has an entry for any of these choices."""
        return bool((self.starts[item_rows + 1] > self.starts[item_rows]).any())

    def scores(self, history: History) -> Float32Array:
        """(n_items,) the unweighted scores of all items."""
        n_items = len(self.starts) - 1
        # score_i = sum_j h_j B[j, i]
        if self._padded is None:
            places, lengths = self._places(history.item_rows)
            rows, products = self.columns.take(places), self.entries.take(places) * np.repeat(history.weights, lengths)
        else:
            columns, entries = self._padded
            rows = columns.take(history.item_rows, axis=0).ravel()
            products = (entries.take(history.item_rows, axis=0) * history.weights[:, None]).ravel()
        return np.bincount(rows, products, n_items).astype(np.float32)

    @cached_property
    def _padded(self) -> tuple[NDArray[np.int32], Float32Array] | None:
        """Columns and entries as (n_items, width), rows filled up with zeros; None where that takes too much memory.

        Whole rows are gathered in a third of the time that CSR takes.
        """
        lengths = np.diff(self.starts)
        width = int(lengths.max(initial=0))
        if len(lengths) * width > MAX_PADDED:
            return None
        is_there = np.arange(width) < lengths[:, None]
        columns, entries = np.zeros(is_there.shape, np.int32), np.zeros(is_there.shape, np.float32)
        columns[is_there], entries[is_there] = self.columns, self.entries
        return columns, entries

    def influences(self, history: History, shown: NDArray[np.integer]) -> NDArray[np.float64]:
        """(n, m): h_j B[j, i] of m items of a history, for the n items `shown`; a row sums to the score."""
        # Not from `table`, which would copy the whole table into the memory of every API process.
        places, lengths = self._places(history.item_rows)
        products = self.entries.take(places) * np.repeat(history.weights, lengths)
        shape = len(lengths), len(self.starts) - 1
        by_item = sparse.csr_array((products, self.columns.take(places), np.append(0, np.cumsum(lengths))), shape=shape)
        return by_item[:, shown].toarray().T.astype(np.float64)

    def _places(self, item_rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the entries of m rows of B stand, one row after the other, and how many each row has, (m,)."""
        starts = self.starts[item_rows]
        lengths = self.starts[item_rows + 1] - starts
        # Without a loop: each row's start, counted on from there.
        ends = np.cumsum(lengths)
        return np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0), lengths

    def strongest(self, item_row: int) -> tuple[NDArray[np.int64], Float32Array]:
        """What one item proposes: rows of other items and entries above 0, strongest first, ties by row."""
        own = slice(self.starts[item_row], self.starts[item_row + 1])
        rows, entries = self.columns[own], self.entries[own].astype(np.float32)
        # Transitions do not hold B_jj at 0.
        is_proposed = (entries > 0) & (rows != item_row)
        rows, entries = rows[is_proposed], entries[is_proposed]
        order = np.lexsort((rows, -entries))
        return rows[order].astype(np.int64), entries[order]

    def check(self, n_items: int, n_item_features: int, n_user_features: int) -> None:
        """Raises `SegmentStateError` where the table is not one of `n_items` rows and columns, or the decay is none."""
        starts, columns = self.starts, self.columns
        are_starts = len(starts) == n_items + 1 and starts[0] == 0 and starts[-1] == len(columns)
        if not are_starts or (np.diff(starts) < 0).any():
            raise SegmentStateError("the rows of a table do not fit the items")
        if len(columns) and not (columns.min() >= 0 and columns.max() < n_items):
            raise SegmentStateError("a table holds rows that do not exist")
        if not 0 <= self.decay <= 1:
            raise SegmentStateError(f"a history does not decay by {self.decay:g}")


@dataclass(frozen=True)
class LearnedSparseSegment(LearnedSegment):
    """A sparse segment as learned.

    `histories`: (n_users, n_items) CSR float32, h of every user. `choices`: that they were made of. `recipe` has the
    number of entries that were kept; where it is not the one requested, `remark` says so.
    """

    fold: SparseFold
    histories: sparse.csr_array
    choices: ChoiceSequences
    remark: str | None = None

    @classmethod
    def from_table(
        cls,
        recipe: SegmentRecipe,
        table: sparse.csr_array,
        least_liked: float,
        choices: ChoiceSequences,
        remark: str | None = None,
    ) -> "LearnedSparseSegment":
        """`table`: (n_items, n_items) CSR, B. `least_liked`, `choices`: of the ratings that it was learned from."""
        decay = recipe.hyperparameters["history_decay"]
        fold = SparseFold.from_table(table, decay, least_liked)
        return cls(recipe, fold, choices.decayed(decay, MAX_CHOICES), choices, remark)

    def scores(self, user_rows: NDArray[np.integer]) -> Float32Array:
        scores: Float32Array = (self.histories[user_rows] @ self.fold.table).toarray()
        return scores

    @property
    def speaks(self) -> NDArray[np.bool_]:
        """(n_users,), whether the table has an entry for any choice of each user."""
        return self._speaks(self.histories)

    def speaks_of(self, histories: RatingMatrix) -> NDArray[np.bool_]:
        """As `speaks`, for the b users of another matrix, (b,)."""
        return self._speaks(self._histories_of(histories))

    def _speaks(self, histories: sparse.csr_array) -> NDArray[np.bool_]:
        has_entries = (np.diff(self.fold.starts) > 0).astype(np.float32)
        speaks: NDArray[np.bool_] = histories @ has_entries > 0
        return speaks

    def _histories_of(self, histories: RatingMatrix) -> sparse.csr_array:
        return liked_choices(histories, self.fold.least_liked).decayed(self.fold.decay, MAX_CHOICES)

    def scores_of(self, histories: RatingMatrix) -> Float32Array:
        """As `scores`, for the b users of another matrix, (b, n_items)."""
        scores: Float32Array = (self._histories_of(histories) @ self.fold.table).toarray()
        return scores

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.fold.entries).all())

    def with_decay(self, decay: float) -> "LearnedSparseSegment":
        """The same table with histories decayed otherwise."""
        recipe = replace(self.recipe, hyperparameters=self.recipe.hyperparameters | {"history_decay": decay})
        return replace(
            self,
            recipe=recipe,
            fold=replace(self.fold, decay=decay),
            histories=self.choices.decayed(decay, MAX_CHOICES),
        )

    def with_entries(self, n_entries: int) -> "LearnedSparseSegment":
        """The strongest `n_entries` of each row, by size."""
        recipe = replace(self.recipe, hyperparameters=self.recipe.hyperparameters | {"n_entries": n_entries})
        cut = cut_rows(self.fold.table, n_entries)
        return replace(self, recipe=recipe, fold=SparseFold.from_table(cut, self.fold.decay, self.fold.least_liked))


@dataclass(frozen=True)
class TableSettings:
    """Hyperparameters of every sparse segment, beside those of its learner.

    `history_decay`: the weight of a choice in a history, against the next newer one. `n_entries`: entries of each row
    of the table that are kept, the strongest ones.
    """

    history_decay: float = hyperparameter(0.9, low=0.0, high=1.0)
    n_entries: int = hyperparameter(100, low=1, high=100_000)

    def __post_init__(self) -> None:
        check_hyperparameters(self)


class SparseSegment(Segment[LearnedSparseSegment, SparseFold]):
    """One kind of sparse segment.

    A subclass names two learners of its table: one in closed form, and one that regresses every item on its strongest
    neighbours alone. The second takes seconds where the first takes minutes and loses nothing on most data, so `AUTO`
    searches with it, and keeps the closed form only where that pays.
    """

    starting_weight = 0.3
    anchors_weights = True
    reads_events = True

    closed_form: ClassVar[str]
    """The algorithm that inverts a matrix of all items."""

    on_neighbours: ClassVar[str]
    """The algorithm that regresses on neighbours, for catalogues of any size."""

    first: ClassVar[Mapping[str, float]]
    """The settings of the learner on neighbours that `AUTO` starts from; all others have their defaults. It begins with
    few neighbours, since the cost of a fit grows with their cube."""

    steps: ClassVar[tuple[Mapping[str, float], ...]]
    """What `AUTO` changes in the best settings so far, one step after the other."""

    layouts: ClassVar[Mapping[str, Layout]]
    """Set for each subclass: every table has its own numbers of rows and entries."""

    similar_kind: ClassVar[str]
    """The name by which a list of similar items asks for the rows of its table."""

    def __init_subclass__(cls) -> None:
        axis = f"n_{cls.name}_entries"
        cls.layouts = {
            "starts": (np.dtype(np.int64), (f"n_{cls.name}_starts",)),
            "columns": (np.dtype(np.int32), (axis,)),
            "entries": (np.dtype(np.float16), (axis,)),
        }
        cls.algorithms = (cls.closed_form, cls.on_neighbours, AUTO)
        cls.algorithm_without_data = cls.on_neighbours

    default_algorithm = AUTO

    @abstractmethod
    def _table(
        self,
        algorithm: str,
        settings: Mapping[str, Any],
        sequences: ChoiceSequences,
        rng: np.random.Generator,
        progress: ProgressCallback,
    ) -> sparse.csr_array:
        """B, CSR with up to `n_entries` entries a row. May raise `AlgorithmError`.

        `settings`: all hyperparameters but `history_decay`, which no table depends on.
        """

    def _fit(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedSparseSegment:
        return self.learned(
            recipe,
            ratings,
            lambda settings, sequences: self._table(recipe.algorithm, settings, sequences, rng, progress),
        )

    def learned(self, recipe: SegmentRecipe, ratings: RatingMatrix, table_of: TableOf) -> LearnedSparseSegment:
        """The segment of the table that `table_of` makes. May raise `AlgorithmError`."""
        choices = liked_choices(ratings, ratings.least_liked)
        # What users hardly liked still goes together with what they rated beside it: tables learned from likes alone
        # rank worse.
        item_rows, supported = liked_choices(ratings, ratings.low_below).supported(LEAST_SUPPORT)
        n_entries, fitting = recipe.hyperparameters["n_entries"], entries_that_fit(len(item_rows))
        remark = None
        # The number may have been chosen on a part of the data that has fewer items.
        if min(n_entries, len(item_rows)) > fitting:
            remark = f"{self.name}: {fitting} entries an item instead of {n_entries}, since more do not fit the memory"
            recipe = replace(recipe, hyperparameters=recipe.hyperparameters | {"n_entries": fitting})
        settings = {name: value for name, value in recipe.hyperparameters.items() if name != "history_decay"}
        table = table_of(settings, supported)
        # The rows and columns of the supported items, back in their places among all items.
        starts = np.zeros(ratings.n_items + 1, np.int64)
        starts[item_rows + 1] = np.diff(table.indptr)
        parts = (table.data, item_rows[table.indices], np.cumsum(starts))
        whole = sparse.csr_array(parts, shape=(ratings.n_items, ratings.n_items))
        return LearnedSparseSegment.from_table(recipe, whole, ratings.least_liked, choices, remark)

    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> SparseFold:
        table = (arrays["starts"], arrays["columns"], arrays["entries"])
        return SparseFold(*table, decay=numbers["decay"], least_liked=numbers["least_liked"])

    def hyperparameters(self, algorithm: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the learner, and `TableSettings`."""
        if algorithm == AUTO:
            return super().hyperparameters(algorithm, given)
        of_tables = {each.name for each in fields(TableSettings)}
        of_learner = {name: value for name, value in given.items() if name not in of_tables}
        known = super().hyperparameters(algorithm, {}) | asdict(TableSettings())
        for name in given:
            # The learner would list its own names alone.
            if name not in known:
                problem = f"there is no hyperparameter {shortened(name)}; there are: {', '.join(known)}"
                raise InvalidHyperparameterError(f"{algorithm}: {problem}")
        try:
            table = build(TableSettings, {name: given[name] for name in given if name in of_tables})
        except InvalidHyperparameterError as error:
            raise InvalidHyperparameterError(f"{algorithm}: {error}") from error
        return super().hyperparameters(algorithm, of_learner) | asdict(table)

    def choose(
        self,
        validation: Validation,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback,
        allowed: Collection[str] | None = None,
    ) -> tuple[LearnedSparseSegment, str]:
        # The search asks the segment for its settings, so neither file can import the other at the top.
        from app.segments.table_search import TableSearch

        return TableSearch(self, validation, ratings, rng, progress, allowed).run()


def entries_that_fit(n_items: int) -> int:
    """The largest number of entries of each row that a table of `n_items` may have, by `MAX_BYTES`."""
    return max(MAX_BYTES // (BYTES_PER_ENTRY * max(n_items, 1)), 1)


def liked_choices(ratings: RatingMatrix, least_liked: float) -> ChoiceSequences:
    """The ratings at or above `least_liked` and the positive labels, as choices that all weigh 1."""
    n_positive = 0 if ratings.labels is None else int(np.count_nonzero(ratings.labels.are_positive))
    weights = np.append(ratings.values >= least_liked, np.ones(n_positive, np.bool_))
    return ChoiceSequences.from_ratings(ratings, weights.astype(np.float32))


def _newest_first(
    rows: NDArray[np.integer], rated_at: NDArray[np.int64] | None, positive_at: NDArray[np.int64] | None
) -> tuple[NDArray[np.integer], NDArray[np.int64] | None]:
    """The rows of ratings and positive items, and their times, as one history, newest first, equal times by row.

    Where the times of either are not given, they follow one another as they are.
    """
    if rated_at is None or positive_at is None:
        return rows, None
    times = np.concatenate([rated_at, positive_at])
    order = np.lexsort((rows, ~times))
    return rows[order], times[order]
