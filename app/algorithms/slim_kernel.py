"""Ridge regressions of many items, each on its strongest neighbours alone, compiled.

For the target i with the neighbours N, and G = S'S, the sums of `cooccurrence_kernel`:

    x = (G_NN + D_NN)^-1 b_N,      b = column i of G, or of S'T

G is kept in pruned form, the largest entries of every row. An entry counts where either of its two rows kept it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled
from app.algorithms.cooccurrence_kernel import Choices, add_gram, add_previous
from app.algorithms.ridge_kernel import solve_in_place

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Positions = NDArray[np.integer]

# Shares of the values off the diagonal that are tried, until a system is positive definite; with 0 all are.
SHARES = (1.0, 0.5, 0.25, 0.125, 0.0)


class PrunedRows(NamedTuple):
    """The strongest entries of each row. `columns`: (n_rows, n) int32. `values`: (n_rows, n) float32.

    `lengths`: (n_rows,) int32, the places that are used; what the others hold means nothing.
    """

    columns: Positions
    values: Float32Array
    lengths: Positions


@compiled
def prune_gram(first_item: int, past_item: int, choices: Choices, norms: Float64Array, pruned: PrunedRows) -> None:
    """Write the entries of rows `first_item` to `past_item` - 1 of G that are largest by G_ij / norm_j; none of G_ii.

    `norms`: (n_items,) float64, positive.
    """
    n_items = norms.shape[0]
    total, touched, strengths = np.zeros(n_items), np.empty(n_items, np.int32), np.empty(n_items)
    for item in range(first_item, past_item):
        n_touched = add_gram(item, choices, total, touched)
        columns, values = pruned.columns[item], pruned.values[item]
        pruned.lengths[item] = keep_strongest(item, n_touched, total, touched, norms, strengths, columns, values)


@compiled
def keep_strongest(
    item: int,
    n_touched: int,
    total: Float64Array,
    touched: Positions,
    norms: Float64Array,
    strengths: Float64Array,
    columns: Positions,
    values: Float32Array,
) -> int:
    """Move the sums with the largest total_j / norm_j, never that of `item`, to `columns` and `values`, (n,) each.

    All of `total` becomes 0 again. Returns the number of entries; free places keep what they held.
    """
    n, n_kept = columns.shape[0], 0
    for at in range(n_touched):
        strengths[at] = 0.0 if touched[at] == item else total[touched[at]] / norms[touched[at]]
    threshold = 0.0
    if n < n_touched:
        threshold = nth_largest(strengths[:n_touched].copy(), n)
    # First those above the threshold: equal ones at it may be more than there are places for.
    for is_equal in range(2):
        for at in range(n_touched):
            chosen = strengths[at] == threshold if is_equal else strengths[at] > threshold
            if chosen and strengths[at] > 0.0 and n_kept < n:
                columns[n_kept] = touched[at]
                values[n_kept] = total[touched[at]]
                n_kept += 1
    for at in range(n_touched):
        total[touched[at]] = 0.0
    return n_kept


@compiled
def nth_largest(values: Float64Array, n: int) -> float:
    """Return the `n`-th largest value, from 1 to their number; reorders them.

    Hoare's selection: `np.partition` does the same and takes five seconds to compile.
    """
    low, high, place = 0, values.shape[0] - 1, n - 1
    while low < high:
        pivot, first, last = values[(low + high) // 2], low, high
        while first <= last:
            while values[first] > pivot:
                first += 1
            while values[last] < pivot:
                last -= 1
            if first <= last:
                values[first], values[last] = values[last], values[first]
                first += 1
                last -= 1
        # From `low` to `last` stand the largest, from `first` to `high` the smallest, between them the pivot.
        if place <= last:
            high = last
        elif place >= first:
            low = first
        else:
            break
    return float(values[place])


@compiled
def solve_targets(
    first_item: int,
    past_item: int,
    choices: Choices,
    is_next: bool,
    gram: PrunedRows,
    diagonal: Float64Array,
    norms: Float64Array,
    solved: PrunedRows,
) -> None:
    """Write x of the targets `first_item` to `past_item` - 1 and their neighbours into their rows of `solved`.

    `is_next`: whether b is a column of S'T. `diagonal`: (n_items,) float64, diag (G + D). `norms`: as in `prune_gram`.
    """
    n_items, n = norms.shape[0], solved.columns.shape[1]
    total, touched, strengths = np.zeros(n_items), np.empty(n_items, np.int32), np.empty(n_items)
    place_of, system, right = np.full(n_items, -1, np.int32), np.empty((n, n)), np.empty(n)
    for item in range(first_item, past_item):
        neighbours, weights = solved.columns[item], solved.values[item]
        n_touched = add_previous(item, choices, total, touched) if is_next else add_gram(item, choices, total, touched)
        n_kept = keep_strongest(item, n_touched, total, touched, norms, strengths, neighbours, weights)
        solve_target(neighbours, weights, n_kept, place_of, gram, diagonal, system, right)
        solved.lengths[item] = n_kept


@compiled
def solve_given(
    first_item: int,
    past_item: int,
    targets: PrunedRows,
    gram: PrunedRows,
    diagonal: Float64Array,
    solved: PrunedRows,
) -> None:
    """As `solve_targets`, with the strongest entries of each b in `targets`."""
    n_items, n = diagonal.shape[0], solved.columns.shape[1]
    place_of, system, right = np.full(n_items, -1, np.int32), np.empty((n, n)), np.empty(n)
    for item in range(first_item, past_item):
        neighbours, weights = solved.columns[item], solved.values[item]
        n_kept = min(n, targets.lengths[item])
        for a in range(n_kept):
            neighbours[a] = targets.columns[item, a]
            weights[a] = targets.values[item, a]
        solve_target(neighbours, weights, n_kept, place_of, gram, diagonal, system, right)
        solved.lengths[item] = n_kept


@compiled
def solve_target(
    neighbours: Positions,
    weights: Float32Array,
    n_kept: int,
    place_of: Positions,
    gram: PrunedRows,
    diagonal: Float64Array,
    system: Float64Array,
    right: Float64Array,
) -> None:
    """Replace b_N, the first `n_kept` of `weights`, by x. `place_of`: (n_items,), all -1 before and after."""
    for a in range(n_kept):
        place_of[neighbours[a]] = a
    # Pruning may cost positive definiteness; less of what is off the diagonal restores it.
    for share in SHARES:
        gather_system(neighbours, n_kept, place_of, gram, diagonal, share, system)
        for a in range(n_kept):
            right[a] = weights[a]
        if solve_in_place(system, right, n_kept):
            break
    for a in range(n_kept):
        weights[a] = right[a]
        place_of[neighbours[a]] = -1


@compiled
def gather_system(
    neighbours: Positions,
    n_kept: int,
    place_of: Positions,
    gram: PrunedRows,
    diagonal: Float64Array,
    share: float,
    system: Float64Array,
) -> None:
    """Write the lower triangle of G_NN + D_NN into `system`, with `share` of the values off the diagonal.

    `place_of`: (n_items,) places among the neighbours, -1 for other items.
    """
    for a in range(n_kept):
        for b in range(a):
            system[a, b] = 0.0
        system[a, a] = diagonal[neighbours[a]]
    for a in range(n_kept):
        row = neighbours[a]
        for at in range(gram.lengths[row]):
            b = place_of[gram.columns[row, at]]
            if b >= 0:  # where both rows kept the entry, it is written twice, with the same value up to rounding
                system[max(a, b), min(a, b)] = share * gram.values[row, at]
