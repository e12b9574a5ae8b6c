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
    """What is known of the user who is answered: `country`, `user_id`, or an attribute."""

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
    """Both ends are within."""

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
    """The column's text has the other as a part, in any case; of a set as `Has`."""

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
    """Whether it says the same of an item until the item changes, whoever asks."""
    return all(
        each.column.name != "is_available" and all(isinstance(value, Constant) for value in _values(each))
        for each in _predicates(term)
    )


def looks_at_clock(term: Term) -> bool:
    """Whether it may say something else of an item a moment later, though nothing became of the item or the user."""
    return any(isinstance(value, FromNow) for each in _predicates(term) for value in _values(each))


def _predicates(term: Term) -> Iterator[Predicate]:
    match term:
        case And(terms) | Or(terms):
            for each in terms:
                yield from _predicates(each)
        case Not(negated):
            yield from _predicates(negated)
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
