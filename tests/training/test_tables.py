"""Tables of neighbours, from the recipe to what is served."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.algorithms import ease
from app.scoring import PublishedScorer
from app.training.errors import TrainingFailedError
from app.training.recipe import rating_recipe
from tests.support.published import opened_shop
from tests.support.user_states import tasteful_ratings

TABLES: list[dict[str, Any]] = [{"algorithm": "knn", "hyperparameters": {"n_neighbours": 10}}, {"algorithm": "ease"}]


def recipe_with(tables: list[dict[str, Any]]) -> dict[str, Any]:
    return rating_recipe("funk_svd", {"n_factors": 4}).document | {"tables": tables}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> PublishedScorer:
    with opened_shop(tmp_path_factory.mktemp("shop"), tasteful_ratings()) as shop:
        return shop.train(recipe_with(TABLES))


def test_tables_are_published(snapshot: PublishedScorer) -> None:
    assert list(snapshot.tables) == ["knn", "ease"]
    assert snapshot.tables["knn"].rows.shape == (60, 10)
    assert snapshot.tables["ease"].rows.shape == (60, 50)
    assert [table["algorithm"] for table in snapshot.manifest.recipe["tables"]] == ["knn", "ease"]
    for table in snapshot.tables.values():
        assert (np.diff(table.weights, axis=1) <= 0).all()
        assert (table.rows != np.arange(60)[:, None]).all()


@pytest.mark.parametrize("table", ["knn", "ease"])
def test_history_finds_held_back(snapshot: PublishedScorer, table: str) -> None:
    """Of what users rated, a table finds the one item held back among the first tenth more often than chance does."""
    found = []
    for user_row in range(len(snapshot.arrays.user_keys)):
        rows, values = snapshot.arrays.history(user_row)
        allowed = np.ones(60, np.bool_)
        allowed[rows[1:]] = False
        found.append(rows[0] in snapshot.neighbours(table, rows[1:], 4, values[1:], allowed)[0])
    assert np.mean(found) > 2 * 4 / 41


def test_too_large_for_ease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything else is learned."""
    monkeypatch.setattr(ease, "MAX_SIDE", 50)
    monkeypatch.setattr("app.training.run.evaluate_recipe", lambda *_: pytest.fail("it was tried"))
    with (
        opened_shop(tmp_path, tasteful_ratings()) as shop,
        pytest.raises(TrainingFailedError, match=r"table ease: .*takes 50 of them.*60 items and 120 users"),
    ):
        shop.train(recipe_with(TABLES))
