"""What to learn: the segments of the vectors, the algorithm of each, and its settings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.algorithms.by_name import LEARNERS, make_learner
from app.algorithms.errors import InvalidHyperparameter
from app.errors import InvalidInputError

RATING = "rating"
PRIOR = "prior"
POPULARITY = "popularity"
DEFAULT_ALGORITHM = "funk_svd"

PUBLISHABLE = {
    RATING: tuple(sorted(LEARNERS.keys() - {"batch_gradient_descent"})),  # a reference, whose user side is no fold-in
    PRIOR: (POPULARITY,),
}
"""Segment name -> the algorithms it may be learned by."""


@dataclass(frozen=True, slots=True)
class SegmentRecipe:
    """`hyperparameters`: all that the algorithm has, defaults too, so that equal recipes learn the same."""

    name: str
    algorithm: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """`holdout_fraction`: the newest share of every user's ratings that the report is measured on."""

    segments: tuple[SegmentRecipe, ...]
    holdout_fraction: float = 0.2

    @property
    def document(self) -> dict[str, Any]:
        """As stored in jobs and manifests; `parse_recipe` reads it."""
        return {"segments": [asdict(segment) for segment in self.segments], "holdout_fraction": self.holdout_fraction}


def rating_recipe(algorithm: str = DEFAULT_ALGORITHM, hyperparameters: Mapping[str, Any] | None = None) -> Recipe:
    """Ratings learned by `algorithm`, beside the popularity prior.

    Raises `InvalidInputError` for an unknown algorithm or hyperparameter, naming the right ones.
    """
    return Recipe((_complete(RATING, algorithm, hyperparameters or {}), SegmentRecipe(PRIOR, POPULARITY)))


def fallback_recipe() -> Recipe:
    """Published when nothing is live yet and the recipe asked for did not pass: close to a list of bestsellers."""
    return rating_recipe("biases")


def parse_recipe(document: Mapping[str, Any] | None) -> Recipe:
    """The recipe in `document`; None is the default. Raises `InvalidInputError`, naming what would be right."""
    if document is None:
        return rating_recipe()
    try:
        recipe = TypeAdapter(Recipe).validate_python(document)
    except ValidationError as error:
        raise InvalidInputError(f"not a recipe: {error.errors()[0]['msg']}", field="recipe") from error
    if not 0 < recipe.holdout_fraction < 1:
        raise InvalidInputError("holdout_fraction lies between 0 and 1", field="recipe")
    if [segment.name for segment in recipe.segments] != [RATING, PRIOR]:
        raise InvalidInputError(f"a recipe has the segments {RATING} and {PRIOR}, in this order", field="recipe")
    segments = (_complete(segment.name, segment.algorithm, segment.hyperparameters) for segment in recipe.segments)
    return replace(recipe, segments=tuple(segments))


def _complete(name: str, algorithm: str, hyperparameters: Mapping[str, Any]) -> SegmentRecipe:
    if algorithm not in PUBLISHABLE[name]:
        there_are = ", ".join(PUBLISHABLE[name])
        raise InvalidInputError(f"no {name} segment is learned by {algorithm!r}, but by: {there_are}", field="recipe")
    if name == PRIOR:
        if hyperparameters:
            raise InvalidInputError(f"{POPULARITY} has no hyperparameters", field="recipe")
        return SegmentRecipe(name, algorithm)
    try:
        learner: Any = make_learner(algorithm, hyperparameters)
    except InvalidHyperparameter as error:
        raise InvalidInputError(str(error), field="recipe") from error
    return SegmentRecipe(name, algorithm, asdict(learner))
