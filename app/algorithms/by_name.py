"""The registry of learners: a name, as recipes and the command line write it, to a learner class."""

from collections.abc import Mapping
from typing import Any

from app.algorithms.als import ALS
from app.algorithms.als_implicit import ImplicitALS
from app.algorithms.bayesian_mf import BayesianMF
from app.algorithms.biases import Biases
from app.algorithms.content_linear import ContentLinear, ContentLinearDual
from app.algorithms.ease import EASE
from app.algorithms.errors import InvalidHyperparameterError
from app.algorithms.funk_svd import FunkSVD
from app.algorithms.hyperparameters import build
from app.algorithms.knn import KNN
from app.algorithms.learner import Learner, RatingLearner, TasteLearner
from app.algorithms.logistic import Logistic
from app.algorithms.slim import SLIM, SparseTransitions
from app.algorithms.svd_plus_plus import SVDPlusPlus
from app.algorithms.transitions import Transitions
from app.algorithms.two_tower import TwoTower

# Learners of rating vectors, by name.
RATING_LEARNERS: dict[str, type[Any]] = {
    "als": ALS,
    "bayesian_mf": BayesianMF,
    "biases": Biases,
    "content_linear": ContentLinear,
    "funk_svd": FunkSVD,
}

# Learners of taste vectors, by name.
TASTE_LEARNERS: dict[str, type[Any]] = {
    "als_implicit": ImplicitALS,
}

# All learners by name, in the order in which help texts and reports list them.
LEARNERS: dict[str, type[Any]] = {
    **RATING_LEARNERS,
    "ease": EASE,
    "slim": SLIM,
    "transitions": Transitions,
    "sparse_transitions": SparseTransitions,
    **TASTE_LEARNERS,
    "content_linear_dual": ContentLinearDual,
    "two_tower": TwoTower,
    "knn": KNN,
    "svd_plus_plus": SVDPlusPlus,
    "logistic": Logistic,
}


def make_learner(name: str, hyperparameters: Mapping[str, object] | None = None) -> Learner:
    """The learner `name` with `hyperparameters` in place of its defaults.

    Raises `InvalidHyperparameterError` for an unknown algorithm or hyperparameter, with the list of known names, and
    for an invalid value.
    """
    learner: Learner = _make(LEARNERS, name, hyperparameters)
    return learner


def make_rating_learner(name: str, hyperparameters: Mapping[str, object] | None = None) -> RatingLearner:
    """As `make_learner`, for the learners of rating vectors."""
    learner: RatingLearner = _make(RATING_LEARNERS, name, hyperparameters)
    return learner


def make_taste_learner(name: str, hyperparameters: Mapping[str, object] | None = None) -> TasteLearner:
    """As `make_learner`, for the learners of taste vectors."""
    learner: TasteLearner = _make(TASTE_LEARNERS, name, hyperparameters)
    return learner


def _make(learners: Mapping[str, type[Any]], name: str, hyperparameters: Mapping[str, object] | None) -> Any:
    if name not in learners:
        raise InvalidHyperparameterError(f"there is no algorithm {name!r}; there are: {', '.join(learners)}")
    try:
        return build(learners[name], hyperparameters or {})
    # A recipe names several algorithms, so the message has to say which one is wrong.
    except InvalidHyperparameterError as error:
        raise InvalidHyperparameterError(f"{name}: {error}") from None
