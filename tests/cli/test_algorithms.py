"""`reckon algorithms`."""

import json

from app.algorithms.by_name import LEARNERS, make_learner
from tests.support.commands import reckon


def test_lists_all() -> None:
    described = json.loads(reckon("algorithms", "--json").output)
    assert list(described) == list(LEARNERS)
    assert described["funk_svd"]["segments"] == ["rating"]
    for name, each in described.items():
        # The defaults are accepted as they are printed.
        assert make_learner(name, each["hyperparameters"]) == make_learner(name)


def test_text_is_what_train_takes() -> None:
    shown = reckon("algorithms").output
    assert "funk_svd (segment rating)" in shown
    assert "    --param n_factors=64" in shown
    assert "knn (for evaluation)" in shown


def test_meaning_of_one() -> None:
    shown = reckon("algorithms", "knn").output
    assert "`shrinkage`: number of common users" in shown
    assert "funk_svd" not in shown


def test_unknown() -> None:
    refused = reckon("algorithms", "magic")
    assert (refused.exit_code, refused.output) == (1, "")
    assert "there is no algorithm 'magic'; there are: als" in refused.errors
