"""The tree that an expression is parsed into. Positions are characters of the text, from 0."""

from dataclasses import dataclass, field
from typing import Literal

Operator = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Column:
    """A field of the items, or an attribute."""

    name: str
    is_attribute: bool
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Constant:
    value: str | float | bool
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class FromNow:
    """A time, so many seconds after the moment of evaluation."""

    seconds: float
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class OfUser:
    """What is known of the user who is answered: `country`, `user_id`, or an attribute."""

    name: str
    position: int = field(default=0, compare=False)


Value = Constant | FromNow | OfUser


@dataclass(frozen=True, slots=True)
class Compare:
    column: Column
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Between:
    """Both ends are within."""

    column: Column
    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """The column's value is one of these."""

    column: Column
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """The column's set holds the text."""

    text: Value
    column: Column


@dataclass(frozen=True, slots=True)
class Contains:
    """The column's text has the other as a part, in any case; of a set as `Has`."""

    column: Column
    text: Value


@dataclass(frozen=True, slots=True)
class IsUnknown:
    column: Column


@dataclass(frozen=True, slots=True)
class IsTrue:
    column: Column


@dataclass(frozen=True, slots=True)
class Not:
    term: "Term"


@dataclass(frozen=True, slots=True)
class And:
    terms: tuple["Term", ...]


@dataclass(frozen=True, slots=True)
class Or:
    terms: tuple["Term", ...]


Predicate = Compare | Between | OneOf | Has | Contains | IsUnknown | IsTrue
Term = Predicate | Not | And | Or


def is_lasting(term: Term) -> bool:
    """Whether it says the same of an item until the item changes, whoever asks."""
    match term:
        case And(terms) | Or(terms):
            return all(map(is_lasting, terms))
        case Not(negated):
            return is_lasting(negated)
        case IsTrue(column) | IsUnknown(column):
            return _lasts(column)
        case Compare(column, _, value) | Contains(column, value) | Has(value, column):
            return _lasts(column, value)
        case Between(column, low, high):
            return _lasts(column, low, high)
        case OneOf(column, values):
            return _lasts(column, *values)


def _lasts(column: Column, *values: Value) -> bool:
    return column.name != "is_available" and all(isinstance(value, Constant) for value in values)
