"""What is not available, or no longer, is not recommended."""

from typing import ClassVar

from app.serving.eligible import Eligible
from app.serving.live import Live
from app.serving.query import Query
from app.serving.tastes import Taste


class Available:
    name: ClassVar[str] = "available"

    def restrict(self, eligible: Eligible, query: Query, taste: Taste, live: Live) -> None:  # noqa: ARG002  one signature for all rules
        eligible.keep(live.catalogue.available())
