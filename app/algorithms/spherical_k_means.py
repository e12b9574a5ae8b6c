"""Spherical k-means: clusters of unit vectors by cosine, deterministic.

    c_j = sum of the members of cluster j, normalised;    each vector belongs to the c_j with the largest cosine

I. S. Dhillon, D. S. Modha, "Concept Decompositions for Large Sparse Text Data Using Clustering" (2001). The initial
clusters come from splitting the widest cluster along its first principal direction, repeatedly (T. Su, J. G. Dy, "In
Search of Deterministic Methods for Initializing K-Means and Gaussian Mixture Clustering", 2007), so equal data give
equal clusters.

The number of clusters is an upper limit, reached while every cluster has enough members. The mean silhouette (P. J.
Rousseeuw, 1987) cannot choose it: on real user tastes it is flat, 0.13 to 0.25 from two clusters to eight.

Complexity: O(n d k) per iteration for n vectors of d dimensions and k clusters.
"""

import numpy as np
from numpy.typing import NDArray

N_ITERATIONS = 50
# Below this sum of squared deviations, the members of a cluster differ by rounding errors only.
MIN_SQUARED_DEVIATION = 1e-6

Labels = NDArray[np.intp]


def cluster_directions(directions: NDArray[np.floating], n_groups: int, least_members: int) -> Labels:
    """(n,) the cluster, 0 .. k - 1, of n unit vectors `directions` (n, d), with the largest possible k <= `n_groups`.

    Every cluster has at least `least_members` members, unless there is only one cluster.
    """
    x = np.asarray(directions, np.float64)
    # A rejected number of clusters does not end the search: one more split may yield clusters that are large enough.
    labels = best = np.zeros(len(x), np.intp)
    for n in range(2, min(n_groups, len(x) // least_members) + 1):
        labels = _with_widest_split(x, labels)
        refined = _refined(x, labels)
        members = np.bincount(refined)
        if len(members) == n and members.min() >= least_members:
            best = refined
    return best


def cluster_centres(directions: NDArray[np.floating], labels: Labels) -> NDArray[np.float64]:
    """(k, d) the centres of the clusters, of length 1; 0 where the members cancel out."""
    # Sums of members as a product of the membership matrix, (k, n) @ (n, d)
    is_member = labels == np.arange(labels.max(initial=-1) + 1)[:, None]
    sums: NDArray[np.float64] = is_member.astype(np.float64) @ directions
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums / np.where(lengths > 0, lengths, 1.0)


def _with_widest_split(x: NDArray[np.float64], labels: Labels) -> Labels:
    """Split the cluster with the largest sum of squared deviations; unchanged where its members are equal."""
    squares = [
        float(np.sum((x[labels == group] - x[labels == group].mean(0)) ** 2)) for group in range(labels.max() + 1)
    ]
    # The members of the widest cluster, by row
    widest = np.flatnonzero(labels == np.argmax(squares))
    if max(squares) < MIN_SQUARED_DEVIATION:
        return labels
    deviations = x[widest] - x[widest].mean(0)
    # The sign of the projection on the first principal direction decides the half.
    _, _, principal = np.linalg.svd(deviations, full_matrices=False)
    split = labels.copy()
    split[widest[deviations @ principal[0] > 0]] = len(squares)
    return split


def _refined(x: NDArray[np.float64], labels: Labels) -> Labels:
    """Reassign vectors to the closest centre until nothing changes; clusters that lose all members disappear."""
    for _ in range(N_ITERATIONS):
        closest = np.argmax(x @ cluster_centres(x, labels).T, axis=1)
        # Renumber, since a cluster may have lost all its members.
        _, closest = np.unique(closest, return_inverse=True)
        if np.array_equal(closest, labels):
            break
        labels = closest
    return labels
