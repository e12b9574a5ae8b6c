"""What to learn: the segments of the vectors, the algorithm of each, and its hyperparameters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from reprlib import repr as shortened
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from app.algorithms.errors import InvalidHyperparameterError
from app.errors import InvalidInputError
from app.segments.base import AUTO, SegmentRecipe
from app.segments.popularity import HALF_LIFE, POPULARITY
from app.segments.rating import RATING
from app.segments.registry import SEGMENTS, in_order
from app.store.store import Store
from app.training.dataset import Question
from app.training.engines import LOCAL, SPARK, EngineName, allowed_by
from app.training.source_files import check_source_address

FORMER_NAMES = {"prior": POPULARITY}
"""Names that segments had in recipes of earlier releases, which stay accepted -> their names now."""

MAX_USER_GROUPS = 16
"""Fields and attributes of users that make groups, at most."""


# A constraint makes Pydantic refuse lone surrogates too; neither they nor control characters are in stored names.
GroupName = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one training run learns.

    `question`: what the recipe is resolved for. `newest`: what users like of the newest share `holdout_fraction` of
    their ratings; the report is measured on it. `next`: which item they choose next, measured on the newest rating
    alone. `both`: measured as `newest` and resolved for both.
    `user_groups`: the fields and attributes of users by whose values popularity is counted in groups; one that no user
    has makes no groups.
    `item_text`: how the texts of items become features of items without ratings; None where they do not.
    `engine`: where it is learned.
    `source`: the file or folder of Parquet, on this machine or as `s3://BUCKET/PREFIX`, from which ratings are read
        besides those of the database; None: none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    segments: tuple[SegmentRecipe, ...]
    holdout_fraction: float = 0.2
    question: Question = "both"
    user_groups: tuple[GroupName, ...] = ("country",)
    item_text: Literal["tfidf"] | None = None
    engine: EngineName = LOCAL
    source: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """As stored in jobs and manifests; `parse_recipe` reads it."""
        return {
            "segments": [asdict(segment) for segment in self.segments],
            "holdout_fraction": self.holdout_fraction,
            "question": self.question,
            "user_groups": [*self.user_groups],
            "item_text": self.item_text,
            "engine": self.engine,
            # Most recipes have none, and those of earlier releases had no such field.
            **({} if self.source is None else {"source": self.source}),
        }


def default_recipe() -> Recipe:
    """Every segment that has a default algorithm, most of them learned as the data choose."""
    return Recipe(
        tuple(
            SegmentRecipe(segment.name, segment.default_algorithm)
            for segment in SEGMENTS.values()
            if segment.default_algorithm is not None
        )
    )


def rating_recipe(
    algorithm: str, hyperparameters: Mapping[str, Any] | None = None, half_life_days: float | None = None
) -> Recipe:
    """Ratings learned by `algorithm`, and popularity of that half-life, None for no decay; no other segment.

    Raises `InvalidInputError` for an unknown algorithm or hyperparameter, naming the right ones.
    """
    popularity = complete(POPULARITY, POPULARITY, {HALF_LIFE: half_life_days})
    return Recipe((complete(RATING, algorithm, hyperparameters or {}), popularity))


def with_rating(algorithm: str, hyperparameters: Mapping[str, Any] | None = None) -> Recipe:
    """The default recipe with ratings learned by `algorithm`. Raises `InvalidInputError`."""
    return replace_segment(default_recipe(), complete(RATING, algorithm, hyperparameters or {}))


def replace_segment(recipe: Recipe, segment: SegmentRecipe) -> Recipe:
    """`recipe` with `segment` in place of the one of its name, or added in its place in the order of segments."""
    # The order of columns is that of the registry, whatever order the names came in.
    segments = {each.name: each for each in recipe.segments} | {segment.name: segment}
    return replace(recipe, segments=tuple(segments[name] for name in in_order([*segments])))


def recipe_of_segments(texts: Sequence[str]) -> Recipe:
    """The segments `NAME` or `NAME=ALGORITHM`, and those that are required; ratings by biases where they are not named.

    Raises `InvalidInputError`.
    """
    named = dict(text.strip().partition("=")[::2] for text in texts)
    if unknown := named.keys() - SEGMENTS.keys():
        raise InvalidInputError(
            f"there is no segment {shortened(min(unknown))}, but: {', '.join(SEGMENTS)}", field="segments"
        )
    for segment in SEGMENTS.values():
        if segment.is_required:
            named.setdefault(segment.name, segment.algorithm_without_data)
    defaults = {name: SEGMENTS[name].default_algorithm or SEGMENTS[name].algorithms[0] for name in named}
    return Recipe(tuple(complete(name, named[name] or defaults[name], {}) for name in in_order([*named])))


def fallback_recipe(half_life_days: float | None = None) -> Recipe:
    """A list of popular items: published while nothing is live and the requested recipe did not pass."""
    return rating_recipe("biases", half_life_days=half_life_days)


def parse_recipe(document: Mapping[str, Any] | None) -> Recipe:
    """The recipe in `document`; None is the default. Raises `InvalidInputError`, which says what is valid."""
    if document is None:
        return default_recipe()
    try:
        recipe = TypeAdapter(Recipe).validate_python(_without_tables(document))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise InvalidInputError(f"not a recipe: {shortened(where)}: {first['msg']}", field="recipe") from error
    # At 0 nothing is left to measure, and at 1 nothing to learn from.
    if not 0 < recipe.holdout_fraction < 1:
        raise InvalidInputError("holdout_fraction lies between 0 and 1", field="recipe")
    if len(recipe.user_groups) > MAX_USER_GROUPS or len(set(recipe.user_groups)) < len(recipe.user_groups):
        raise InvalidInputError(f"user_groups are up to {MAX_USER_GROUPS} different names", field="recipe")
    if recipe.source is not None:
        # Before it is stored in a job or a manifest, which would keep a password in it.
        check_source_address(recipe.source)
    # From here on only the present names occur, in cards and in answers as well.
    segments = [replace(each, name=FORMER_NAMES.get(each.name, each.name)) for each in recipe.segments]
    names = [segment.name for segment in segments]
    # Read here and not at import, so that a segment that a test registers counts as well.
    required = [segment.name for segment in SEGMENTS.values() if segment.is_required]
    if names != in_order(names) or not set(required) <= set(names):
        raise InvalidInputError(
            f"a recipe has the segments {', '.join(SEGMENTS)}, in this order; {', '.join(required)} must be there",
            field="recipe",
        )
    completed = tuple(complete(segment.name, segment.algorithm, segment.hyperparameters) for segment in segments)
    for segment in completed:
        _check_engine(recipe.engine, segment)
    return replace(recipe, segments=completed)


def with_engine(recipe: Recipe, engine: EngineName) -> Recipe:
    """`recipe`, learned by `engine`. Raises `InvalidInputError` where it cannot learn one of the algorithms."""
    return parse_recipe(replace(recipe, engine=engine).document)


def _check_engine(engine: EngineName, segment: SegmentRecipe) -> None:
    allowed = allowed_by(engine, segment.name)
    if allowed is None or segment.algorithm == AUTO:
        return
    if segment.algorithm not in allowed:
        can_be = " or ".join((*allowed, AUTO))
        problem = f"the engine {engine} learns {segment.name} by {can_be}, not by {segment.algorithm}"
        raise InvalidInputError(problem, field="recipe")
    if engine == SPARK and segment.hyperparameters.get("unobserved_weight") == 0:
        raise InvalidInputError("the engine spark needs an unobserved_weight above 0", field="recipe")


def recipe_in_use(store: Store) -> Recipe:
    """That of the service, which reads ratings where the live snapshot did: without them, most of it would be lost."""
    recipe, entry = parse_recipe(store.instance.recipe()), store.snapshots.live()
    if recipe.source is not None or entry is None:
        return recipe
    return replace(recipe, source=entry.source)


def check_source(recipe: Recipe, store: Store) -> None:
    """Raises `InvalidInputError` where `recipe` reads files that the live snapshot was not learned from.

    For callers from outside, who must not choose which files of this machine are read.
    """
    if recipe.source is None:
        return
    entry = store.snapshots.live()
    if entry is None or entry.source != recipe.source:
        raise InvalidInputError(
            "`source` names the files that the live snapshot was learned from, or nothing; others are named on the"
            " command line: `reckon train --from PATH`",
            field="recipe",
        )


def complete(name: str, algorithm: str, hyperparameters: Mapping[str, Any]) -> SegmentRecipe:
    """The recipe of one segment, with the defaults of what is not given. Raises `InvalidInputError`."""
    segment = SEGMENTS[name]
    if algorithm not in segment.algorithms:
        there_are = ", ".join(segment.algorithms)
        raise InvalidInputError(
            f"no {name} segment is learned by {shortened(algorithm)}, but by: {there_are}", field="recipe"
        )
    try:
        return segment.complete(algorithm, hyperparameters)
    except InvalidHyperparameterError as error:
        raise InvalidInputError(str(error), field="recipe") from error


def _without_tables(document: Any) -> Any:
    """The document without `tables`, which recipes of earlier releases may have: a table is a segment now."""
    # Of a file, the document may be no object at all, which the schema refuses.
    if not isinstance(document, Mapping):
        return document
    return {name: value for name, value in document.items() if name != "tables"}


def segment_of(algorithm: str) -> str:
    """The segment that an algorithm may be published as. Raises `InvalidInputError` if there is none."""
    tunable = [segment for segment in SEGMENTS.values() if segment.has_hyperparameters]
    for segment in tunable:
        if algorithm in segment.algorithms:
            return segment.name
    # Some algorithms are baselines for experiments alone and have no segment.
    can_be = ", ".join(algorithm for segment in tunable for algorithm in segment.algorithms)
    raise InvalidInputError(f"{algorithm} is measured only; the service can learn by: {can_be}", field="algorithm")


def with_tuned(recipe: Recipe, algorithm: str, hyperparameters: Mapping[str, Any]) -> Recipe:
    """`recipe` with the segment of `algorithm` learned by it, with these hyperparameters; other segments stay."""
    tuned = complete(segment_of(algorithm), algorithm, hyperparameters)
    return replace_segment(recipe, tuned)
