"""Deliberately dissimilar: the user side is negated, so that what is good and popular elsewhere comes first."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app.scoring import Scorer, UserSide
from app.serving.parts import Context, Restriction


@dataclass(kw_only=True)
class Dissimilar(Restriction):
    """Drops no rows: it must act before retrieval, and still one dot product ranks."""

    name = "dissimilar"
    meaning = "Lists can hold items that are unlike what the user likes."
    needs_snapshot = True

    dissimilar: Annotated[
        bool,
        Field(strict=True, description="Deliberately unlike the user's taste: good and popular, but from elsewhere"),
    ] = False

    @property
    def is_on(self) -> bool:
        return self.dissimilar

    def restrict(self, context: Context) -> None:
        context.side = turned(context.side, context.serving.scorer)


def turned(side: UserSide, scorer: Scorer) -> UserSide:
    """The user side with what makes items alike negated: the columns by which they are compared, and the tables."""
    vector = side.vector.copy()
    # Popularity and item biases keep their sign: unlike the user, but not bad. The other columns that say which kinds
    # the user likes count nothing: kept, they would bring the same kinds; negated, what the user rates lowest.
    for columns in scorer.directional:
        vector[columns] = 0.0
    vector[scorer.likeness] = -side.vector[scorer.likeness]
    return side._replace(vector=vector, tables={name: -scores for name, scores in side.tables.items()})
