"""A small language for filters (which items) and boosts (which of them rank higher or lower).

    year >= 1990 and not ("Horror" in categories)
    "Comedy" in categories -> 1.5; `In Stock` and price > 20 -> 0.5

A text is parsed into a tree (`parser.py`), and the tree evaluated over whole columns of the catalogue
(`evaluation.py`). Nothing is evaluated as code, no regular expression of the caller is run, and length, depth and
number of terms are bounded. An error names the character at fault.

Decided: a comparison with an unknown value is false, also `!=`, and `not` negates the result; the third truth value of
SQL was refused as surprising. An attribute may hold numbers for some items and texts for others (see
`catalogue.Attributes`); a comparison applies to the values of its own kind, and is an error only if there are none.
Texts written as numbers are compared with numbers, because a CSV has only texts. Texts are compared whatever their
case, ids as they are; names of attributes differ by case. A name that is more than letters, digits and `_` is written
between backticks.

Refused: arithmetic (a filter says which items, not how good they are), regular expressions (their time is unbounded).
"""

from app.serving.expressions.boost import Boost, parse_boost
from app.serving.expressions.errors import ExpressionError
from app.serving.expressions.filter import Filter, parse_all, parse_filter
from app.serving.expressions.parser import MAX_FACTOR
from app.serving.expressions.unknown_names import UnknownName

__all__ = [
    "MAX_FACTOR",
    "Boost",
    "ExpressionError",
    "Filter",
    "UnknownName",
    "parse_all",
    "parse_boost",
    "parse_filter",
]
