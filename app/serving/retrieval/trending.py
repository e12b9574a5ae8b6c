"""The items with the most ratings and events of late; each counts for less the longer ago it was."""

from app.serving.parts import Context, Source
from app.serving.rows import Rows

N_PROPOSED = 20


class TrendingSource(Source):
    name = "trending"
    depends_on_trends = True

    def candidates(self, context: Context) -> Rows:
        return context.eligible.first(N_PROPOSED, context.serving.trending_rows)
