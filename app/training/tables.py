"""The neighbour tables of a recipe: for every item, the items that a rating of it recommends most."""

from collections.abc import Mapping

import numpy as np

from app.algorithms.ease import EASE
from app.algorithms.errors import AlgorithmError
from app.algorithms.hyperparameters import build
from app.algorithms.knn import KNN
from app.algorithms.neighbour_table import NeighbourTable
from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.training.errors import TrainingFailedError
from app.training.recipe import EASE_TABLE, N_NEIGHBOURS, Recipe, TableRecipe


def fit_tables(
    recipe: Recipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
) -> Mapping[str, NeighbourTable]:
    """Algorithm -> its table, (n_items, n) with n <= `N_NEIGHBOURS`, from ratings and engagements alike.

    Raises `TrainingFailedError` if an algorithm fails.
    """
    stage, n = Stage.from_progress(progress), len(recipe.tables)
    # These algorithms read ratings alone, so an engagement counts as a rating that is just liked.
    observed = ratings if ratings.labels is None else ratings.with_positive(ratings.labels.counts_as)
    tables: dict[str, NeighbourTable] = {}
    for table, table_rng in zip(recipe.tables, rng.spawn(n), strict=True):
        with stage.part(table.algorithm, (len(tables) + 1) / n) as part:
            try:
                tables[table.algorithm] = _fit(table, observed, table_rng, part)
            except AlgorithmError as error:
                raise TrainingFailedError(f"the table {table.algorithm}: {error}") from error
    return tables


def check_tables(recipe: Recipe, ratings: RatingMatrix) -> None:
    """Raises `TrainingFailedError` where the ratings are too many for a table, before anything is learned."""
    # EASE inverts a dense matrix of all pairs of items; a run would otherwise fail after minutes of other work.
    try:
        if any(table.algorithm == EASE_TABLE for table in recipe.tables):
            EASE.check_size(ratings)
    except AlgorithmError as error:
        raise TrainingFailedError(f"the table {EASE_TABLE}: {error}") from error


def _fit(
    table: TableRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
) -> NeighbourTable:
    if table.algorithm == EASE_TABLE:
        # Its weights differ by direction: a list starts from the rated items, so the outgoing weights are kept.
        return (
            build(EASE, table.hyperparameters)
            .fit(ratings, rng, progress)
            .outgoing_table(min(N_NEIGHBOURS, ratings.n_items))
        )
    # Its weights are the same in both directions.
    return build(KNN, table.hyperparameters).fit(ratings, rng, progress).table
