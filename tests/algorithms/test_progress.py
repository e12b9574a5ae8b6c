import re

import numpy as np
import pytest

from app.algorithms.by_name import make_learner
from app.algorithms.progress import part, report_epoch
from tests.support.known_ratings import ratings_of_rank


def test_part_maps_shares() -> None:
    reported: list[tuple[float, str]] = []
    inner = part(lambda share, stage: reported.append((share, stage)), 0.5, 0.75, "taste")
    inner(0.0, "")
    inner(1.0, "als epoch 1 of 1")
    assert reported == [(0.5, "taste"), (0.75, "taste: als epoch 1 of 1")]


def test_epoch_text() -> None:
    reported: list[tuple[float, str]] = []
    report_epoch(lambda share, stage: reported.append((share, stage)), "als", 6, 10, "validation RMSE 0.8412")
    assert reported == [(0.7, "als epoch 7 of 10, validation RMSE 0.8412")]


@pytest.mark.parametrize(
    "name", ["als", "als_implicit", "bayesian_mf", "biases", "funk_svd", "logistic", "svd_plus_plus"]
)
def test_every_epoch_is_reported(name: str) -> None:
    stages: list[str] = []
    learner = make_learner(name, {"n_epochs": 4})
    learner.fit(ratings_of_rank(n_users=100).train, np.random.default_rng(0), lambda _share, text: stages.append(text))
    numbers = [int(found[1]) for text in stages if (found := re.match(rf"{name} (?:epoch|sweep) (\d) of 4", text))]
    assert numbers[0] == 1
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= 2
    assert stages[0].startswith(f"{name} ")


@pytest.mark.parametrize("name", ["als", "funk_svd", "svd_plus_plus"])
def test_validation_error_is_in_rating_scale(name: str) -> None:
    """The ratings have a standard deviation of 1.01 and noise of 0.5, here ten times as much."""
    known, stages = ratings_of_rank(), list[str]()
    train = known.train.subset(np.ones(len(known.train), np.bool_))
    scaled = type(train)(train.n_users, train.n_items, train.user_rows, train.item_rows, train.values * 10)
    make_learner(name).fit(scaled, np.random.default_rng(0), lambda _share, text: stages.append(text))
    errors = [float(text.split("validation RMSE ")[1]) for text in stages if "validation RMSE" in text]
    assert 5 < errors[-1] < 10.5
