"""A rule that a test adds to the registry: it reverses the list and inserts an item."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app.serving.candidates import Ranked
from app.serving.parts import Context, OrderRule, Share
from app.serving.reranking.slots import insert


@dataclass(kw_only=True)
class Reversal(OrderRule):
    name = "reversal"
    inserts = "reversed"
    depends_on_clock = True

    reversal: Annotated[Share, Field(description="Reverses the list where it is above 0")] = 0.0

    @property
    def is_on(self) -> bool:
        return self.reversal > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        return insert(ranked.take(slice(None, None, -1)), ranked.rows[-1:], self.inserts, context)
