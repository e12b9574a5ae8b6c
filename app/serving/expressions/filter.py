"""Which items: an expression that is true or false of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from app.entities import User
from app.serving.catalogue import Catalogue, Mask
from app.serving.expressions.cost import microseconds_of
from app.serving.expressions.evaluation import ExpressionEvaluator
from app.serving.expressions.item_table import ItemTable
from app.serving.expressions.parser import MAX_LENGTH, read_filter
from app.serving.expressions.syntax import Term, is_lasting, looks_at_clock
from app.serving.expressions.unknown_names import UnknownName, unknown_names


@dataclass(frozen=True)
class Filter:
    """`field`: the part of the request that errors name."""

    text: str
    field: str | None
    term: Term

    def mask(self, catalogue: Catalogue, user: User | None = None, *, now: int, is_strict: bool = True) -> Mask:
        """(n,) bool by catalogue row: where it is true; not to be changed.

        `now`: microseconds UTC, the clock of the request.
        `user`: the user whom `user.country` and other user fields refer to; None for an unknown user.

        If `is_strict`, raises `ExpressionError` for an attribute that no item has, or that is compared with a value of
        another kind. If not, such a comparison is false: a stored filter may name an attribute that no longer exists.
        """

        def evaluated() -> Mask:
            table = ItemTable(catalogue, now)
            return ExpressionEvaluator(table, self.text, user, self.field, is_strict=is_strict).mask(self.term)

        if is_lasting(self.term):
            return catalogue.remembered(self._name(is_strict=is_strict), evaluated)
        return evaluated()

    def microseconds(self, catalogue: Catalogue, user: User | None = None, *, is_strict: bool = True) -> float:
        """How long `mask` takes: nothing where it is remembered."""
        if catalogue.remembers(self._name(is_strict=is_strict)):
            return 0.0
        return microseconds_of([self.term], catalogue, user)

    def _name(self, *, is_strict: bool) -> tuple[str, str, bool]:
        return "filter", self.text, is_strict

    def unknown_names(self, catalogue: Catalogue) -> Iterator[UnknownName]:
        """The attributes and categories that it names and no item has."""
        return unknown_names([self.term], self.text, self.field, catalogue)

    @cached_property
    def looks_at_clock(self) -> bool:
        """Whether it may be true of other items a moment later, though nothing changed; what expires is a change."""
        return looks_at_clock(self.term)


def parse_all(texts: Sequence[str], field: str | None = "filter") -> Filter | None:
    """The filter that is true where each of `texts` is; None without any. Raises `ExpressionError`."""
    joined = " and ".join(f"({text})" for text in texts)
    # Where the whole is too long, that is the fault, and its parts are not read.
    if len(texts) <= 1 or len(joined) > MAX_LENGTH:
        return parse_filter(texts[0] if len(texts) == 1 else joined, field) if texts else None
    for text in texts:  # first each by itself: a fault has its place in one of them
        parse_filter(text, field)
    return parse_filter(joined, field)


def parse_filter(text: str, field: str | None = "filter") -> Filter:
    """Raises `ExpressionError`."""
    return Filter(text, field, read_filter(text, field))
