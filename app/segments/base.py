"""What a segment is: one learner's part of the score, from its fit to the fold-in of one user.

    score(u, i) = sum over segments of user part(u) . item part(i), each weighted and standardised per user

A `Segment` describes one kind of segment and stands once in the registry. Its `fit` returns a `LearnedSegment`: the
item part and the user part of everything learned from, and a `DenseFold`, the state that folds one more user in. A
snapshot keeps that state as numbers and arrays; `Segment.open` makes the same fold of them again, so a user folded in
while serving and a user folded in while training pass through the same arithmetic.

All segments here are dense: their parts are columns of one matrix. A sparse segment (a table of the strongest entries
of each item, whose user side is the decayed history) will be another kind of `Segment` with another kind of fold. What
does not depend on columns (name, algorithms, choice, weight, arrays, check) is the same for both.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from scipy import sparse

from app.algorithms.errors import AlgorithmError, InvalidHyperparameterError
from app.algorithms.feature_map import FeatureMap, crossed
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

AUTO = "auto"
"""The algorithm and its hyperparameters are chosen from the data, see `Segment.prepare` and `Segment.choose`."""

LEAST_WEIGHT = 1e-4
"""The least weight of a required segment. It only breaks ties, but keeps the predicted rating readable from the user
side, and a list for unknown users."""

TRUST = 10.0
"""A vector learned from n ratings counts n / (n + 10) when a map from features is learned."""

NO_ITEM_ROWS: NDArray[np.int32] = np.empty(0, np.int32)
"""As snapshots store rows. Serving computes with rows in int64 and has its own constant."""

Float32Array = NDArray[np.float32]

Layout = tuple[np.dtype[Any], tuple[str | int, ...]]
"""The dtype of an array, and the names (or fixed lengths) of its axes."""


class SegmentFitError(Exception):
    """An algorithm gave up; the message names it and says why."""


class SegmentStateError(Exception):
    """The numbers and arrays of a segment lack something or contradict each other."""


@dataclass(frozen=True, slots=True)
class SegmentRecipe:
    """How one segment is learned.

    `hyperparameters`: every hyperparameter of the algorithm, defaults included, so that equal recipes learn the same.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    name: str
    algorithm: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)


class Observations(NamedTuple):
    """The observations of one user.

    `item_rows`: (m,) int, rated items.
    `values`: (m,), their ratings in the rating scale.
    `positive_rows`, `negative_rows`: int, other items, by events of the user.
    `liked_from`: ratings at or above it are liked.
    """

    item_rows: NDArray[np.integer]
    values: NDArray[np.floating]
    positive_rows: NDArray[np.integer] = NO_ITEM_ROWS
    negative_rows: NDArray[np.integer] = NO_ITEM_ROWS
    liked_from: float = 0.0


class UserPart(NamedTuple):
    """One user's part of a segment.

    `columns`: (c,) float32, unweighted.
    `bias`: added to each predicted rating, in units of the rating scale; 0 in segments that predict no ratings.
    `uncertainty`: the user's share of the standard deviation of a predicted rating, in the same units; likewise.
    """

    columns: Float32Array
    bias: float = 0.0
    uncertainty: float = 0.0


class DenseFold(ABC):
    """The state of one dense segment: folds users in, and maps items and users that have nothing but features."""

    reads_features: ClassVar[bool] = False
    """Whether `fold_in` reads the user's features."""

    @property
    def numbers(self) -> dict[str, float]:
        """The scalars of the state by name, as a manifest keeps them."""
        return {}

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The arrays of the state by name, as `Segment.layouts` describes them."""
        return {}

    def select(self, observed: Observations) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
        """The item rows (m,) that the user part is folded in from, and what each was rated or counts as, (m,).

        The rated items come first, then the positive, then the negative ones: the columns of `influences`. Unless
        overridden, the ratings alone.
        """
        return observed.item_rows, observed.values

    @abstractmethod
    def fold_in(
        self,
        columns: Float32Array,
        values: NDArray[np.floating],
        item_rows: NDArray[np.integer],
        features: sparse.csr_array | None,
    ) -> UserPart:
        """The part of one user from what `select` gave.

        `columns`: (m, c) float32, the item part of `item_rows`. `features`: (1, g), None unless `reads_features`.
        """

    def influences(
        self, columns: Float32Array, values: NDArray[np.floating], shown: Float32Array
    ) -> NDArray[np.float64] | None:
        """(n, m): how much of user part . item part each of m observations carries, for n items of parts `shown`.

        `columns`, `values`: as of `fold_in`; `shown`: (n, c). None where the part is no sum over observations.
        """

    def item_parts(self, features: sparse.csr_array) -> Float32Array | None:
        """(n, c), the part of items with features (n, f) alone; None: by the map from features."""

    def described_part(self, features: sparse.csr_array) -> Float32Array | None:
        """(c,), the part of a user with features (1, g) alone; None: by the map from features."""

    def observation_weights(self, values: NDArray[np.floating]) -> NDArray[np.floating] | None:
        """(m,), the weight of each rating of a user as a choice; None in segments that do not weigh ratings."""

    def check(self, n_items: int, n_item_features: int, n_user_features: int) -> None:
        """Raises `SegmentStateError` where the state does not fit the catalogue or its features."""


@dataclass(frozen=True)
class LearnedSegment:
    """One segment as learned, not yet weighted.

    `item_part`: (n_items, c) float32.
    `user_part`: (n_users, c) float32, every user folded in.
    `unrated_item`: (c,), the part of an item without ratings, events and features.
    `fold`: folds one more user in.
    `vectors`: predict ratings, in the one segment that does.
    `item_map`, `user_map`: from features to parts, None where there are no features.
    """

    recipe: SegmentRecipe
    item_part: Float32Array
    user_part: Float32Array
    unrated_item: Float32Array
    fold: DenseFold
    vectors: RatingVectors | None = None
    item_map: FeatureMap | None = None
    user_map: FeatureMap | None = None


class Validation(Protocol):
    """A training part and its hold-out, on which algorithms and hyperparameters are chosen."""

    @property
    def train(self) -> RatingMatrix: ...

    def errors(self, vectors: RatingVectors) -> NDArray[np.float64]:
        """(n,), predicted minus actual rating of everything held out."""
        ...

    def ndcg(self, user_part: Float32Array, item_part: Float32Array) -> float:
        """The mean nDCG@10 of the lists by user part (n_users, c) . item part (n_items, c)."""
        ...


class Segment(ABC):
    """One kind of segment. Stateless; the registry holds one object of each.

    Class attributes say what a recipe may name and how the blend treats the segment; the methods learn the segment and
    open its published state. Numba and learners are imported only inside `fit`, `choose` and `hyperparameters`, since
    every API process imports this package.
    """

    name: ClassVar[str]
    """In recipes, cards and explanations."""

    algorithms: ClassVar[tuple[str, ...]]
    """What a recipe may learn it by; with `AUTO` where the data may choose."""

    default_algorithm: ClassVar[str | None] = None
    """In the default recipe; None: the segment is not part of it."""

    algorithm_without_data: ClassVar[str] = ""
    """What `AUTO` becomes where there is too little data to compare anything."""

    is_required: ClassVar[bool] = False
    """Every recipe has it, with at least `LEAST_WEIGHT`."""

    has_hyperparameters: ClassVar[bool] = True
    """False: its algorithm is not one of the learners and takes no hyperparameters."""

    starting_weight: ClassVar[float]
    """Its weight where there is too little data to learn weights from."""

    anchors_weights: ClassVar[bool] = False
    """Whether its weight may be fixed at 1 while the weights of the other segments are learned relative to it."""

    unknown_weight: ClassVar[float] = 0.0
    """Its weight in the user side of an unknown user, one without ratings, events and features."""

    layouts: ClassVar[Mapping[str, Layout]] = {}
    """The arrays of its state by name. An axis `n_NAME_columns`, NAME the segment's name, is as long as its columns."""

    def fit(
        self,
        recipe: SegmentRecipe,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback = ignore,
    ) -> LearnedSegment:
        """Learn from `ratings` and fold every user in. Raises `SegmentFitError` if the algorithm fails."""
        try:
            return self._fit(recipe, ratings, rng, progress)
        # A caller reports the algorithm by its name in recipes, which the algorithm itself does not hold.
        except AlgorithmError as error:
            raise SegmentFitError(f"{recipe.algorithm}: {error}") from error

    @abstractmethod
    def _fit(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedSegment:
        """As `fit`; may raise `AlgorithmError`."""

    def open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> DenseFold:
        """The fold whose `numbers` and `arrays` these are. Raises `SegmentStateError` where one is missing."""
        try:
            return self._open(numbers, arrays)
        # A forged manifest may have the right checksums and still lack a number.
        except KeyError as error:
            raise SegmentStateError(f"the segment {self.name} lacks {error}") from error

    @abstractmethod
    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> DenseFold:
        """As `open`; may raise `KeyError`."""

    def hyperparameters(self, algorithm: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """All hyperparameters of `algorithm`, those `given` in place of the defaults.

        Raises `InvalidHyperparameterError` for a name or a value that the algorithm does not take.
        """
        # `auto` has none: hyperparameters chosen from the data must not be mixed with given ones.
        if algorithm == AUTO or not self.has_hyperparameters:
            if given:
                raise InvalidHyperparameterError(f"{algorithm} has no hyperparameters")
            return {}
        from app.algorithms.by_name import make_learner  # noqa: PLC0415  serving imports segments without learners

        learner: Any = make_learner(algorithm, given)
        return asdict(learner)

    def complete(self, algorithm: str, given: Mapping[str, Any] | None = None) -> SegmentRecipe:
        """A recipe of this segment, with the defaults of what is not given. Raises as `hyperparameters`."""
        return SegmentRecipe(self.name, algorithm, self.hyperparameters(algorithm, given or {}))

    def prepare(self, recipe: SegmentRecipe, ratings: RatingMatrix) -> tuple[SegmentRecipe | None, str | None]:
        """The recipe that `ratings` allow (None leaves the segment out), and a sentence that says why, or None."""
        return recipe, None

    def choose(
        self, validation: Validation, n_ratings: int, rng: np.random.Generator, progress: ProgressCallback
    ) -> tuple[LearnedSegment, str]:
        """For `AUTO`: the segment learned from `validation.train` that is best on the rest, and a sentence on why.

        `n_ratings`: of all the data that it will be learned from in the end. Raises `SegmentFitError`.
        """
        raise NotImplementedError(f"{self.name} is not chosen by validation")

    def note(self, weight: float, ratings: RatingMatrix) -> str | None:
        """A sentence for the snapshot's card on the segment's learned `weight`; None unless overridden."""

    def unknown_part(self, n_columns: int) -> Float32Array:
        """(n_columns,), the part of an unknown user, weighted by `unknown_weight`."""
        return np.zeros(n_columns, np.float32)

    def likeness(self, columns: slice) -> slice | None:
        """Its columns whose directions are compared to find similar items; None if there are none."""

    def item_counts(self, ratings: RatingMatrix) -> NDArray[np.int64]:
        """(n_items,), how many observations each item's part is learned from."""
        return ratings.item_choice_counts

    def user_counts(self, ratings: RatingMatrix) -> NDArray[np.int64]:
        """(n_users,), how many observations each user's part is learned from."""
        return ratings.user_choice_counts

    def item_trust(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n_items,), the weight of each item in the regression of parts on features; 0 for `item_counts` of 0."""
        # n / (n + 10): a part learned from few observations is mostly noise.
        return counts / (counts + TRUST)

    def extend(self, learned: LearnedSegment, ratings: RatingMatrix) -> LearnedSegment:
        """`learned` with the parts of items and users that were not learned from filled in from their features.

        Each segment learns a map from features to its own parts (`FeatureMap`). A new item so gets a rating, a taste
        and a popularity part and enters the same dot product as every other item. A row without features keeps the part
        that `fit` gave it.
        """
        features = ratings.features
        if features is None:
            return learned
        if features.items.shape[1]:
            # An item is new to this segment if the segment learned nothing from it, whatever others learned.
            counts = self.item_counts(ratings)
            learned_map, item_part = _extended(
                features.items, learned.item_part, self.item_trust(counts), is_learned=counts > 0
            )
            learned = replace(learned, item_part=item_part, item_map=learned_map)
        if features.users.shape[1]:
            counts = self.user_counts(ratings)
            # A user with any choice has been folded in, which is more specific than features, so the part is kept.
            learned_map, user_part = _extended(
                features.users, learned.user_part, counts / (counts + TRUST), is_learned=ratings.user_choice_counts > 0
            )
            learned = replace(learned, user_part=user_part, user_map=learned_map)
        return learned


def _extended(
    features: sparse.csr_array, part: Float32Array, trust: NDArray[np.float64], *, is_learned: NDArray[np.bool_]
) -> tuple[FeatureMap, Float32Array]:
    """The map from (n, f) features to (n, c) parts, and the parts with rows that have features alone mapped."""
    # Products of two features are features as well: a comedy of the fifties is rated otherwise than the sum of both.
    described = crossed(features)
    learned = FeatureMap.fit(described, part, trust)
    # part_n = offset + features_n . map for new rows alone: for others, the learned part is the better estimate.
    is_cold = ~is_learned & (np.diff(features.indptr) > 0)
    part = part.copy()
    part[is_cold] = learned.predict(described[is_cold])
    return learned, part


def first_likeness(segments: Sequence[tuple[Segment, slice]]) -> slice:
    """The columns by which items are compared. `segments`: each with its columns, in the order of the registry.

    The last segment that has such columns is taken: the registry lists taste after rating, and what users choose
    describes items better than how they rate them.
    """
    columns = (segment.likeness(columns) for segment, columns in reversed(segments))
    return next((each for each in columns if each is not None), slice(0, 0))
