"""The tree that an expression is parsed into. Positions are characters of the text, from 0."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Operator = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class FieldReference:
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
    """A value of the requesting user: `country`, `user_id`, or an attribute."""

    name: str
    position: int = field(default=0, compare=False)


Value = Constant | FromNow | OfUser


@dataclass(frozen=True, slots=True)
class Compare:
    column: FieldReference
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Between:
    """Both ends are included."""

    column: FieldReference
    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """The column's value is one of these."""

    column: FieldReference
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """The column's set holds the text."""

    text: Value
    column: FieldReference


@dataclass(frozen=True, slots=True)
class Contains:
    """The column's text contains the other, ignoring case; for a set the same as `Has`."""

    column: FieldReference
    text: Value


@dataclass(frozen=True, slots=True)
class IsUnknown:
    column: FieldReference


@dataclass(frozen=True, slots=True)
class IsTrue:
    column: FieldReference


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
    """Whether the result for an item depends on the item alone, not on the user or the clock."""
    return all(
        each.column.name != "is_available" and all(isinstance(value, Constant) for value in _values(each))
        for each in predicates(term)
    )


def looks_at_clock(term: Term) -> bool:
    """Whether the result may change with time while the item and the user do not."""
    return any(isinstance(value, FromNow) for each in predicates(term) for value in _values(each))


def predicates(term: Term) -> Iterator[Predicate]:
    """The comparisons of an expression, in the order of its text."""
    match term:
        case And(terms) | Or(terms):
            for each in terms:
                yield from predicates(each)
        case Not(negated):
            yield from predicates(negated)
        case _:
            yield term


def _values(predicate: Predicate) -> tuple[Value, ...]:
    match predicate:
        case IsTrue() | IsUnknown():
            return ()
        case Compare(_, _, value) | Contains(_, value) | Has(value, _):
            return (value,)
        case Between(_, low, high):
            return low, high
        case OneOf(_, values):
            return values
