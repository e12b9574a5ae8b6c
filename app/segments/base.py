"""What a segment is: one learner's part of the score, from its fit to the fold-in of one user.

    score(u, i) = sum over segments of their scores of the pair, each weighted and standardised per user

A `Segment` describes one kind of segment and stands once in the registry. Its `fit` returns a `LearnedSegment`, which
holds everything learned and a `Fold`, the state that folds one more user in. A snapshot keeps that state as numbers and
arrays; `Segment.open` makes the same fold of them again, so a user folded in while serving and a user folded in while
training pass through the same arithmetic.

A segment is dense or sparse. A dense one (`dense.py`) is a block of columns on both sides; its score is their dot
product. A sparse one (`sparse.py`) is a table of the strongest entries of each item; its score is the product of the
user's decayed history with the table. What both have in common (name, algorithms, choice, weight, arrays, check) is
here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from app.algorithms.errors import AlgorithmError, FitDivergedError, InvalidHyperparameterError
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

AUTO = "auto"
"""The algorithm and its hyperparameters are chosen from the data, see `Segment.prepare` and `Segment.choose`."""

LEAST_WEIGHT = 1e-4
"""The least weight of a required segment. It only breaks ties, but keeps the predicted rating readable from the user
side, and a list for unknown users."""

NO_ITEM_ROWS: NDArray[np.int32] = np.empty(0, np.int32)
"""As snapshots store rows. Serving computes with rows in int64 and has its own constant."""

Float32Array = NDArray[np.float32]

Layout = tuple[np.dtype[Any], tuple[str | int, ...]]
"""The dtype of an array, and the names (or fixed lengths) of its axes."""


class SegmentFitError(Exception):
    """An algorithm gave up; the message names it and says why."""


class SegmentDivergedError(SegmentFitError):
    """These data are too much for the algorithm; another candidate, or the other segments, may still learn them."""


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
    `rated_at`, `positive_at`: int64 microseconds UTC, the times of `item_rows` and of `positive_rows`, `UNKNOWN_TIME`
        where unknown. None: the rows are ordered, newest first, and no two are of one time.
    """

    item_rows: NDArray[np.integer]
    values: NDArray[np.floating]
    positive_rows: NDArray[np.integer] = NO_ITEM_ROWS
    negative_rows: NDArray[np.integer] = NO_ITEM_ROWS
    liked_from: float = 0.0
    rated_at: NDArray[np.int64] | None = None
    positive_at: NDArray[np.int64] | None = None


class Fold:
    """The state of a segment that folds users in."""

    @property
    def numbers(self) -> dict[str, float]:
        """The scalars of the state by name, as a manifest keeps them."""
        return {}

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The arrays of the state by name, as `Segment.layouts` describes them."""
        return {}

    def check(self, n_items: int, n_item_features: int, n_user_features: int) -> None:
        """Raises `SegmentStateError` where the state does not fit the catalogue or its features."""


@dataclass(frozen=True)
class LearnedSegment:
    """One segment as learned, not yet weighted. `recipe`: without `AUTO`. `fold`: folds one more user in."""

    recipe: SegmentRecipe
    fold: Fold

    def scores(self, user_rows: NDArray[np.integer]) -> Float32Array:
        """The unweighted scores of all items for some users, (b, n_items)."""
        raise NotImplementedError

    @property
    def is_finite(self) -> bool:
        """Whether all numbers that scores are made of are finite."""
        raise NotImplementedError

    @property
    def remark(self) -> str | None:
        """A sentence for the snapshot's card where less was learned than requested; None unless overridden."""
        return None


class Validation(Protocol):
    """A training part and its hold-out, on which algorithms and hyperparameters are chosen."""

    @property
    def train(self) -> RatingMatrix: ...

    def errors(self, vectors: RatingVectors) -> NDArray[np.float64]:
        """(n,), predicted minus actual rating of everything held out."""
        ...

    def ndcg(self, score: Callable[[NDArray[np.int64]], NDArray[np.floating]]) -> float:
        """The mean nDCG@10 of the lists by `score`: user rows (b,) -> scores of all items (b, n_items)."""
        ...


AnyLearned = TypeVar("AnyLearned", bound=LearnedSegment)
AnyFold = TypeVar("AnyFold", bound=Fold)


class Segment(ABC, Generic[AnyLearned, AnyFold]):
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

    ranks_what_was_chosen: ClassVar[bool] = True
    """Whether a user's own choices are to be found at the top of its scores; what comes next need not be known."""

    algorithm_without_data: ClassVar[str] = ""
    """What `AUTO` becomes where there is too little data to compare anything."""

    is_required: ClassVar[bool] = False
    """Every recipe has it, with at least `LEAST_WEIGHT`."""

    needs_grades: ClassVar[bool] = False
    """Left out where values are no grades (`RatingMatrix.is_graded`), even if it is required."""

    reads_events: ClassVar[bool] = False
    """Whether it has something of its own for a user known by events alone."""

    has_hyperparameters: ClassVar[bool] = True
    """False: its algorithm is not one of the learners and takes no hyperparameters."""

    starting_weight: ClassVar[float]
    """Its weight where there is too little data to learn weights from."""

    anchors_weights: ClassVar[bool] = False
    """Whether its weight may be fixed at 1 while the weights of the other segments are learned relative to it."""

    layouts: ClassVar[Mapping[str, Layout]] = {}
    """The arrays of its state by name. An axis `n_NAME_columns`, NAME the segment's name, is as long as its columns."""

    def fit(
        self,
        recipe: SegmentRecipe,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback = ignore,
    ) -> AnyLearned:
        """Learn from `ratings` and fold every user in.

        Raises `SegmentDivergedError` if the fit diverges, another `SegmentFitError` if it fails otherwise.
        """
        try:
            return self._fit(recipe, ratings, rng, progress)
        except (FitDivergedError, np.linalg.LinAlgError) as error:
            raise SegmentDivergedError(f"{recipe.algorithm}: {error}") from error
        # A caller reports the algorithm by its name in recipes, which the algorithm itself does not hold.
        except AlgorithmError as error:
            raise SegmentFitError(f"{recipe.algorithm}: {error}") from error

    @abstractmethod
    def _fit(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> AnyLearned:
        """As `fit`; may raise `AlgorithmError`."""

    def open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> AnyFold:
        """The fold whose `numbers` and `arrays` these are. Raises `SegmentStateError` where one is missing."""
        try:
            return self._open(numbers, arrays)
        # A forged manifest may have the right checksums and still lack a number.
        except KeyError as error:
            raise SegmentStateError(f"the segment {self.name} lacks {error}") from error

    @abstractmethod
    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> AnyFold:
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
        from app.algorithms.by_name import make_learner

        learner: Any = make_learner(algorithm, given)
        return asdict(learner)

    def complete(self, algorithm: str, given: Mapping[str, Any] | None = None) -> SegmentRecipe:
        """A recipe of this segment, with the defaults of what is not given. Raises as `hyperparameters`."""
        return SegmentRecipe(self.name, algorithm, self.hyperparameters(algorithm, given or {}))

    def prepare(self, recipe: SegmentRecipe, ratings: RatingMatrix) -> tuple[SegmentRecipe | None, str | None]:
        """The recipe that `ratings` allow (None leaves the segment out), and a sentence that says why, or None."""
        if self.needs_grades and not ratings.is_graded:
            return None, f"{self.name} left out: the values are no grades, so no ratings are predicted"
        return recipe, None

    def choose(
        self,
        validation: Validation,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback,
        allowed: Collection[str] | None = None,
    ) -> tuple[AnyLearned, str]:
        """For `AUTO`: the segment learned from `validation.train` that is best on the rest, and a sentence on why.

        `allowed`: the algorithms that may be chosen; None: all.
        `ratings`: all that the segment will be learned from in the end; the validation may hold some of its users
        alone, and fewer of its items. A candidate that diverges is dropped, and the sentence says so. Raises
        `SegmentFitError` where none is left, or where one fails otherwise.
        """
        raise NotImplementedError(f"{self.name} is not chosen by validation")

    def note(self, weight: float, ratings: RatingMatrix) -> str | None:
        """A sentence for the snapshot's card on the segment's learned `weight`; None unless overridden."""

    def extend(self, learned: AnyLearned, ratings: RatingMatrix) -> AnyLearned:
        """`learned` with what features alone tell of items and users; itself unless overridden."""
        return learned
