"""How a user's ratings become the user part of each segment.

Training makes a fold of what was learned; a snapshot keeps it as a few numbers and arrays, of which every reader makes
it again: the same arithmetic before and after publication.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.algorithms.fold_in import fold_in, influences
from app.algorithms.rating_uncertainty import RatingUncertainty, UserUncertainty
from app.algorithms.rating_vectors import RatingVectors

RATING, TASTE, ENGAGEMENT, PRIOR = "rating", "taste", "engagement", "prior"
"""What a user would rate an item; what they choose, x_u . y_i (`TasteFoldIn`); what engages them once they meet it
(`EngagementFoldIn`); how popular an item is."""


@dataclass(frozen=True)
class RatingFold:
    """[p_u | 1] meets [q_i | b_i]; beside the part there is b_u, which moves no item.

    `mean`: mu, in the rating scale; `regularization`, `biased`, `precision`: see `RatingVectors`. `spread`, `new_item`:
    how far off predictions may be, see `RatingUncertainty`.
    """

    mean: float
    regularization: float
    biased: bool
    spread: UserUncertainty
    new_item: float
    precision: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, vectors: RatingVectors, spread: RatingUncertainty) -> "RatingFold":
        """`spread`: that of the vectors, or an even one where they have none."""
        known = (vectors.mean, vectors.regularization, vectors.biased)
        return cls(*known, spread.of_users, spread.new_item, vectors.precision)

    @classmethod
    def read(cls, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> "RatingFold":
        """From what `numbers` and `arrays` gave a segment. Raises `KeyError` where anything is missing."""
        return cls(
            mean=numbers["mean"],
            regularization=numbers["regularization"],
            biased=bool(numbers["biased"]),
            spread=UserUncertainty(**{each.name: numbers[each.name] for each in fields(UserUncertainty)}),
            new_item=numbers["new_item"],
            precision=arrays.get("rating.precision"),
        )

    @property
    def numbers(self) -> dict[str, float]:
        own = {"mean": self.mean, "regularization": self.regularization, "biased": float(self.biased)}
        return own | asdict(self.spread) | {"new_item": self.new_item}

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        return {} if self.precision is None else {"precision": self.precision}

    @staticmethod
    def parts(user_factors: NDArray[np.float32]) -> NDArray[np.float32]:
        """[p_u | 1] of (b, k) user factors."""
        return np.hstack([user_factors, np.ones((len(user_factors), 1), np.float32)])

    def part(
        self, columns: NDArray[np.float32], values: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], float, float]:
        """The user part (c,), b_u and the deviation, from the item part (m, c) of what was rated and the ratings (m,).

        The deviation: what is not known of the user, in the rating scale, see `UserUncertainty`.
        """
        factors, item_biases = columns[:, :-1], columns[:, -1]
        targets = values - self.mean - item_biases
        p_u, bias = fold_in(factors, targets, self.regularization, biased=self.biased, precision=self.precision)
        part = np.ones(len(p_u) + 1, np.float32)
        part[:-1] = p_u
        left = targets - factors @ p_u - bias
        error = math.sqrt(float(left @ left) / len(left)) if len(left) else 0.0
        return part, float(bias), self.spread.standard_deviation(error, len(left))

    def influences(
        self, columns: NDArray[np.float32], values: NDArray[np.floating], shown: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """(n, m): how much of p_u . q_i each rating carries, for the item parts `shown` (n, c); the rest as of `part`.

        b_i, which is the same for everybody, is carried by none.
        """
        factors, targets = columns[:, :-1], values - self.mean - columns[:, -1]
        return influences(
            factors, targets, self.regularization, shown[:, :-1], biased=self.biased, precision=self.precision
        )


def prior_parts(n_users: int) -> NDArray[np.float32]:
    """[1] for everybody, (n_users, 1): the user part that meets [prior_i]."""
    return np.ones((n_users, 1), np.float32)
