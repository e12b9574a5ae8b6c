"""Writes the learned vectors of users or items to a file for analysis with other tools, one row per public id."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.intake.table_writers import Format, TableWriter

# Formatting numbers as text takes far more memory than the numbers, so it is done in batches of rows.
_BATCH_ROWS = 1_000


def write_vectors(
    path: Path,
    id_name: str,
    ids: Sequence[str | None],
    biases: NDArray[np.float32],
    factors: NDArray[np.float32],
    format_: Format,
) -> int:
    """Write the id, bias and factors of each row to `path`; return the number of rows written.

    `id_name`: name of the id column.
    `ids`: (n,) public ids; None where the user or item was deleted since training, whose row is left out.
    `biases`: (n,) float32.
    `factors`: (n, k) float32. CSV has them in the columns factor_1 ... factor_k, JSONL in a list.

    Raises `OSError` where the file cannot be written.
    """
    if format_ is Format.CSV:
        names = [id_name, "bias", *(f"factor_{number}" for number in range(1, factors.shape[1] + 1))]
    else:
        names = [id_name, "bias", "factors"]
    with TableWriter(path, names, format_) as writer:
        for start in range(0, len(ids), _BATCH_ROWS):
            rows = slice(start, start + _BATCH_ROWS)
            # The text of a float32 is the shortest that reads back as the same float32.
            writer.write(_rows(ids[rows], biases[rows].astype(str), factors[rows].astype(str), format_))
        writer.publish()
        return writer.n_rows


def _rows(
    ids: Sequence[str | None], biases: NDArray[np.str_], factors: NDArray[np.str_], format_: Format
) -> Iterator[Sequence[Any]]:
    for identifier, bias, row in zip(ids, biases.tolist(), factors.tolist(), strict=True):
        if identifier is not None:
            yield (
                [identifier, bias, *row]
                if format_ is Format.CSV
                else [identifier, float(bias), [float(factor) for factor in row]]
            )
