"""The items added last; those known from ratings and events alone only where no item was put or imported."""

from app.serving.parts import Context, Source
from app.serving.rows import Rows

N_PROPOSED = 20


class NewestSource(Source):
    name = "newest"

    def candidates(self, context: Context) -> Rows:
        return context.serving.catalogue.newest.first(N_PROPOSED, context.eligible.mask)
