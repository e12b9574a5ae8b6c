"""The inverse of a symmetric positive definite matrix, by Cholesky decomposition in place, on all cores.

Complexity: n^3 multiplications and additions; no memory but the matrix itself, 4 n^2 bytes in float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from app.algorithms.cores import available_cores
from app.algorithms.errors import FitDivergedError

# Up to this size float64 takes seconds; above, float32 halves time and memory.
MAX_DOUBLE = 4_096

# float32 has a relative rounding error of 6e-8, so with this reciprocal condition number the inverse is right to about
# 1 %; float64 is used below.
MIN_SINGLE_CONDITION = 5e-6

_ROWS_PER_BLOCK = 512

Matrix = NDArray[np.floating]


def inverse(make: Callable[[type[np.floating[Any]]], Matrix], n: int) -> Matrix:
    """The inverse of the (n, n) matrix that `make` returns for a dtype, float32 or float64; the matrix is overwritten.

    Large matrices are inverted in float32 where their condition allows. Raises `FitDivergedError` where the matrix is
    not positive definite.
    """
    with threadpool_limits(available_cores(), "blas"):
        inverted = _single(make(np.float32)) if n > MAX_DOUBLE else None
        return _double(make(np.float64)) if inverted is None else inverted


def _single(matrix: Matrix) -> Matrix | None:
    """None where the matrix is too badly conditioned for float32."""
    norm = max(float(np.abs(rows).sum(axis=1).max()) for rows in _row_blocks(matrix))  # of a symmetric matrix: 1-norm
    # Cholesky decomposition works on one triangle. The transpose of a symmetric matrix has LAPACK's column-major order,
    # so nothing is copied.
    factor, failed = lapack.spotrf(matrix.T, lower=1, overwrite_a=1)
    if failed or lapack.spocon(factor, norm, uplo="L")[0] < MIN_SINGLE_CONDITION:
        return None
    # spotrf: A = L L'; spotri: A^-1 from L; both in place
    lower, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    return _mirrored(lower)


def _double(matrix: Matrix) -> Matrix:
    if not len(matrix):
        return matrix
    factor, failed = lapack.dpotrf(matrix.T, lower=1, overwrite_a=1)
    if failed:
        raise FitDivergedError("the Gram matrix is singular; try a larger regularization")
    lower, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    return _mirrored(lower)


def _mirrored(lower: Matrix) -> Matrix:
    """Copy the lower triangle of a column-major matrix to the upper one, in place; returns it in row-major order."""
    for start in range(0, len(lower), _ROWS_PER_BLOCK):
        block = slice(start, min(start + _ROWS_PER_BLOCK, len(lower)))
        lower[block, block.stop :] = lower[block.stop :, block].T
        corner = lower[block, block]
        lower[block, block] = np.tril(corner) + np.tril(corner, -1).T
    return lower.T


def _row_blocks(matrix: Matrix) -> list[Matrix]:
    return [matrix[start : start + _ROWS_PER_BLOCK] for start in range(0, len(matrix), _ROWS_PER_BLOCK)]
