"""A small language to say which items, and which of them more: filters and boosts.

    year >= 1990 and not ("Horror" in categories)
    "Comedy" in categories -> 1.5; price > 20 -> 0.5

A text is parsed into a tree (`parser.py`), and the tree evaluated over whole columns of the catalogue (`masks.py`).
Nothing is ever evaluated as code, no regular expression of the caller is run, and length, depth and number of terms are
bounded. What is wrong is said with the character where it stands.

Decided: a comparison with a value that is not known is false, `!=` like the others, and `not` turns round what it
stands before: SQL's third truth value surprises everybody once. An attribute may hold numbers for some items and texts
for others (see `catalogue.Attributes`); a comparison regards those of its own kind, and is an error only where there
are none. Texts that are written as numbers are compared with numbers as such: a CSV knows nothing but texts.

Refused: arithmetic (a filter says which items, not how good they are), regular expressions (their time is unbounded).
"""

from app.serving.expressions.boost import Boost, parse_boost
from app.serving.expressions.errors import ExpressionError
from app.serving.expressions.filter import Filter, parse_filter
from app.serving.expressions.parser import MAX_FACTOR

__all__ = ["MAX_FACTOR", "Boost", "ExpressionError", "Filter", "parse_boost", "parse_filter"]
