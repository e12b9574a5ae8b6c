"""Only what the filters of the placement and of the request let through."""

from typing import ClassVar

from app.serving.context import Context


class Filtered:
    name: ClassVar[str] = "filter"

    def restrict(self, context: Context) -> None:
        catalogue, user = context.serving.catalogue, context.user.profile
        if context.placement.filter is not None:
            context.eligible.keep(context.placement.filter.mask(catalogue, user, is_strict=False))
        if context.options.filter is not None:
            context.eligible.keep(context.options.filter.mask(catalogue, user))
