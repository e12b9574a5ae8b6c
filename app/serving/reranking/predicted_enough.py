"""Only items with a predicted rating at least as high as the request says."""

import numpy as np

from app.serving.parts import Context, Restriction
from app.serving.ranking import vectors_of


class PredictedEnough(Restriction):
    name = "min_predicted_rating"
    needs_snapshot = True
    request_options = ("min_predicted_rating",)
    is_on = False

    def restrict(self, context: Context) -> None:
        """Of what is eligible so far; drops nothing before ratings can be predicted."""
        least, scorer, side = context.options.min_predicted_rating, context.serving.scorer, context.user.side
        if least is None:
            return
        mask, n_learned = context.eligible.mask, context.serving.n_learned
        # All items at once: one product with the rating columns is faster than selecting the eligible rows.
        learned = scorer.predict(side, scorer.item_vectors)
        mask[:n_learned] &= learned[: len(mask)] >= least
        newer = np.flatnonzero(mask[n_learned:]) + n_learned
        if len(newer):
            mask[newer] = scorer.predict(side, vectors_of(newer, context.serving)) >= least
