from dataclasses import asdict, fields

import pytest

from app.algorithms.by_name import LEARNERS, make_learner
from app.algorithms.errors import InvalidHyperparameterError
from app.algorithms.funk_svd import FunkSVD

SHARED_NAMES = {"n_factors", "n_epochs", "learning_rate", "regularization"}
OWN_NAMES = {
    "biased",
    "mean_normalisation",
    "n_dimensions",
    "n_hidden",
    "n_neighbours",
    "shrinkage",
    "centred",
    "frequency_exponent",
    "rating_influence",
    "unobserved_weight",
    "threshold",
    "decay",
    "dropout",
    "n_entries",
}


def test_defaults() -> None:
    assert make_learner("funk_svd") == FunkSVD()


def test_texts_of_a_command_line() -> None:
    made = make_learner("funk_svd", {"n_factors": "8", "learning_rate": "1e-2", "biased": "False"})
    assert made == FunkSVD(n_factors=8, learning_rate=0.01, biased=False)


def test_whole_number_for_a_number() -> None:
    assert asdict(make_learner("funk_svd", {"regularization": 1}))["regularization"] == 1.0  # type: ignore[call-overload]  # a learner is a dataclass


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("funk", {}, "no algorithm 'funk'; there are: als, bayesian_mf, .*funk_svd"),
        ("funk_svd", {"n_factor": 3}, "no hyperparameter 'n_factor'; there are: n_factors .*, learning_rate"),
        ("funk_svd", {"n_factors": "many"}, "n_factors is a whole number from 1 to 4096, default 64, not 'many'"),
        ("funk_svd", {"n_factors": 0}, "n_factors is a whole number from 1 to 4096"),
        ("funk_svd", {"n_factors": 2.0}, "not 2.0"),
        ("funk_svd", {"n_factors": True}, "not True"),
        ("funk_svd", {"learning_rate": "nan"}, "learning_rate is a number"),
        ("funk_svd", {"learning_rate": None}, "not None"),
        ("funk_svd", {"learning_rate": 10**400}, "learning_rate is a number"),
        ("funk_svd", {"n_factors": "9" * 5000}, r"not '9{1,20}\.\.\."),
        ("funk_svd", {"biased": "maybe"}, "biased is true or false"),
        ("biases", {"n_factors": 2}, "biases: there is no hyperparameter 'n_factors'"),
    ],
)
def test_refusals_say_what_is_right(name: str, values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidHyperparameterError, match=message):
        make_learner(name, values)


def test_names_are_shared() -> None:
    names = {each.name for learner in LEARNERS.values() for each in fields(learner)}
    assert names <= SHARED_NAMES | OWN_NAMES
