"""The parts of the pipeline (sources, restrictions and rules of order) and the context in which they act.

A part owns what it is: its name, its settings with their bounds and documentation, when it is on, and what its result
depends on. The registries (`retrieval.SOURCES`, `reranking.RESTRICTIONS`, `reranking.ORDER_RULES`) hold one instance of
each with the default settings. From them are derived the settings of a placement and their OpenAPI schema
(`placement.py`), the compiled placement (`placement_config.py`), entity tags and provenance bits.

The settings of a part are the keyword-only fields of its dataclass: annotate each with a pydantic `Field` that gives
its description and bounds. Two parts may declare the same setting in the same way.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

import numpy as np
from pydantic import Field

from app.scoring import Scorer, UserSide
from app.serving.candidates import Bits, Eligible, Ranked, Trace
from app.serving.catalogue import Mask
from app.serving.expressions import Boost, Filter
from app.serving.query import ListOptions, Query
from app.serving.rows import Rows
from app.serving.serving_state import ServingState
from app.serving.user_state import UserState

Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Duration = Annotated[float, Field(strict=True, gt=0, le=1e6, allow_inf_nan=False)]
Expression = Annotated[str, Field(min_length=1, max_length=5_000)]

AnyPart = TypeVar("AnyPart", bound="Part")
Parsed = TypeVar("Parsed")


class Part:
    """What a source, a restriction and a rule of order declare.

    `meaning`: what its settings do, in a sentence, for the console; empty without settings.
    `request_options`: fields of `ListOptions`, or `returned_keys`, any of which turns it on for one request.
    `needs_events`: it acts only on users with stored events. `needs_snapshot`: it is off before anything is learned.
    `is_on`: whether its settings turn it on. `depends_on_clock`: whether its result may change with time alone.
    """

    name: str
    meaning: str = ""
    request_options: tuple[str, ...] = ()
    needs_events: bool = False
    needs_snapshot: bool = False

    @property
    def is_on(self) -> bool:
        return True

    @property
    def depends_on_clock(self) -> bool:
        return False

    @property
    def expressions(self) -> tuple[Filter | Boost, ...]:
        """The expressions of the placement that it applies."""
        return ()

    def microseconds(self, n_rows: int, limit: int) -> float:  # noqa: ARG002  overridden where it matters
        """How long it takes beyond what every part takes, for so many items in the catalogue and in the list; without
        the evaluation of its expressions.
        """
        return 0.0

    def works_with(self, scorer: Scorer) -> bool:
        """Whether this scorer holds what the part reads."""
        return scorer.is_learned or not self.needs_snapshot


class Source(Part, ABC):
    """Proposes candidates. `depends_on_trends`: whether it reads what is trending."""

    depends_on_trends: bool = False

    @abstractmethod
    def candidates(self, context: "Context") -> Rows:
        """Eligible rows in any order, empty where it has nothing to propose; duplicates are merged."""


class Restriction(Part, ABC):
    """Acts before retrieval, on the mask of eligible rows, so that a list stays as long as requested.

    `holds_in_search`: whether it also drops what a user searches for by name. What a user has consumed or does not
    like is found.
    """

    holds_in_search: bool = False

    @abstractmethod
    def restrict(self, context: "Context") -> None:
        """Drop from `context.eligible` what must not be shown."""


class OrderRule(Part, ABC):
    """Acts after ranking: weighs candidates anew (`weighing.py`) or places some in slots (`slots.py`).

    `inserts`: the name in an item's `sources` of what the rule brought in; None for a rule that only reorders.
    """

    inserts: str | None = None

    def microseconds(self, n_rows: int, limit: int) -> float:  # noqa: ARG002  of candidates alone
        return 10.0 * limit

    def applies(self, context: "Context") -> bool:  # noqa: ARG002  overridden where it matters
        """Whether it has anything to do for a user with stored events, once the restrictions have acted."""
        return True

    @abstractmethod
    def arrange(self, ranked: Ranked, context: "Context") -> Ranked:
        """The candidates in another order, with what this rule brings in; none is lost."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts that are on for one kind of request under one placement, in the order in which they act.

    `expressions`: those of the placement that the parts apply, each once. `costly`: the parts that take long, see
    `Part.microseconds`.

    `depends_on_clock`, `depends_on_trends`: whether the list may change without a write, with time or with trends.
    """

    sources: tuple[Source, ...]
    restrictions: tuple[Restriction, ...]
    rules: tuple[OrderRule, ...]
    expressions: tuple[Filter | Boost, ...]
    costly: tuple[Part, ...]
    has_events: bool
    depends_on_clock: bool
    depends_on_trends: bool


@dataclass(slots=True)
class Context:
    """One request while it is answered; the parts of the pipeline read it, and some write what they find out.

    `options`: those of the query. `plan`: the parts that are on. `now`: microseconds UTC, the only clock of the
    request. `bits`: what marks candidates with their proposers. `side`: what ranks, the user's own unless a restriction
    or a caller changed it. `trace`: observes the run, None where nothing reads it afterwards.

    `due_rows`: what is due to be consumed again, the most overdue first. `rules`: those that apply to this user, known
    once the restrictions have acted. `n_pooled`: candidates of each source, at least as many as are requested.
    """

    query: Query
    options: ListOptions
    plan: Plan
    user: UserState
    serving: ServingState
    eligible: Eligible
    now: int
    bits: Bits
    side: UserSide
    due_rows: Rows
    trace: Trace | None = None
    rules: Sequence[OrderRule] = ()
    n_pooled: int = 0

    def best(self, n: int, mask: Mask | None = None) -> Rows:
        """Up to `n` eligible rows with the highest scores, best first; only those in `mask`, where one is given.

        The index finds the items of the scorer, and items newer than it are scored one by one.
        """
        # A mask may have more rows than the request: items that arrived since it began.
        allowed = self.eligible.mask if mask is None else self.eligible.mask & mask[: len(self.eligible.mask)]
        scorer, side = self.serving.scorer, self.side
        is_held, n_indexed = allowed[: scorer.n_items], scorer.n_items
        rows, scores = scorer.index.nearest(side.vector, n, is_held)
        # The index does not hold items newer than the scorer; they are few, and scored one by one.
        newer = np.flatnonzero(allowed[n_indexed:]) + n_indexed
        if not len(newer) and not side.tables:
            return rows
        # The index knows the dense part of the score alone, so the best of each table are candidates as well.
        proposed = [side.proposals(name, n, is_held) for name in side.tables]
        rows = np.unique(np.concatenate([rows, *proposed, newer]))
        scores = scorer.scores(side, rows, self.serving.vectors_of(rows))
        return rows[np.argsort(-scores, kind="stable")[:n]]


class Setting(NamedTuple):
    """One setting of a placement: its annotated type and its default."""

    hint: Any
    default: Any


def settings_of(part: Part) -> dict[str, Setting]:
    """Name -> setting, as the part declares them."""
    kind: type = type(part)
    if not is_dataclass(kind):
        return {}
    hints = get_type_hints(kind, include_extras=True)
    return {each.name: Setting(hints[each.name], each.default) for each in fields(kind) if each.kw_only and each.init}


def with_settings(part: AnyPart, placement: object) -> AnyPart:
    """The part with its settings from `placement`. Raises `InvalidInputError` where an expression does not parse."""
    own = {name: getattr(placement, name) for name in settings_of(part)}
    return replace(part, **own) if own else part  # type: ignore[type-var]  # only a dataclass has settings


def parsed(text: str | None, parse: Callable[[str, str], Parsed], field: str) -> Parsed | None:
    """An optional expression, parsed; errors name `field`."""
    return None if text is None else parse(text, field)
