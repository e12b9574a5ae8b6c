"""One half-step of implicit ALS, compiled: every row of one side against the other side, by conjugate gradients.

Takács, Pilászy & Tikk, "Applications of the Conjugate Gradient Method for Implicit Feedback Collaborative Filtering"
(2011). Both sides stand in the axes of the fixed side's Gram matrix, so that it is diagonal: its product costs k, not
k^2, and the diagonal of a row's matrix is nearly the matrix, which makes it a good preconditioner.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled

Floats = NDArray[np.float32]
Positions = NDArray[np.integer]

SMALLEST_SCALE = np.float32(1e-30)
"""Without a penalty, a direction that no observation has is 0 in the matrix and on the right: it stays as it is."""


class HalfStep(NamedTuple):
    """n observations by row of the side to solve, against the other side, which is fixed.

    `starts`: (n_rows + 1,), where each row's observations begin. `columns`: (n,) rows of `fixed`, (n_fixed, k).
    `weights`: (n,). `diagonal`: (k,), unobserved_weight sum y y', which has no other entries. `penalties`: (n_rows,).
    """

    starts: Positions
    columns: Positions
    weights: Floats
    fixed: Floats
    diagonal: Floats
    penalties: Floats


@compiled
def solve_rows(
    first_row: int, past_row: int, step: HalfStep, max_steps: int, tolerance: float, factors: Floats
) -> float:
    """Improve some rows of `factors`, (n_rows, k): A x = b with A = diagonal + penalty + sum w y y', b = sum w y.

    A row stops after `max_steps`, or when its residual, in the preconditioner's norm, is `tolerance` of what it was.
    Rows without observations become zeros. Returns by how much the objective fell, exact but for rounding.
    """
    k = factors.shape[1]
    work = np.empty((5, k), np.float32)
    gain = 0.0
    for row in range(first_row, past_row):
        if step.starts[row] < step.starts[row + 1]:
            gain += improve(row, step, max_steps, tolerance, factors, work)
        else:
            for f in range(k):
                factors[row, f] = 0.0
    return gain


@compiled
def improve(row: int, step: HalfStep, max_steps: int, tolerance: float, factors: Floats, work: Floats) -> float:
    """`solve_rows` for one row with observations; `work`: (5, k) to write to."""
    k, first, past = factors.shape[1], step.starts[row], step.starts[row + 1]
    x, residual, direction, product, scales, shifted = factors[row], work[0], work[1], work[2], work[3], work[4]
    for f in range(k):
        shifted[f] = step.diagonal[f] + step.penalties[row]
        scales[f] = shifted[f]
        product[f] = shifted[f] * x[f]
    add_products(first, past, step, x, np.float32(1.0), product)  # A x - b
    add_squares(first, past, step, scales)
    rest = np.float32(0.0)
    for f in range(k):
        scales[f] = max(scales[f], SMALLEST_SCALE)
        residual[f] = -product[f]
        direction[f] = residual[f] / scales[f]
        rest += residual[f] * direction[f]
    gain, enough = 0.0, np.float32(tolerance * tolerance) * rest
    for _ in range(max_steps):
        if rest <= enough:
            break
        for f in range(k):
            product[f] = shifted[f] * direction[f]
        add_products(first, past, step, direction, np.float32(0.0), product)  # A d
        curvature = np.float32(0.0)
        for f in range(k):
            curvature += direction[f] * product[f]
        if not curvature > 0.0:
            break
        length = rest / curvature
        gain += float(length * rest)
        previous, rest = rest, np.float32(0.0)
        for f in range(k):
            x[f] += length * direction[f]
            residual[f] -= length * product[f]
            rest += residual[f] * residual[f] / scales[f]
        turn = rest / previous
        for f in range(k):
            direction[f] = residual[f] / scales[f] + turn * direction[f]
    return gain


@compiled
def add_products(first: int, past: int, step: HalfStep, vector: Floats, target: np.float32, total: Floats) -> None:
    """Add sum w (y . vector - target) y over some observations to `total`, (k,)."""
    k, last = vector.shape[0], past - 1
    for at in range(first, past, 4):
        b, c, d = min(at + 1, last), min(at + 2, last), min(at + 3, last)
        row_a, row_b, row_c, row_d = step.columns[at], step.columns[b], step.columns[c], step.columns[d]
        dot_a, dot_b, dot_c, dot_d = -target, -target, -target, -target
        for f in range(k):
            dot_a += step.fixed[row_a, f] * vector[f]
            dot_b += step.fixed[row_b, f] * vector[f]
            dot_c += step.fixed[row_c, f] * vector[f]
            dot_d += step.fixed[row_d, f] * vector[f]
        dot_a *= step.weights[at]
        dot_b *= step.weights[b] if at + 1 <= last else np.float32(0.0)
        dot_c *= step.weights[c] if at + 2 <= last else np.float32(0.0)
        dot_d *= step.weights[d] if at + 3 <= last else np.float32(0.0)
        for f in range(k):
            total[f] += (
                dot_a * step.fixed[row_a, f]
                + dot_b * step.fixed[row_b, f]
                + dot_c * step.fixed[row_c, f]
                + dot_d * step.fixed[row_d, f]
            )


@compiled
def add_squares(first: int, past: int, step: HalfStep, total: Floats) -> None:
    """Add sum w y^2 over some observations to `total`, (k,)."""
    for at in range(first, past):
        for f in range(total.shape[0]):
            value = step.fixed[step.columns[at], f]
            total[f] += step.weights[at] * value * value
