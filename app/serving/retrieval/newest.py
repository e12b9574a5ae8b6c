"""The items added last."""

from typing import ClassVar

from app.serving.context import Context
from app.serving.rows import Rows

N_SHOWN = 20


class Newest:
    name: ClassVar[str] = "newest"

    def candidates(self, context: Context) -> Rows:
        return context.live.catalogue.newest(N_SHOWN, context.eligible.mask)
