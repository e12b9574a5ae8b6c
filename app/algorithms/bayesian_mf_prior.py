"""The prior with which users are folded in, learned from the vectors that sampling gave them.

The posterior mean x_u of a user is not the ridge of its ratings t on the mean item vectors f: item vectors have errors,
and they have already seen the user's own ratings. It is one with a penalty for both. At the minimum of

    sum (t - x . f)^2 + x' (A + m B) x,   m its ratings,

(A + m B) x = g, g = sum f (t - x . f): linear in A and B, so that the pairs (x_u, g_u) tell them by least squares.
"""

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]

LEAST_VARIANCE = 1e-6
"""Directions in which users differ by less, relative to where they differ most, are taken to vary this much."""


def learn_precision(users: Wide, gradients: Wide, counts: NDArray[np.int64], noise: float) -> Wide:
    """(2, k, k), A and B, in units of the noise, as `fold_in` takes them.

    `users`: (n, k), x_u of users with ratings, around 0. `gradients`: (n, k), g_u. `counts`: (n,). `noise`: variance of
    the error of a rating. A is never less than noise cov(x)^-1: nobody is freer to go anywhere than users were seen to.
    """
    n, width = users.shape
    variances, axes = np.linalg.eigh(users.T @ users / max(n, 1))
    most = variances.max(initial=0.0) or 1.0  # one user alone is the mean
    spreads = np.sqrt(np.maximum(variances, LEAST_VARIANCE * most))
    # x = C z with C C' = cov(x):   g_z = C' g,   A = C^-T A_z C^-1
    to_unit = axes / spreads
    z, g, m = users @ to_unit, gradients @ (axes * spreads), counts[:, None].astype(np.float64)
    # The spread of g_u grows with m. As many users as there are columns, with A = noise I and B = 0, are taken as seen.
    sides = np.hstack([z / np.sqrt(m), z * np.sqrt(m)])
    square = sides.T @ sides
    expected = np.zeros((2 * width, width))
    seen = np.repeat([width * np.mean(1 / m), width * np.mean(m)], width)
    expected[:width] = noise * seen[0] * np.eye(width)
    square.ravel()[:: 2 * width + 1] += seen
    solved = np.linalg.solve(square, sides.T @ (g / np.sqrt(m)) + expected)
    found = _at_least(solved[:width], noise), _at_least(solved[width:], 0.0)
    return np.stack([to_unit @ each @ to_unit.T for each in found])


def _at_least(square: Wide, least: float) -> Wide:
    """The nearest symmetric matrix without an eigenvalue below `least`."""
    values, vectors = np.linalg.eigh((square + square.T) / 2)
    raised: Wide = vectors * np.maximum(values, least) @ vectors.T
    return raised
