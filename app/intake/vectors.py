"""Learned vectors as files, for analysis elsewhere: one row a user or item, by public id."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.intake.table_writers import Format, TableWriter

_ROWS_AT_ONCE = 1_000


def write_vectors(
    path: Path,
    id_name: str,
    ids: Sequence[str | None],
    biases: NDArray[np.float32],
    factors: NDArray[np.float32],
    format_: Format,
) -> int:
    """Writes id, bias and factors of each row, with the digits that read back as the same float32; returns how many.

    `ids`: (n,), None for what was deleted since, which is left out. `biases`: (n,). `factors`: (n, k). CSV has the
    columns factor_1 ... factor_k, JSONL a list.
    """
    if format_ is Format.CSV:
        names = [id_name, "bias", *(f"factor_{number}" for number in range(1, factors.shape[1] + 1))]
    else:
        names = [id_name, "bias", "factors"]
    with TableWriter(path, names, format_) as writer:
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
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
