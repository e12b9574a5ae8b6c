"""How often items occur together, and one after the other, in the histories of users: dense matrices of all items."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.algorithms.choice_sequences import ChoiceSequences, max_lag
from app.algorithms.cores import available_cores, thread_pool

# Below this number of choices, the sums take less time than starting threads.
CHOICES_WORTH_THREADS = 20_000

_ITEMS_PER_TASK = 64

Float32Array = NDArray[np.float32]


def together(sequences: ChoiceSequences) -> Float32Array:
    """X'X of the whole histories X, whose entries are the weights: (n_items, n_items) float32."""
    return _fill(sequences, kernel_choices(sequences), is_gram=True)


def before(sequences: ChoiceSequences, decay: float) -> Float32Array:
    """S'S of the decayed histories before each choice but the first of a user: (n_items, n_items) float32.

    A row of S holds w_p decay^(t-1-p) for the choices p before choice t, and counts w_t times.
    """
    return _fill(sequences, kernel_choices(sequences, decay), is_gram=True)


def following(sequences: ChoiceSequences, decay: float) -> Float32Array:
    """S'T with S as in `before` and T the choices: (n_items, n_items) float32; row j holds what comes after item j."""
    return _fill(sequences, kernel_choices(sequences, decay), is_gram=False)


def history_length(sequences: ChoiceSequences, decay: float | None = None) -> float:
    """The mean history length per interaction, sum h^2 / sum h, the unit of penalties; 1 where all are 0.

    h is the sum of a whole history without a decay, and of the decayed history before each choice with one. The unit
    does not depend on the number of users, as a ridge penalty should not.
    """
    from app.algorithms.cooccurrence_kernel import sum_histories

    if decay is None:
        histories = np.bincount(sequences.user_rows, sequences.weights, sequences.n_users)
        lengths, squares = float(histories.sum()), float(histories @ histories)
    else:
        lengths, squares = sum_histories(sequences.starts, sequences.weights.astype(np.float64), decay)
    return squares / lengths if lengths > 0 else 1.0


def kernel_choices(sequences: ChoiceSequences, decay: float | None = None) -> Any:
    """The `Choices` of the kernels, for S'S and S'T with a decay, for X'X without."""
    from app.algorithms.cooccurrence_kernel import Choices, sum_futures

    longest = int(np.diff(sequences.starts).max(initial=0))
    n_lags = max(1, min(longest, max_lag(1.0 if decay is None else decay)))
    weights, futures = sequences.weights.astype(np.float64), np.ones(len(sequences))
    powers = np.ones(n_lags) if decay is None else decay ** np.arange(n_lags, dtype=np.float64)
    if decay is not None:
        sum_futures(sequences.starts, weights, decay, futures)
    counts = np.bincount(sequences.item_rows, minlength=sequences.n_items)
    item_starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    places = np.argsort(sequences.item_rows, kind="stable")
    by_user = (sequences.starts, sequences.user_rows, sequences.item_rows, weights, futures, powers)
    return Choices(*by_user, item_starts, places)


def _fill(sequences: ChoiceSequences, choices: Any, *, is_gram: bool) -> Float32Array:
    from app.algorithms.cooccurrence_kernel import fill_rows

    n_items = sequences.n_items
    matrix = np.empty((n_items, n_items), np.float32)
    each_item(sequences, lambda first, past: fill_rows(first, past, choices, is_gram, matrix))
    return matrix


def each_item(
    sequences: ChoiceSequences, task: Callable[[int, int], object], progress: Callable[[float], object] = lambda _: None
) -> None:
    """Call `task` for ranges of items, first and past the last, on all cores; `progress` takes the share done."""
    n_items = sequences.n_items
    firsts = range(0, n_items, _ITEMS_PER_TASK)
    n_threads = available_cores() if len(sequences) >= CHOICES_WORTH_THREADS else 1
    with thread_pool(n_threads) as pool:
        # Rows are independent, so the result is the same for any number of threads.
        for first, _ in zip(
            firsts, pool.map(lambda a: task(a, min(a + _ITEMS_PER_TASK, n_items)), firsts), strict=True
        ):
            progress(first / n_items)
