"""Which items more, or less: factors for those of which filters are true."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.entities import User
from app.serving.catalogue import Catalogue
from app.serving.expressions.cost import microseconds_of
from app.serving.expressions.evaluation import ExpressionEvaluator
from app.serving.expressions.item_table import ItemTable
from app.serving.expressions.parser import read_boost
from app.serving.expressions.syntax import Term, is_lasting, looks_at_clock
from app.serving.expressions.unknown_names import UnknownName, unknown_names


@dataclass(frozen=True)
class Boost:
    """`parts`: filters, each with its factor, 0 to 100. `field`: the part of the request that errors name."""

    text: str
    field: str | None
    parts: tuple[tuple[Term, float], ...]

    def factors(
        self, catalogue: Catalogue, user: User | None = None, *, now: int, is_strict: bool = True
    ) -> NDArray[np.float64]:
        """(n,) by catalogue row: the product of the factors of the filters that are true; not to be changed.

        Arguments and errors as of `Filter.mask`.
        """

        def evaluated() -> NDArray[np.float64]:
            table = ItemTable(catalogue, now)
            evaluation = ExpressionEvaluator(table, self.text, user, self.field, is_strict=is_strict)
            factors = np.ones(table.n_rows)
            for term, factor in self.parts:
                factors *= np.where(evaluation.mask(term), factor, 1.0)
            return factors

        if all(is_lasting(term) for term, _ in self.parts):
            return catalogue.remembered(self._name(is_strict=is_strict), evaluated)
        return evaluated()

    def microseconds(self, catalogue: Catalogue, user: User | None = None, *, is_strict: bool = True) -> float:
        """How long `factors` takes: nothing where it is remembered."""
        if catalogue.remembers(self._name(is_strict=is_strict)):
            return 0.0
        return microseconds_of([term for term, _ in self.parts], catalogue, user)

    def _name(self, *, is_strict: bool) -> tuple[str, str, bool]:
        return "boost", self.text, is_strict

    def unknown_names(self, catalogue: Catalogue) -> Iterator[UnknownName]:
        """As of `Filter`."""
        return unknown_names([term for term, _ in self.parts], self.text, self.field, catalogue)

    @cached_property
    def looks_at_clock(self) -> bool:
        """As of `Filter`."""
        return any(looks_at_clock(term) for term, _ in self.parts)


def parse_boost(text: str, field: str | None = "boost") -> Boost:
    """Raises `ExpressionError`."""
    return Boost(text, field, read_boost(text, field))
