"""Only what the user is expected to rate at least as high as the request says."""

from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.ranking import vectors_of


class PredictedEnough:
    name: ClassVar[str] = "min_predicted_rating"

    def restrict(self, context: Context) -> None:
        """Of everything that is eligible so far; nothing is dropped while no ratings can be predicted."""
        least, snapshot, side = context.options.min_predicted_rating, context.serving.snapshot, context.user.side
        if least is None or snapshot is None or side is None:
            return
        mask = context.eligible.mask
        learned = snapshot.predict(side, snapshot.item_vectors)
        mask[: snapshot.n_items] &= learned[: len(mask)] >= least
        newer = np.flatnonzero(mask[snapshot.n_items :]) + snapshot.n_items
        if len(newer):
            mask[newer] = snapshot.predict(side, vectors_of(newer, context.serving)) >= least
