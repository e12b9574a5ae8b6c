"""One half-step of implicit ALS, compiled: every row of one side given the other side, by conjugate gradients.

G. Takács, I. Pilászy, D. Tikk, "Applications of the Conjugate Gradient Method for Implicit Feedback Collaborative
Filtering" (2011). A row x with observations (w, t, y), weight, target and vector, solves

    A x = b,    A = G + penalty I + sum w y y',    b = sum w t y

Both sides are given in the eigenbasis of the Gram matrix G of the fixed side, where G is diagonal. Its product then
costs k operations, not k^2, and the diagonal of A is close to A, which makes it a good preconditioner.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled

Float32Array = NDArray[np.float32]
Positions = NDArray[np.integer]

# Least diagonal of A to divide by. Without a penalty a direction without observations has 0 in A and in b; the residual
# there is 0, too, so the direction stays as it is.
SMALLEST_SCALE = np.float32(1e-30)


class HalfStep(NamedTuple):
    """n observations by row of the side to solve, and the fixed side.

    `starts`: (n_rows + 1,), where the observations of each row begin.
    `columns`: (n,), the row of `fixed` of each observation. `weights`: (n,), w of targets 1 and -w of targets 0.
    `fixed`: (n_fixed, k), the y, in the eigenbasis of G.
    `diagonal`: (k,), the eigenvalues of G = unobserved_weight sum y y'. `penalties`: (n_rows,).
    """

    starts: Positions
    columns: Positions
    weights: Float32Array
    fixed: Float32Array
    diagonal: Float32Array
    penalties: Float32Array


@compiled
def solve_rows(
    first_row: int, past_row: int, step: HalfStep, max_steps: int, tolerance: float, factors: Float32Array
) -> float:
    """Improve rows `first_row` to `past_row` - 1 of `factors`, (n_rows, k), in place.

    A row stops after `max_steps`, or when its residual in the norm of the preconditioner is `tolerance` times the
    initial one. Rows without observations become 0. Returns the decrease of the objective, exact up to rounding.
    """
    k = factors.shape[1]
    work = np.empty((5, k), np.float32)  # allocated once per task, not once per row
    gain = 0.0
    # Rows are independent, so tasks may take any ranges of them in parallel.
    for row in range(first_row, past_row):
        if step.starts[row] < step.starts[row + 1]:
            gain += improve(row, step, max_steps, tolerance, factors, work)
        else:
            for f in range(k):
                factors[row, f] = 0.0
    return gain


@compiled
def improve(
    row: int, step: HalfStep, max_steps: int, tolerance: float, factors: Float32Array, work: Float32Array
) -> float:
    """Preconditioned conjugate gradients for one row with observations; `work`: (5, k) scratch space.

        r = b - A x,    d = M^-1 r,    M = diag(A)
        a = r'M^-1 r / d'A d;    x += a d;    r -= a A d;    d = M^-1 r + (new r'M^-1 r / old) d

    Every step lowers the objective by a (r'M^-1 r), where the objective is x'A x - 2 b'x + constant.
    """
    k, first, past = factors.shape[1], step.starts[row], step.starts[row + 1]
    # x is a view of the row and updated in place; the others are rows of the scratch space.
    x, residual, direction, product, scales, shifted = factors[row], work[0], work[1], work[2], work[3], work[4]
    # shifted = diag(G) + penalty; scales = diag(A), the preconditioner; product = A x - b
    for f in range(k):
        shifted[f] = step.diagonal[f] + step.penalties[row]
        scales[f] = shifted[f]
        product[f] = shifted[f] * x[f]
    add_products(first, past, step, x, np.float32(1.0), product)
    # diag(A)_f = d_f + penalty + sum w y_f^2, exact and at the cost of one product
    add_squares(first, past, step, scales)
    rest = np.float32(0.0)
    for f in range(k):
        scales[f] = max(scales[f], SMALLEST_SCALE)
        residual[f] = -product[f]
        direction[f] = residual[f] / scales[f]
        rest += residual[f] * direction[f]
    # Squared, because `rest` is the squared norm r'M^-1 r of the residual.
    gain, enough = 0.0, np.float32(tolerance * tolerance) * rest
    for _ in range(max_steps):
        if rest <= enough:
            break
        for f in range(k):
            product[f] = shifted[f] * direction[f]
        add_products(first, past, step, direction, np.float32(0.0), product)  # A d
        # d'A d, the curvature of the objective along the search direction
        curvature = np.float32(0.0)
        for f in range(k):
            curvature += direction[f] * product[f]
        # 0 along directions without observations and penalty, NaN after an overflow: no step is defined.
        if not curvature > 0.0:
            break
        # The exact line search: a = r'M^-1 r / d'A d
        length = rest / curvature
        gain += float(length * rest)
        # x += a d, r -= a A d; the residual is updated, not recomputed, which saves half of the products.
        previous, rest = rest, np.float32(0.0)
        for f in range(k):
            x[f] += length * direction[f]
            residual[f] -= length * product[f]
            rest += residual[f] * residual[f] / scales[f]
        # The new direction is conjugate to all earlier ones: d'A d_old = 0.
        turn = rest / previous
        for f in range(k):
            direction[f] = residual[f] / scales[f] + turn * direction[f]
    return gain


@compiled
def add_products(
    first: int, past: int, step: HalfStep, vector: Float32Array, share: np.float32, total: Float32Array
) -> None:
    """Add sum (w y . vector - share w t) y over observations `first` to `past` - 1 to `total`, (k,).

    With share 1 this is (sum w y y') x - b, with share 0 the product (sum w y y') d.
    """
    k, last, zero = vector.shape[0], past - 1, np.float32(0.0)
    # Four observations per pass: four independent sums hide the latency of additions, and `total` is read and written
    # once instead of four times. Beyond the end the last observation is repeated with weight 0.
    for at in range(first, past, 4):
        b, c, d = min(at + 1, last), min(at + 2, last), min(at + 3, last)
        row_a, row_b, row_c, row_d = step.columns[at], step.columns[b], step.columns[c], step.columns[d]
        # y . vector of four observations
        dot_a, dot_b, dot_c, dot_d = zero, zero, zero, zero
        for f in range(k):
            dot_a += step.fixed[row_a, f] * vector[f]
            dot_b += step.fixed[row_b, f] * vector[f]
            dot_c += step.fixed[row_c, f] * vector[f]
            dot_d += step.fixed[row_d, f] * vector[f]
        # w y . vector - share w t, or 0 for the repeated last observation
        dot_a = left_over(step.weights[at], dot_a, share)
        dot_b = left_over(step.weights[b], dot_b, share) if at + 1 <= last else zero
        dot_c = left_over(step.weights[c], dot_c, share) if at + 2 <= last else zero
        dot_d = left_over(step.weights[d], dot_d, share) if at + 3 <= last else zero
        for f in range(k):
            total[f] += (
                dot_a * step.fixed[row_a, f]
                + dot_b * step.fixed[row_b, f]
                + dot_c * step.fixed[row_c, f]
                + dot_d * step.fixed[row_d, f]
            )


@compiled
def left_over(weight: np.float32, dot: np.float32, share: np.float32) -> np.float32:
    """The product w (y . vector - share t): t = 1 and w = weight for a weight above 0, else t = 0 and w = -weight."""
    return weight * dot - share * weight if weight > np.float32(0.0) else -weight * dot


@compiled
def add_squares(first: int, past: int, step: HalfStep, total: Float32Array) -> None:
    """Add sum w y^2, the diagonal of sum w y y', over observations `first` to `past` - 1 to `total`, (k,)."""
    for at in range(first, past):
        for f in range(total.shape[0]):
            value = step.fixed[step.columns[at], f]
            total[f] += abs(step.weights[at]) * value * value


@compiled
def totals_of_rows(
    starts: Positions, weights: Float32Array, totals: NDArray[np.float64], n_chosen: NDArray[np.int64]
) -> None:
    """Write the sum of |w| of each row and the number of its weights above 0, (n_rows,) each."""
    for row in range(totals.shape[0]):
        total, n = 0.0, 0
        for at in range(starts[row], starts[row + 1]):
            total += abs(weights[at])
            n += weights[at] > np.float32(0.0)
        totals[row], n_chosen[row] = total, n
