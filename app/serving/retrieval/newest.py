"""The items added last."""

from typing import ClassVar

from app.serving.context import Context
from app.serving.rows import Rows

N_SHOWN = 20


class NewestSource:
    name: ClassVar[str] = "newest"

    def candidates(self, context: Context) -> Rows:
        return context.serving.catalogue.newest(N_SHOWN, context.eligible.mask)
