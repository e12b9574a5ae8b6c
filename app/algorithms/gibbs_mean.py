"""The mean of many products P Q', kept as one product of a few columns.

    mean_s p_u^s . q_i^s = [p_u^1 ... p_u^S] / sqrt(S) . [q_i^1 ... q_i^S] / sqrt(S)

is one product of very many columns, but of little more than the rank of one sample: orthogonalising both
sides and the SVD of the small core between them give the fewest columns that say the same.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]

SPARE = 2
"""Between additions, as many times the columns asked for are kept: what is cut off for good then is next to nothing."""


MOST_COLUMNS, MOST_NUMBERS = 512, 2**25
"""Samples wait to be shrunk together until they have so many columns, or of very many users and items 128 MB."""

_ROWS_PER_BLOCK = 65_536


class MeanProduct:
    """Takes one sample after another, all of the same weight; memory does not grow with their number."""

    def __init__(self, n_columns: int) -> None:
        self.n_columns = n_columns
        self.n_samples = 0
        self._left: list[Floats] = []
        self._right: list[Floats] = []

    def add(self, left: Floats, right: Floats) -> None:
        """One sample, (n_users, k) and (n_items, k) float32, which nobody may change any more."""
        self._left.append(left)
        self._right.append(right)
        self.n_samples += 1
        n_rows, n_waiting = len(left) + len(right), sum(each.shape[1] for each in self._left)
        n_new = n_waiting - SPARE * self.n_columns
        if n_waiting >= MOST_COLUMNS or (n_waiting * n_rows >= MOST_NUMBERS and n_new >= SPARE * self.n_columns):
            sides = shrink(np.hstack(self._left), np.hstack(self._right), SPARE * self.n_columns)
            self._left, self._right = [sides[0]], [sides[1]]

    def sides(self) -> tuple[Floats, Floats]:
        """(n_users, n_columns) and (n_items, n_columns) float32, or fewer columns where the mean has a lower rank."""
        left, right = shrink(np.hstack(self._left), np.hstack(self._right), self.n_columns)
        scale = np.float32(1 / math.sqrt(self.n_samples))
        return left * scale, right * scale


def shrink(left: Floats, right: Floats, n_columns: int) -> tuple[Floats, Floats]:
    """The best sides of `n_columns` for the product left right', (n, c) and (m, c): its SVD, U s^1/2 and V s^1/2.

    Fewer columns where the product has a lower rank.
    """
    # left = Q_l R_l, right = Q_r R_r;   left right' = Q_l (R_l R_r') Q_r' = (Q_l U) s (Q_r V)'
    (r_left, to_left), (r_right, to_right) = _orthogonal(left), _orthogonal(right)
    u, s, v = np.linalg.svd(r_left @ r_right.T)
    rank = int(np.sum(s > np.finfo(np.float32).eps * s.max(initial=0.0)))
    n_kept = min(n_columns, rank)
    roots = np.sqrt(s[:n_kept])
    return (
        left @ (to_left @ u[:, :n_kept] * roots).astype(np.float32),
        right @ (to_right @ v[:n_kept].T * roots).astype(np.float32),
    )


def _orthogonal(side: Floats) -> tuple[Wide, Wide]:
    """R and T of side = Q R, Q = side T, by the eigenvectors of side' side, or of side side' where rows are fewer."""
    if len(side) < side.shape[1]:
        wide = side.astype(np.float64)
        squares, left = np.linalg.eigh(wide @ wide.T)
        is_kept = squares > np.finfo(np.float32).eps ** 2 * squares.max(initial=0.0)
        roots = np.sqrt(squares[is_kept])
        directions = wide.T @ left[:, is_kept] / roots
        return (directions * roots).T, directions / roots
    square = np.zeros((side.shape[1], side.shape[1]))
    for start in range(0, len(side), _ROWS_PER_BLOCK):
        wide = side[start : start + _ROWS_PER_BLOCK].astype(np.float64)
        square += wide.T @ wide
    squares, directions = np.linalg.eigh(square)
    is_kept = squares > np.finfo(np.float32).eps ** 2 * squares.max(initial=0.0)
    roots = np.sqrt(squares[is_kept])
    return (directions[:, is_kept] * roots).T, directions[:, is_kept] / roots
