"""Who brings an item into a list: sources, and the rules that insert; each has a bit, so that a list keeps them all."""

from functools import cache

PROPOSERS = (
    "nearest",
    "similar",
    "category",
    "group",
    "popular",
    "trending",
    "newest",
    "knn",
    "ease",
    "boosted",
    "promoted",
    "exploration",
    "recurring",
)

BIT = {name: 1 << place for place, name in enumerate(PROPOSERS)}


@cache
def names_of(bits: int) -> list[str]:
    """Looked up, not made, for each item of each answer: do not change the list."""
    return [name for name, bit in BIT.items() if bits & bit]
