"""Makes learners from the options `--algorithm` and `--param`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from app.algorithms.by_name import LEARNERS, make_learner
from app.algorithms.errors import InvalidHyperparameterError
from app.algorithms.learner import Learner
from app.errors import InvalidInputError
from app.evaluation.experiment import BestsellerLearner
from app.evaluation.recent import RecentLearner

Makers = Mapping[str, Callable[[], Learner]]
"""Functions that make learners without hyperparameters, by name; called only when the learner is requested."""

POPULAR = "popular"
RECENT = "recent"
_BASELINES: Makers = {POPULAR: BestsellerLearner, RECENT: RecentLearner}


def make_learners(names: Sequence[str], params: Sequence[str], others: Makers) -> dict[str, Learner]:
    """Return the learner of each name.

    `names`: algorithms, the baselines `popular` and `recent`, or names of `others`, which the caller adds.
    `params`: `NAME=VALUE` for every algorithm with this hyperparameter, or `ALGORITHM.NAME=VALUE` for one.

    Raises `InvalidInputError` for an algorithm or hyperparameter that does not exist; the message lists those that do.
    """
    makers: Makers = {**_BASELINES, **others}
    known = [*LEARNERS, *others, *_BASELINES]
    for name in names:
        if name not in known:
            message = f"there is no algorithm {name!r}; there are: {', '.join(known)}"
            raise InvalidInputError(message, field="algorithm")
    values = _values_by_algorithm(list(dict.fromkeys(names)), params)
    return {name: _make(name, given, makers) for name, given in values.items()}


def hyperparameters_of(name: str) -> list[Any]:
    """Return the dataclass fields of an algorithm's hyperparameters; empty for other learners."""
    return list(fields(LEARNERS[name])) if name in LEARNERS else []


def _make(name: str, values: dict[str, str], makers: Makers) -> Learner:
    if name in LEARNERS:
        try:
            return make_learner(name, values)
        except InvalidHyperparameterError as error:  # the message names the algorithm
            raise InvalidInputError(str(error), field="param") from error
    if values:
        raise InvalidInputError(f"{name} has no hyperparameters", field="param")
    return makers[name]()


def _values_by_algorithm(names: list[str], params: Sequence[str]) -> dict[str, dict[str, str]]:
    known = {name: [field.name for field in hyperparameters_of(name)] for name in names}
    values: dict[str, dict[str, str]] = {name: {} for name in names}
    for param in params:
        given, is_given, value = param.partition("=")
        algorithm, is_of_one, hyperparameter = given.rpartition(".")
        if not is_given:
            raise InvalidInputError(f"{param!r} is not NAME=VALUE or ALGORITHM.NAME=VALUE", field="param")
        if is_of_one and algorithm not in names:
            raise InvalidInputError(f"{param!r} is for none of: {', '.join(names)}", field="param")
        # A hyperparameter that no algorithm has is passed to the first, whose error lists those that exist.
        having = [name for name in names if hyperparameter in known[name]] or names[:1]
        for name in [algorithm] if is_of_one else having:
            values[name][hyperparameter] = value
    return values
