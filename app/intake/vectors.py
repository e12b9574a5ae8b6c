"""Writes the learned vectors of users or items to a file for analysis with other tools, one row per public id."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.intake.files.table_writers import Format, TableWriter

# Formatting numbers as text takes far more memory than the numbers, so it is done in batches of rows.
_BATCH_ROWS = 1_000


def are_of_vectors(names: Collection[str]) -> bool:
    """Whether columns of these names are those of a file that `write_vectors` wrote."""
    return "bias" in names and ("factors" in names or "factor_1" in names)


def write_vectors(
    path: Path,
    id_name: str,
    ids: Sequence[str | None],
    biases: NDArray[np.float32],
    factors: NDArray[np.float32],
    format_: Format,
    *,
    is_marked: bool = False,
) -> int:
    """Write the id, bias and factors of each row to `path`; return the number of rows written.

    `id_name`: name of the id column.
    `ids`: (n,) public ids; None where the user or item was deleted since training, whose row is left out.
    `biases`: (n,) float32.
    `factors`: (n, k) float32. CSV has them in the columns factor_1 ... factor_k, JSONL in a list.
    `is_marked`: whether ids are marked for spreadsheets.

    Raises `OSError` where the file cannot be written.
    """
    if format_ is Format.CSV:
        names = [id_name, "bias", *(f"factor_{number}" for number in range(1, factors.shape[1] + 1))]
    else:
        names = [id_name, "bias", "factors"]
    with TableWriter(path, names, format_, {id_name} if is_marked else frozenset()) as writer:
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
