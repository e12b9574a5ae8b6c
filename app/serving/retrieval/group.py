"""What is rated most by those who share an attribute with the user: the country, as a rule."""

from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.rows import NO_ROWS, Rows

N_SHOWN = 20


class GroupSource:
    name: ClassVar[str] = "group"

    def candidates(self, context: Context) -> Rows:
        """The top 20 for each attribute that the snapshot counts by and the user has."""
        snapshot, user = context.serving.snapshot, context.user.profile
        if snapshot is None or user is None:
            return NO_ROWS
        tops = [snapshot.popular_in(number) for number in snapshot.groups_of(user)]
        return np.concatenate([NO_ROWS, *(context.eligible.first(N_SHOWN, top) for top in tops)])
