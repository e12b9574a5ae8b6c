"""Only items with a predicted rating as high as the request or the placement says."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from app.scoring import Scorer
from app.serving.parts import Context, Restriction

SHRINKAGE = 5
"""A user's mean is shrunk towards the mean of all ratings as if by this many ratings of that value."""

ABOVE_MEAN = (
    "Only items whose predicted rating is at least the user's own mean plus this, in units of the rating scale; may be "
    "negative; null: all. The mean of a user with few ratings is near that of all ratings, and without any it is that "
    "mean. No effect where no ratings are predicted"
)


@dataclass(kw_only=True)
class PredictedEnough(Restriction):
    name = "min_predicted_rating"
    meaning = "Lists can be limited to items that the user is predicted to rate high enough."
    needs_snapshot = True
    request_options = ("min_predicted_rating",)

    min_predicted_rating_above_mean: Annotated[
        float | None, Field(strict=True, ge=-1e6, le=1e6, allow_inf_nan=False, description=ABOVE_MEAN)
    ] = None

    @property
    def is_on(self) -> bool:
        return self.min_predicted_rating_above_mean is not None

    def works_with(self, scorer: Scorer) -> bool:
        """Off where no ratings are predicted: the list is then as if nothing had been asked for."""
        return super().works_with(scorer) and scorer.rating is not None

    def microseconds(self, n_rows: int, limit: int) -> float:  # noqa: ARG002  all ratings are predicted
        return 0.1 * n_rows

    def restrict(self, context: Context) -> None:
        """Of what is eligible so far; drops nothing before ratings can be predicted."""
        above = self.min_predicted_rating_above_mean
        asked = (context.options.min_predicted_rating, None if above is None else own_mean(context) + above)
        least = max((each for each in asked if each is not None), default=None)
        if least is not None:
            keep_predicted(least, context)


def own_mean(context: Context) -> float:
    """The mean of the user's ratings in the rating scale, shrunk towards that of all."""
    values = context.user.values
    # m_u = (5 mean + sum r) / (5 + m)
    return (SHRINKAGE * context.serving.scorer.mean_rating + float(values.sum())) / (SHRINKAGE + len(values))


def keep_predicted(least: float, context: Context) -> None:
    """Drops what is eligible and predicted below `least`, in the rating scale. The scorer must predict ratings."""
    scorer, side = context.serving.scorer, context.user.side
    mask, n_learned = context.eligible.mask, context.serving.n_learned
    # All items at once: one product with the rating columns is faster than selecting the eligible rows.
    learned = scorer.predict(side, scorer.item_vectors)
    mask[:n_learned] &= learned[: len(mask)] >= least
    newer = np.flatnonzero(mask[n_learned:]) + n_learned
    if len(newer):
        mask[newer] = scorer.predict(side, context.serving.vectors_of(newer)) >= least
