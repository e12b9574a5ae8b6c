"""Rules: one file a rule, of two kinds.

A *restriction* acts before retrieval, on the mask of eligible rows, so that a list is as long as was asked for while
that many items are eligible. A rule of *order* acts on what is ranked: it weighs candidates anew (`weighing.py`) or
places some by hand (`slots.py`). It may bring items in and never shortens the list.

Each is a setting of a placement, see `app.serving.placement`; one that is off costs one comparison. What is not
available and what the user dislikes is shown nowhere: for these there is no setting.
"""

from typing import ClassVar, Protocol

from app.serving.context import Context
from app.serving.query import Ranked


class Restriction(Protocol):
    name: ClassVar[str]

    def restrict(self, context: Context) -> None:
        """Take from `context.eligible` what this rule does not want shown."""


class OrderRule(Protocol):
    name: ClassVar[str]

    def is_on(self, context: Context) -> bool: ...

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """The candidates in another order, with what this rule brings in; none is lost."""
