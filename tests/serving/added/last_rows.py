"""A source that a test adds to the registry: the last rows of the catalogue."""

import numpy as np

from app.serving.parts import Context, Source
from app.serving.rows import Rows

N_PROPOSED = 3


class LastRowsSource(Source):
    name = "last_rows"
    depends_on_trends = True

    def candidates(self, context: Context) -> Rows:
        return np.flatnonzero(context.eligible.mask)[-N_PROPOSED:]
