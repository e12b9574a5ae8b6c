"""How long the work of an answer takes the processor, estimated in microseconds before it starts.

The figures are of a slow core and need not be exact: they tell a list of 0.2 ms from one of 20 ms. What a source, a
restriction or a rule adds is declared by the part (`Part.microseconds`), what an expression adds by its terms.
"""

from app.serving.near_names import MICROSECONDS as NEAR_NAMES
from app.serving.parts import Context
from app.serving.user_state import UserState

A_ROW = 0.003
"""For each item of the catalogue: the restrictions, the search of the index."""

AN_ID = 1.0
"""For each item that the request excludes."""

AN_EXPLANATION, AN_INFLUENCE = 50.0, 0.05
"""For each item shown with its reasons, and for each rating or event that may have raised its score."""


def of_list(context: Context, n_shown: int | None = None) -> float:
    """Of the steps after the user is loaded. `n_shown`: how many items, those requested unless given."""
    options, catalogue, profile = context.options, context.serving.catalogue, context.user.profile
    n_rows, limit = len(context.eligible.mask), options.limit if n_shown is None else n_shown
    cost = n_rows * A_ROW + len(options.exclude) * AN_ID
    for part in context.plan.costly:
        cost += part.microseconds(n_rows, limit)
    for stored in context.plan.expressions:
        cost += stored.microseconds(catalogue, profile, is_strict=False)
    for asked in (options.filter, options.boost):
        if asked is not None:
            cost += asked.microseconds(catalogue, profile)
    if options.categories:
        # The notes say which names are near to an unknown one.
        cost += NEAR_NAMES * sum(not catalogue.names_category(category) for category in options.categories)
    if options.explain:
        cost += limit * (AN_EXPLANATION + AN_INFLUENCE * n_observed(context.user))
    return cost


def n_observed(user: UserState) -> int:
    return len(user.rated_rows) + (0 if user.interactions is None else len(user.interactions.rows))
