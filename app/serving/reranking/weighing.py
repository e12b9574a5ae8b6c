"""How a rule weighs candidates anew: each gets a factor on its standing.

Scores have no zero of their own and may be negative: a factor on a score itself would lift what it should lower. So a
standing counts from one range of scores below the last candidate:

    standing = score - lowest + (highest - lowest)

Twice its standing puts the last candidate beside the first; half of it, the first beside the last.
"""

import numpy as np
from numpy.typing import NDArray

from app.serving.candidates import Ranked


def with_standings(ranked: Ranked) -> Ranked:
    """`ranked` with its standings."""
    if not len(ranked.rows):
        return ranked
    lowest, highest = float(ranked.scores.min()), float(ranked.scores.max())
    # Where all scores are equal any positive range will do: every standing is then 1.
    return ranked._replace(standings=ranked.scores.astype(np.float64) - lowest + ((highest - lowest) or 1.0))


def weigh(ranked: Ranked, factors: NDArray[np.floating]) -> Ranked:
    """Sorted by standing x factor; equal ones keep their order. `factors`: (n,) >= 0."""
    standings = ranked.standings * factors
    weighed = ranked._replace(standings=standings)
    return weighed.take(np.argsort(-standings, kind="stable"))
