"""A linear map from features to vectors: the vector of an item or user without ratings.

Z. Gantner et al., "Learning Attribute-to-Feature Mappings for Cold-Start Recommendations" (2010). For each dimension of
the vectors a weighted ridge regression in closed form:

    minimise  sum_n weight_n (target_n - offset - features_n . w)^2 + penalty |w|^2

Each dimension has its own penalty, chosen by generalised cross-validation on the same rows (G. Golub, M. Heath, G.
Wahba, "Generalized Cross-Validation as a Method for Choosing a Good Ridge Parameter", 1979) in the robust form of Y.-J.
Kim and C. Gu (2004). There is nothing to tune, and dimensions that features do not explain stay at their mean.

Complexity: O(n f^2 + f^3) for f feature columns, independent of the number of penalties tried.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from app.algorithms.errors import InvalidRatingsError

# The factor on the number of parameters in GCV (Kim & Gu 2004): with 1, one fit in a few hundred overfits badly.
CAUTION = 1.4

N_PENALTIES = 41
# Largest and smallest penalty tried, in units of the largest eigenvalue of the features' covariance.
PENALTY_RANGE = 1e4, 1e-6

# Numbers below this share of their largest peer are rounding errors and count as 0.
ROUNDING = 1e-10

# Feature columns up to which products of pairs are added: 48 give 1,176 columns, which the closed form solves in a
# second.
MAX_CROSSED = 48

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureMap:
    """vector = offset + features . weights, or `undescribed` for a row without any feature.

    `weights`: (f, d) float32. `offset`: (d,) float32.
    `undescribed`: (d,) float32, the weighted mean of the vectors if every row of the fit had features, else the offset.
    `r2`: (d,) float32, the share of each dimension's variance that features explain on unseen rows, estimated by
        cross-validation; 0 where they explain nothing, and every row then gets the weighted mean.
    """

    weights: Float32Array
    offset: Float32Array
    undescribed: Float32Array
    r2: Float32Array

    @classmethod
    def fit(
        cls, features: sparse.csr_array, targets: NDArray[np.floating], row_weights: NDArray[np.floating]
    ) -> "FeatureMap":
        """Fit to (n, f) `features` and (n, d) `targets`, the vectors of the rows.

        `row_weights`: (n,), >= 0, the reliability of each vector, for example n_ratings / (n_ratings + 10); rows of
        weight 0 are left out. Raises `InvalidRatingsError` where vectors or weights are not finite.
        """
        # float64: the normal equations square the condition number of the features.
        known = np.flatnonzero(row_weights > 0)
        wide, weights = np.asarray(targets, np.float64)[known], np.asarray(row_weights, np.float64)[known]
        n_features = features.shape[1]
        # A NaN would silently turn all coefficients into NaN.
        if not (np.isfinite(wide).all() and np.isfinite(weights).all()):
            raise InvalidRatingsError("vectors and weights to learn a feature map from must be finite")
        if len(known) == 0:
            nothing = np.zeros(wide.shape[1], np.float32)
            return cls(np.zeros((n_features, wide.shape[1]), np.float32), nothing, nothing, nothing)
        # Centred by weighted means, the offset drops out: offset = mean - feature_means . w.
        weights /= weights.sum()
        of_known = features[known].astype(np.float64)
        mean, feature_means = weights @ wide, of_known.T @ weights
        deviations = wide - mean
        # Constant targets leave rounding errors, which must not be explained by features.
        deviations[np.abs(deviations) <= ROUNDING * np.abs(mean)] = 0.0
        solution, r2 = _ridge(of_known, feature_means, deviations, weights)
        offset = mean - feature_means @ solution
        # If some rows of the fit had no features, the offset is fitted to them. Otherwise it extrapolates.
        undescribed = mean if np.diff(of_known.indptr).all() else offset
        return cls(*(each.astype(np.float32) for each in (solution, offset, undescribed, r2)))

    def predict(self, features: sparse.csr_array) -> Float32Array:
        """(n, f) features -> (n, d) float32 vectors."""
        vectors: Float32Array = np.asarray(features @ self.weights, np.float32)
        vectors += self.offset
        vectors[np.diff(features.indptr) == 0] = self.undescribed
        return vectors


def _ridge(
    features: sparse.csr_array, means: Float64Array, deviations: Float64Array, weights: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """The (f, d) solution at the best penalty of each dimension, and its r2 (d,). `weights` add up to 1.

    `means`: (f,) weighted means of the features. `deviations`: (n, d) targets minus their weighted mean.
    """
    n_rows, n_features = features.shape
    weighted = sparse.diags_array(weights) @ features
    # X'WX - mean mean' = V diag(values) V'. In the basis V the solution for every penalty is a division:
    # V'w = moments / (values + penalty), so one eigendecomposition serves all penalties and dimensions.
    gram = (features.T @ weighted).toarray() - np.outer(means, means)
    values, axes = linalg.eigh(gram) if n_features else (np.zeros(0), np.zeros((0, 0)))
    # Directions that no row of the fit shows have eigenvalue 0 and no coefficient.
    is_seen = values > values.max(initial=0.0) * ROUNDING
    values, axes = values[is_seen], axes[:, is_seen]
    moments = axes.T @ np.asarray(weighted.T @ deviations)  # V' X' W y, (k, d)
    # An infinite penalty, w = 0, comes first: argmin then prefers it among equals.
    penalties = np.append(np.inf, values.max(initial=0.0) * np.geomspace(*PENALTY_RANGE, N_PENALTIES))
    shrinkage = values / (values + penalties[:, None])  # (penalties, k)
    total = weights @ deviations**2  # (d,) weighted variance of the targets
    # sum weight e^2 = total - sum (2 s - s^2) moments^2 / values,    s = values / (values + penalty)
    residuals = np.maximum(0.0, total - (2 * shrinkage - shrinkage**2) @ (moments**2 / values[:, None]))
    # Effective number of parameters: 1 for the offset + sum s
    n_parameters = 1 + shrinkage.sum(axis=1, keepdims=True)
    best = np.argmin(_cross_validated(residuals, CAUTION * n_parameters / n_rows), axis=0)
    # r2 = 1 - GCV error at the chosen penalty / leave-one-out error of the mean; without the caution factor, which
    # serves the choice alone.
    errors = np.take_along_axis(_cross_validated(residuals, n_parameters / n_rows), best[None], axis=0)[0]
    r2 = np.zeros(len(total))
    np.divide(errors, total / max(1 - 1 / n_rows, ROUNDING) ** 2, out=r2, where=total > 0)
    return axes @ (moments / (values[:, None] + penalties[best])), np.where(best > 0, np.clip(1 - r2, 0, 1), 0.0)


def _cross_validated(residuals: Float64Array, shares: Float64Array) -> Float64Array:
    """GCV = mean e^2 / (1 - parameters / n)^2 with shares = parameters / n; infinite for as many parameters as rows."""
    return np.where(shares < 1, residuals / np.maximum(1 - shares, ROUNDING) ** 2, np.inf)


def crossed(features: sparse.csr_array) -> sparse.csr_array:
    """(n, f) features followed by the products of all pairs of columns; unchanged above `MAX_CROSSED` columns.

    Products express interactions: comedies of the fifties have another audience than comedies or films of the fifties.
    """
    n_features = features.shape[1]
    if not 1 < n_features <= MAX_CROSSED:
        return features
    by_column = features.tocsc()
    # Column by column against all later ones, so that every pair appears once and no square appears.
    products = [by_column[:, first + 1 :].multiply(by_column[:, [first]]) for first in range(n_features - 1)]
    # Most products of one-hot columns are 0 everywhere; explicit zeros would cost memory in every later product.
    joined = sparse.hstack([features, *products], format="csr")
    joined.eliminate_zeros()
    return sparse.csr_array(joined, dtype=np.float32)


def mapped(features: sparse.csr_array, text: sparse.csr_array | None = None) -> sparse.csr_array:
    """The input of a map: (n, f) features `crossed`, then the (n, t) columns of texts, which are not."""
    # Products of hundreds of words would be too many columns to solve for.
    return crossed(features) if text is None else sparse.csr_array(sparse.hstack([crossed(features), text], "csr"))


def crossed_width(n_features: int) -> int:
    """The number of columns of `crossed`: f + f (f - 1) / 2 up to `MAX_CROSSED` columns, else f."""
    return n_features + n_features * (n_features - 1) // 2 if n_features <= MAX_CROSSED else n_features
