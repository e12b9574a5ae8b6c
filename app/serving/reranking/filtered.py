"""Only what the filters of the placement and of the request let through."""

from typing import ClassVar

from app.serving.context import Context


class Filtered:
    name: ClassVar[str] = "filter"

    def restrict(self, context: Context) -> None:
        catalogue, user = context.live.catalogue, context.taste.user
        if context.rulebook.filter is not None:
            context.eligible.keep(context.rulebook.filter.mask(catalogue, user, is_strict=False))
        if context.wishes.filter is not None:
            context.eligible.keep(context.wishes.filter.mask(catalogue, user))
