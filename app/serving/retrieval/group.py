"""The items liked most by users who share an attribute with the user, usually the country."""

import numpy as np

from app.scoring import Scorer
from app.serving.parts import Context, Source
from app.serving.rows import NO_ROWS, Rows

N_EACH = 20


class GroupSource(Source):
    name = "group"

    def works_with(self, scorer: Scorer) -> bool:
        return len(scorer.groups.groups) > 0

    def candidates(self, context: Context) -> Rows:
        """The top 20 for each attribute that the snapshot counts by and the user has."""
        scorer, user = context.serving.scorer, context.user.profile
        if user is None:
            return NO_ROWS
        # By the attributes stored now, which may be others than at the snapshot.
        tops = [scorer.groups.popular_in(number) for number in scorer.groups.numbers_of(user)]
        return np.concatenate([NO_ROWS, *(context.eligible.first(N_EACH, top) for top in tops)])
