"""What to learn: the segments of the vectors, the algorithm of each, and its settings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from reprlib import repr as shortened
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from app.algorithms.by_name import RATING_LEARNERS, TASTE_LEARNERS, make_learner
from app.algorithms.errors import InvalidHyperparameterError
from app.errors import InvalidInputError

RATING, TASTE, TOWERS, ENGAGEMENT, PRIOR = "rating", "taste", "towers", "engagement", "prior"
POPULARITY = "popularity"

AUTO = "auto"
"""The algorithm and its settings are chosen by the data, see `resolve.py`."""

PUBLISHABLE = {
    RATING: (*sorted(RATING_LEARNERS), AUTO),
    TASTE: (*sorted(TASTE_LEARNERS), AUTO),
    TOWERS: ("two_tower",),
    ENGAGEMENT: ("logistic", AUTO),
    PRIOR: (POPULARITY,),
}
"""Segment name -> the algorithms it may be learned by. In this order the segments stand in the vectors."""

N_NEIGHBOURS = 50
"""Neighbours of each item that a table keeps, at most: as many as similar items."""

KNN_TABLE, EASE_TABLE = "knn", "ease"

TABLES: dict[str, dict[str, Any]] = {KNN_TABLE: {"n_neighbours": N_NEIGHBOURS}, EASE_TABLE: {}}
"""The algorithms that a table may be learned by -> what is other than their defaults. They stand in this order."""

MAX_USER_GROUPS = 16
"""Fields and attributes of users that make groups."""

REQUIRED = (RATING, PRIOR)

# A constraint makes Pydantic refuse lone surrogates too; neither they nor control characters are in stored names.
GroupName = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")]
TUNABLE = (RATING, TASTE, TOWERS, ENGAGEMENT)
"""The segments whose learners have hyperparameters to tune."""


@dataclass(frozen=True, slots=True)
class SegmentRecipe:
    """`hyperparameters`: all that the algorithm has, defaults too, so that equal recipes learn the same."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    name: str
    algorithm: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableRecipe:
    """A table of neighbours of each item; `hyperparameters`: as of `SegmentRecipe`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    algorithm: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """`holdout_fraction`: the newest share of every user's ratings that the report is measured on.

    `tables`: published beside the segments, for lists of what goes with what was rated.

    `user_groups`: fields and attributes of users by whose values it is counted what is popular among whom; one that
    nobody has makes no groups.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    segments: tuple[SegmentRecipe, ...]
    holdout_fraction: float = 0.2
    user_groups: tuple[GroupName, ...] = ("country",)
    tables: tuple[TableRecipe, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """As stored in jobs and manifests; `parse_recipe` reads it."""
        return {
            "segments": [asdict(segment) for segment in self.segments],
            "holdout_fraction": self.holdout_fraction,
            "user_groups": [*self.user_groups],
            "tables": [asdict(table) for table in self.tables],
        }


def default_recipe() -> Recipe:
    """Ratings, taste, engagement and popularity, each learned as suits the data."""
    learned = (SegmentRecipe(name, AUTO) for name in (RATING, TASTE, ENGAGEMENT))
    return Recipe((*learned, SegmentRecipe(PRIOR, POPULARITY)))


def rating_recipe(algorithm: str, hyperparameters: Mapping[str, Any] | None = None) -> Recipe:
    """Ratings learned by `algorithm`, beside the popularity prior, without a taste.

    Raises `InvalidInputError` for an unknown algorithm or hyperparameter, naming the right ones.
    """
    return Recipe((complete(RATING, algorithm, hyperparameters or {}), SegmentRecipe(PRIOR, POPULARITY)))


def with_rating(algorithm: str, hyperparameters: Mapping[str, Any] | None = None) -> Recipe:
    """The default recipe, its ratings learned by `algorithm`. Raises `InvalidInputError`."""
    _, *others = default_recipe().segments
    return Recipe((complete(RATING, algorithm, hyperparameters or {}), *others))


def fallback_recipe() -> Recipe:
    """Published when nothing is live yet and the recipe asked for did not pass: a list of bestsellers."""
    return rating_recipe("biases")


def parse_recipe(document: Mapping[str, Any] | None) -> Recipe:
    """The recipe in `document`; None is the default. Raises `InvalidInputError`, naming what would be right."""
    if document is None:
        return default_recipe()
    try:
        recipe = TypeAdapter(Recipe).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise InvalidInputError(f"not a recipe: {shortened(where)}: {first['msg']}", field="recipe") from error
    if not 0 < recipe.holdout_fraction < 1:
        raise InvalidInputError("holdout_fraction lies between 0 and 1", field="recipe")
    if len(recipe.user_groups) > MAX_USER_GROUPS or len(set(recipe.user_groups)) < len(recipe.user_groups):
        raise InvalidInputError(f"user_groups are up to {MAX_USER_GROUPS} different names", field="recipe")
    names = [segment.name for segment in recipe.segments]
    if names != [name for name in PUBLISHABLE if name in names] or not set(REQUIRED) <= set(names):
        raise InvalidInputError(
            f"a recipe has the segments {', '.join(PUBLISHABLE)}, in this order; {', '.join(REQUIRED)} must be there",
            field="recipe",
        )
    segments = (complete(segment.name, segment.algorithm, segment.hyperparameters) for segment in recipe.segments)
    return replace(recipe, segments=tuple(segments), tables=_complete_tables(recipe.tables))


def _complete_tables(tables: tuple[TableRecipe, ...]) -> tuple[TableRecipe, ...]:
    names = [table.algorithm for table in tables]
    if names != [name for name in TABLES if name in names]:
        raise InvalidInputError(f"tables are those of {', '.join(TABLES)}, each once, in this order", field="recipe")
    return tuple(
        TableRecipe(table.algorithm, _settings(table.algorithm, TABLES[table.algorithm] | table.hyperparameters))
        for table in tables
    )


def complete(name: str, algorithm: str, hyperparameters: Mapping[str, Any]) -> SegmentRecipe:
    """The recipe of one segment, with the defaults of what is not given. Raises `InvalidInputError`."""
    if algorithm not in PUBLISHABLE[name]:
        there_are = ", ".join(PUBLISHABLE[name])
        raise InvalidInputError(
            f"no {name} segment is learned by {shortened(algorithm)}, but by: {there_are}", field="recipe"
        )
    if algorithm in {POPULARITY, AUTO}:
        if hyperparameters:
            raise InvalidInputError(f"{algorithm} has no hyperparameters", field="recipe")
        return SegmentRecipe(name, algorithm)
    return SegmentRecipe(name, algorithm, _settings(algorithm, hyperparameters))


def _settings(algorithm: str, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """All hyperparameters of an algorithm, with the defaults of what is not given. Raises `InvalidInputError`."""
    try:
        learner: Any = make_learner(algorithm, hyperparameters)
    except InvalidHyperparameterError as error:
        raise InvalidInputError(str(error), field="recipe") from error
    settings = asdict(learner)
    if algorithm == KNN_TABLE and settings["n_neighbours"] > N_NEIGHBOURS:
        raise InvalidInputError(f"a table has up to {N_NEIGHBOURS} n_neighbours", field="recipe")
    return settings


def segment_of(algorithm: str) -> str:
    """The segment that an algorithm may be published as. Raises `InvalidInputError` if there is none."""
    for name in TUNABLE:
        if algorithm in PUBLISHABLE[name]:
            return name
    can_be = ", ".join(algorithm for name in TUNABLE for algorithm in PUBLISHABLE[name])
    raise InvalidInputError(f"{algorithm} is measured only; the service can learn by: {can_be}", field="algorithm")


def with_tuned(recipe: Recipe, algorithm: str, hyperparameters: Mapping[str, Any]) -> Recipe:
    """`recipe` with the segment of `algorithm` learned by it, with these hyperparameters; other segments stay."""
    tuned = complete(segment_of(algorithm), algorithm, hyperparameters)
    segments = {segment.name: segment for segment in recipe.segments} | {tuned.name: tuned}
    return replace(recipe, segments=tuple(segments[name] for name in PUBLISHABLE if name in segments))
