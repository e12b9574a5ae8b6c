"""Only items for which the filters of the placement and of the request hold."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from app.serving.expressions import Filter, parse_filter
from app.serving.parts import Context, Expression, Restriction, parsed


@dataclass(kw_only=True)
class Filtered(Restriction):
    name = "filter"
    meaning = "Lists can be limited to the items for which an expression holds. Filters of requests apply as well."
    holds_in_search = True
    request_options = ("filter",)

    filter: Annotated[Expression | None, Field(description="Only items for which this holds")] = None
    _filter: Filter | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._filter = parsed(self.filter, parse_filter, "filter")

    @property
    def is_on(self) -> bool:
        return self.filter is not None

    @property
    def expressions(self) -> tuple[Filter, ...]:
        return () if self._filter is None else (self._filter,)

    @property
    def depends_on_clock(self) -> bool:
        return self._filter is not None and self._filter.looks_at_clock

    def restrict(self, context: Context) -> None:
        catalogue, user, now = context.serving.catalogue, context.user.profile, context.now
        if self._filter is not None:  # stored: an attribute that it names may be gone by now, which is no error
            context.eligible.keep(self._filter.mask(catalogue, user, is_strict=False, now=now))
        if context.options.filter is not None:
            context.eligible.keep(context.options.filter.mask(catalogue, user, now=now))
