"""Deliberately dissimilar: the taste turned round, so that what is good and popular elsewhere comes first."""

from typing import ClassVar

from app.serving.context import Context
from app.snapshots import Snapshot, UserSide


class Dissimilar:
    """No restriction of rows but of direction: it acts before retrieval, and still one dot product ranks."""

    name: ClassVar[str] = "dissimilar"

    def restrict(self, context: Context) -> None:
        snapshot = context.serving.snapshot
        if snapshot is None or context.side is None or not context.placement.settings.dissimilar:
            return
        context.side = turned(context.side, snapshot)


def turned(side: UserSide, snapshot: Snapshot) -> UserSide:
    vector = side.vector.copy()
    vector[snapshot.likeness] *= -1
    return side._replace(vector=vector)
