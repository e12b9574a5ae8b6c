"""Rules: one file a rule. A rule that drops says so before retrieval, on the mask of eligible rows."""

from typing import ClassVar, Protocol

from app.serving.eligible import Eligible
from app.serving.live import Live
from app.serving.query import Query
from app.serving.tastes import Taste


class Rule(Protocol):
    name: ClassVar[str]

    def restrict(self, eligible: Eligible, query: Query, taste: Taste, live: Live) -> None:
        """Take from `eligible` what this rule does not want shown."""
