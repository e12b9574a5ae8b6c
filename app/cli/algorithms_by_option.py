"""Who is measured: algorithms by name, with the hyperparameters that the command line gives them."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from app.algorithms.by_name import LEARNERS, make_learner
from app.algorithms.errors import InvalidHyperparameterError
from app.algorithms.learner import Learner
from app.entities import RatingScale
from app.errors import InvalidInputError
from app.evaluation.experiment import BestsellerLearner

POPULAR, BLEND = "popular", "blend"


def make_contestants(names: Sequence[str], params: Sequence[str], scale: RatingScale) -> dict[str, Learner]:
    """The learner of each name. A param is `NAME=VALUE`, for all that have it, or `ALGORITHM.NAME=VALUE`, for that one.

    Raises `InvalidInputError`, listing what there is, for an algorithm or hyperparameter that does not exist.
    """
    values = _values_of(list(dict.fromkeys(names)), params)
    return {name: _make(name, given, scale) for name, given in values.items()}


def _make(name: str, values: dict[str, str], scale: RatingScale) -> Learner:
    if name in LEARNERS:
        try:
            return make_learner(name, values)
        except InvalidHyperparameterError as error:  # which names the algorithm
            raise InvalidInputError(str(error), field="param") from error
    if values:
        raise InvalidInputError(f"{name} has no hyperparameters", field="param")
    if name == POPULAR:
        return BestsellerLearner()
    from app.training.blend_learner import BlendLearner

    return BlendLearner(scale)


def hyperparameters_of(name: str) -> list[Any]:
    """The dataclass fields of an algorithm's hyperparameters; bestsellers and the blend have none."""
    return list(fields(LEARNERS[name])) if name in LEARNERS else []


def _values_of(names: list[str], params: Sequence[str]) -> dict[str, dict[str, str]]:
    for name in names:
        _check_exists(name)
    known = {name: [field.name for field in hyperparameters_of(name)] for name in names}
    values: dict[str, dict[str, str]] = {name: {} for name in names}
    for param in params:
        given, is_given, value = param.partition("=")
        algorithm, is_of_one, hyperparameter = given.rpartition(".")
        if not is_given:
            raise InvalidInputError(f"{param!r} is not NAME=VALUE or ALGORITHM.NAME=VALUE", field="param")
        if is_of_one and algorithm not in names:
            raise InvalidInputError(f"{param!r} is for none of: {', '.join(names)}", field="param")
        # One that nobody has goes to the first, which refuses it and lists its own.
        having = [name for name in names if hyperparameter in known[name]] or names[:1]
        for name in [algorithm] if is_of_one else having:
            values[name][hyperparameter] = value
    return values


def _check_exists(name: str) -> None:
    there_are = [*LEARNERS, BLEND, POPULAR]
    if name not in there_are:
        message = f"there is no algorithm {name!r}; there are: {', '.join(there_are)}"
        raise InvalidInputError(message, field="algorithm")
