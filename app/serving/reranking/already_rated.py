"""What the user has rated is not recommended again."""

from typing import ClassVar

from app.serving.eligible import Eligible
from app.serving.live import Live
from app.serving.query import Query
from app.serving.tastes import Taste


class AlreadyRated:
    name: ClassVar[str] = "already_rated"

    def restrict(self, eligible: Eligible, query: Query, taste: Taste, live: Live) -> None:  # noqa: ARG002  one signature for all rules
        eligible.drop(taste.rated_rows)
