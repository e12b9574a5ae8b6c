"""Which sources proposed an item, and which rules brought it in: one bit each, kept with every candidate.

Bits exist in memory only: they follow the order of the registries and change with them.
"""

from functools import cache

from app.serving.candidates import PROPOSER_BITS
from app.serving.reranking import ORDER_RULES
from app.serving.retrieval import SOURCES

# The order of the names in answers.
PROPOSERS = (*(source.name for source in SOURCES), *(rule.inserts for rule in ORDER_RULES if rule.inserts))

BITS = {name: 1 << place for place, name in enumerate(PROPOSERS)}

if not len(PROPOSERS) == len(BITS) <= PROPOSER_BITS:
    raise RuntimeError(f"sources and inserting rules need different names, and at most {PROPOSER_BITS}")


@cache
def names_of(bits: int) -> list[str]:
    """The names behind `bits`, in the order of the registries. Cached and shared: callers must not change the list."""
    return [name for name, bit in BITS.items() if bits & bit]
