"""How long an expression takes to evaluate, estimated from its terms and the size of the catalogue."""

from collections.abc import Iterable

from app.entities import User
from app.serving.catalogue import Catalogue
from app.serving.expressions.fields import FIELDS
from app.serving.expressions.syntax import Between, Compare, Contains, OfUser, OneOf, Predicate, Term, predicates
from app.serving.near_names import MICROSECONDS as NEAR_NAMES

A_TERM, A_ROW = 10.0, 0.005
"""Microseconds of one term, and for each item."""

A_TEXT = 0.2
"""Microseconds for each item whose text is tested; the first test packs the texts (`PackedTexts`), which takes most."""


def microseconds_of(terms: Iterable[Term], catalogue: Catalogue, user: User | None) -> float:
    return sum(_of_predicate(each, catalogue, user) for term in terms for each in predicates(term))


def _of_predicate(predicate: Predicate, catalogue: Catalogue, user: User | None) -> float:
    column = predicate.column
    if column.is_attribute and not catalogue.attributes.of(column.name):
        return NEAR_NAMES  # the error says which known names are near
    is_title = not column.is_attribute and column.name == "title"
    match predicate:
        case Contains(_, text):
            n_tests, is_text = _n_values(text, user), is_title or column.is_attribute or FIELDS[column.name] == "text"
        case Compare(_, operator, value):
            n_tests, is_text = 1, is_title or (operator != "=" and not _is_number(value))
        case Between(_, low, _):
            n_tests, is_text = 2, not _is_number(low)
        case OneOf(_, values):
            n_tests, is_text = sum(_n_values(value, user) for value in values), is_title
        case _:
            n_tests, is_text = 1, is_title
    return A_TERM + n_tests * len(catalogue) * (A_TEXT if is_text else A_ROW)


def _is_number(value: object) -> bool:
    return isinstance(getattr(value, "value", None), int | float)


def _n_values(value: object, user: User | None) -> int:
    """For how many constants the value stands."""
    if not isinstance(value, OfUser) or user is None:
        return 1
    known = user.attributes.get(value.name)
    return len(known) if isinstance(known, list) else 1
