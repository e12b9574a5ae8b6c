"""Ratings as Parquet files, which a run reads without importing them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.entities import IncomingRatings

Columns = Mapping[str, Any]


def columns_of(ratings: IncomingRatings) -> dict[str, Any]:
    return {
        "user_id": ratings.user_id,
        "item_id": ratings.item_id,
        "rating": ratings.value,
        "rated_at": pa.array(ratings.rated_at, pa.timestamp("us")),
    }


def written(folder: Path, *files: Columns) -> str:
    """A folder with a file of each of these columns."""
    folder.mkdir(exist_ok=True)
    for number, columns in enumerate(files):
        pq.write_table(pa.table(dict(columns)), folder / f"part-{number}.parquet")
    return str(folder)


def parquet(columns: Columns, rows_per_group: int = 1 << 20) -> bytes:
    """The content of a file."""
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), buffer, row_group_size=rows_per_group)
    content: bytes = buffer.getvalue().to_pybytes()
    return content
