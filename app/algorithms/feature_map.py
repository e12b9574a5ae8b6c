"""A learnt map from features to vectors: what an item or user without ratings gets in place of a learned vector.

A ridge regression of the vectors on the features (A. Hoerl, R. Kennard 1970), as in Z. Gantner et al., "Learning
Attribute-to-Feature Mappings for Cold-Start Recommendations" (2010). In closed form, and for each output dimension with
its own penalty, chosen on the same rows by generalised cross-validation (G. Golub, M. Heath, G. Wahba 1979) in the
robust form of Y.-J. Kim and C. Gu (2004): no constant to set, and what features say nothing of stays at its mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from app.algorithms.errors import InvalidRatingsError

CAUTION = 1.4
"""How many parameters each parameter counts for (Kim & Gu 2004): without it one fit in a few hundred overfits badly."""

N_PENALTIES = 41
PENALTY_RANGE = 1e4, 1e-6
"""From, to, in units of the largest eigenvalue of the features."""

ROUNDING = 1e-10
"""What is smaller beside its like is taken for 0."""

MAX_CROSSED = 48
"""Columns of features up to which each pair of them becomes a column of its own: 1,176 columns then, which the closed
form solves in a second."""

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureMap:
    """vector = offset + features . weights; for a row without any feature: `undescribed`.

    `weights`: (f, d) float32. `offset`, `undescribed`: (d,) float32; the latter is the weighted mean of the vectors
    where every row learned from had features, and else the offset. `r2`: (d,) float32, the share of each dimension's
    variance that features explain on rows not learned from, as cross-validation has it; 0 where they say nothing, and
    every row then gets the weighted mean.
    """

    weights: Floats
    offset: Floats
    undescribed: Floats
    r2: Floats

    @classmethod
    def learn(
        cls, features: sparse.csr_array, targets: NDArray[np.floating], row_weights: NDArray[np.floating]
    ) -> "FeatureMap":
        """From (n, f) features and (n, d) vectors of the rows; rows of weight 0 are not learned from.

        `row_weights`: (n,), how well each vector is known, for example n_ratings / (n_ratings + 10). Minimises, for
        each dimension, sum_n weight_n (target_n - offset - features_n . w)^2 + penalty |w|^2.
        """
        known = np.flatnonzero(row_weights > 0)
        wide, weights = np.asarray(targets, np.float64)[known], np.asarray(row_weights, np.float64)[known]
        n_features = features.shape[1]
        if not (np.isfinite(wide).all() and np.isfinite(weights).all()):
            raise InvalidRatingsError("vectors and weights to learn a feature map from must be finite")
        if len(known) == 0:
            nothing = np.zeros(wide.shape[1], np.float32)
            return cls(np.zeros((n_features, wide.shape[1]), np.float32), nothing, nothing, nothing)
        weights /= weights.sum()
        of_known = features[known].astype(np.float64)
        mean, feature_means = weights @ wide, of_known.T @ weights
        deviations = wide - mean
        deviations[np.abs(deviations) <= ROUNDING * np.abs(mean)] = 0.0
        solution, r2 = _ridge(of_known, feature_means, deviations, weights)
        offset = mean - feature_means @ solution
        undescribed = mean if np.diff(of_known.indptr).all() else offset
        return cls(*(each.astype(np.float32) for each in (solution, offset, undescribed, r2)))

    def predict(self, features: sparse.csr_array) -> Floats:
        """(n, f) features -> (n, d) float32 vectors."""
        vectors: Floats = np.asarray(features @ self.weights, np.float32)
        vectors += self.offset
        vectors[np.diff(features.indptr) == 0] = self.undescribed
        return vectors


def _ridge(features: sparse.csr_array, means: Wide, deviations: Wide, weights: Wide) -> tuple[Wide, Wide]:
    """The (f, d) solution at the best penalty of each dimension, and the (d,) r2 there; the weights add up to 1."""
    n_rows, n_features = features.shape
    weighted = sparse.diags_array(weights) @ features
    # X' W X - mean mean' = V diag(values) V';   in these coordinates every penalty has its solution at once
    gram = (features.T @ weighted).toarray() - np.outer(means, means)
    values, axes = linalg.eigh(gram) if n_features else (np.zeros(0), np.zeros((0, 0)))
    is_seen = values > values.max(initial=0.0) * ROUNDING
    values, axes = values[is_seen], axes[:, is_seen]
    moments = axes.T @ np.asarray(weighted.T @ deviations)  # V' X' W y, (k, d)
    # No feature at all comes first: the choice where nothing is better.
    penalties = np.append(np.inf, values.max(initial=0.0) * np.geomspace(*PENALTY_RANGE, N_PENALTIES))
    shrinkage = values / (values + penalties[:, None])  # (penalties, k)
    total = weights @ deviations**2  # (d,), all there is to explain
    residuals = np.maximum(0.0, total - (2 * shrinkage - shrinkage**2) @ (moments**2 / values[:, None]))
    n_parameters = 1 + shrinkage.sum(axis=1, keepdims=True)
    best = np.argmin(_cross_validated(residuals, CAUTION * n_parameters / n_rows), axis=0)
    left = np.take_along_axis(_cross_validated(residuals, n_parameters / n_rows), best[None], axis=0)[0]
    r2 = np.zeros(len(total))
    np.divide(left, total / max(1 - 1 / n_rows, ROUNDING) ** 2, out=r2, where=total > 0)
    return axes @ (moments / (values[:, None] + penalties[best])), np.where(best > 0, np.clip(1 - r2, 0, 1), 0.0)


def _cross_validated(residuals: Wide, shares: Wide) -> Wide:
    """GCV = mean e^2 / (1 - parameters / n)^2; infinite where there are as many parameters as rows."""
    return np.where(shares < 1, residuals / np.maximum(1 - shares, ROUNDING) ** 2, np.inf)


def crossed(features: sparse.csr_array) -> sparse.csr_array:
    """(n, f) features, and behind them the product of every two columns, where there are up to `MAX_CROSSED` columns.

    A comedy of the fifties is liked by others than comedies, and than films of the fifties.
    """
    n_features = features.shape[1]
    if not 1 < n_features <= MAX_CROSSED:
        return features
    by_column = features.tocsc()
    products = [by_column[:, first + 1 :].multiply(by_column[:, [first]]) for first in range(n_features - 1)]
    joined = sparse.hstack([features, *products], format="csr")
    joined.eliminate_zeros()
    return sparse.csr_array(joined, dtype=np.float32)


def crossed_width(n_features: int) -> int:
    """How many columns `crossed` gives."""
    return n_features + n_features * (n_features - 1) // 2 if n_features <= MAX_CROSSED else n_features
