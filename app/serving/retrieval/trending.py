"""What many do of late: ratings and events count for less the longer ago they are."""

from typing import ClassVar

from app.serving.context import Context
from app.serving.rows import Rows

N_SHOWN = 20


class TrendingSource:
    name: ClassVar[str] = "trending"

    def candidates(self, context: Context) -> Rows:
        return context.eligible.first(N_SHOWN, context.serving.trending_rows)
