"""What serving costs: rates, scale, writes, swaps, memory; beside a bare endpoint and what one would write by hand."""

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.load import has_generator
from benchmarks.serving_memory import memory_rows, start_rows
from benchmarks.serving_rates import latency_rows, peer_rows, postgres_rows, similar_rows, sqlite_rows
from benchmarks.serving_scale import scale_rows
from benchmarks.serving_swaps import swap_rows
from benchmarks.serving_training import training_rows
from benchmarks.serving_writes import write_rows
from benchmarks.table import Row

PARTS: Final[dict[str, Callable[[], list[Row]]]] = {
    "peers": peer_rows,
    "latency": latency_rows,
    "sqlite": sqlite_rows,
    "postgres": postgres_rows,
    "scale": scale_rows,
    "similar": similar_rows,
    "writes": write_rows,
    "worker": training_rows,
    "swaps": swap_rows,
    "memory": memory_rows,
    "start": start_rows,
}
"""By the name to choose it by: `python -m benchmarks serving memory`."""


def rows(parts: Sequence[str] = ()) -> list[Row]:
    if not has_generator():
        return [Row("answers a second", "", "not measured", "needs the load generator wrk on the PATH")]
    return [row for name in parts or PARTS for row in PARTS[name]()]
