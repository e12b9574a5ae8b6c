"""Hyperparameters as dataclass fields with a type, a range and a default.

Each is declared once, in its learner. The same declaration checks values from Python, recipes and the command line, and
produces the texts that list what a learner accepts. A hyperparameter has the same name in every learner: `n_factors`,
`n_epochs`, `learning_rate`, `regularization`.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, field, fields
from reprlib import repr as shortened
from types import NoneType
from typing import Any, TypeVar, cast, get_args

from app.algorithms.errors import InvalidHyperparameterError

LearnerT = TypeVar("LearnerT")

_KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


def hyperparameter(default: Any, low: float = -math.inf, high: float = math.inf) -> Any:
    """A dataclass field with values from `low` to `high`, both included; its type is the field's annotation.

    A field of type `float | None` also takes None, written `none` on a command line: the value is chosen from the data.
    """
    return field(default=default, metadata={"low": low, "high": high})


def check_hyperparameters(learner: Any) -> None:
    """Check every field of a learner, for use in `__post_init__`.

    Raises `InvalidHyperparameterError` where a value has the wrong type or lies outside its range.
    """
    for declared in fields(learner):
        _check(declared, getattr(learner, declared.name))


def build(learner_class: type[LearnerT], values: Mapping[str, object]) -> LearnerT:
    """A learner with `values` in place of its defaults.

    Strings are parsed as the type of the field, so `n_factors=64` from a command line is accepted. Raises
    `InvalidHyperparameterError` for an unknown name, with the list of known ones, and for an invalid value.
    """
    # Names are checked first, so that a misspelt one is not reported as a bad value.
    declared = {each.name: each for each in fields(cast("Any", learner_class))}
    for name in values:
        if name not in declared:
            listed = ", ".join(f"{known} ({_describe(each)})" for known, each in declared.items()) or "none at all"
            raise InvalidHyperparameterError(f"there is no hyperparameter {shortened(name)}; there are: {listed}")
    return learner_class(**{name: _read(declared[name], value) for name, value in values.items()})


def _read(declared: "Field[Any]", value: object) -> object:
    if isinstance(value, str):
        try:
            return _parse(declared, value)
        except (KeyError, ValueError) as error:
            raise _refusal(declared, value) from error
    # JSON does not tell 1 from 1.0, so an integer is a valid float. Python integers have no bound and may overflow.
    if _kind(declared) is float and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise _refusal(declared, value) from error
    return value


def _parse(declared: "Field[Any]", text: str) -> object:
    if _may_be_none(declared) and text.lower() == "none":
        return None
    kind = _kind(declared)
    # bool("false") is True, so booleans are spelled out.
    return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)


def _kind(declared: "Field[Any]") -> type[Any]:
    """`float` of both `float` and `float | None`."""
    # `float | None` has the arguments float and NoneType; plain `float` has none.
    kinds = [each for each in get_args(declared.type) if each is not NoneType]
    return cast("type[Any]", kinds[0] if kinds else declared.type)


def _may_be_none(declared: "Field[Any]") -> bool:
    return NoneType in get_args(declared.type)


def _check(declared: "Field[Any]", value: object) -> None:
    if value is None and _may_be_none(declared):
        return
    # Bounds are inclusive, and infinite by default.
    low, high = declared.metadata["low"], declared.metadata["high"]
    kind = _kind(declared)
    # `type(...) is`, not isinstance: True is an instance of int, but not a number of factors.
    is_of_kind = type(value) is kind or (kind is float and type(value) is int)
    if not is_of_kind or not low <= cast("float", value) <= high:  # NaN fails every comparison
        raise _refusal(declared, value)


def _refusal(declared: "Field[Any]", value: object) -> InvalidHyperparameterError:
    return InvalidHyperparameterError(f"{declared.name} is {_describe(declared)}, not {shortened(value)}")


def _describe(declared: "Field[Any]") -> str:
    kind = _kind(declared)
    low, high = declared.metadata["low"], declared.metadata["high"]
    # Half-open ranges are not mentioned: "up to 1e6" would read as a recommendation.
    range_text = "" if kind is bool or math.isinf(high - low) else f" from {low:g} to {high:g}"
    none_text = " or none" if _may_be_none(declared) else ""
    return f"{_KINDS[kind]}{range_text}{none_text}, default {declared.default!r}"
