"""What the request itself rules out: earlier pages, excluded items, other categories."""

from typing import ClassVar

from app.serving.eligible import Eligible
from app.serving.live import Live
from app.serving.query import Query
from app.serving.tastes import Taste


class Requested:
    name: ClassVar[str] = "requested"

    def restrict(self, eligible: Eligible, query: Query, taste: Taste, live: Live) -> None:  # noqa: ARG002  one signature for all rules
        if len(query.returned_keys):
            returned = live.catalogue.rows_of_keys(query.returned_keys)
            eligible.drop(returned[returned >= 0])
        if query.exclude:
            eligible.drop(live.catalogue.rows_of_ids(query.exclude))
        if query.category is not None:
            eligible.keep(live.catalogue.in_category(query.category))
