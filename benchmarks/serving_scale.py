"""One answer at a time, out of 100,000 and of a million items."""

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.load import ROUNDS, measure, middle, reckon_server
from benchmarks.made_up import fill, publish
from benchmarks.serving_data import opened
from benchmarks.serving_rates import RECOMMENDATIONS
from benchmarks.table import Row

N_USERS = 5_000
TARGETS = {100_000: "p99 <= 10 ms", 1_000_000: "p99 <= 25 ms"}


def scale_rows() -> list[Row]:
    return [_row(n_items, target) for n_items, target in TARGETS.items()]


def _row(n_items: int, target: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        store = opened(Path(folder))
        fill(store, n_items, N_USERS)
        publish(store, Path(folder))
        store.close()
        with reckon_server(Path(folder)) as address:
            one_by_one = partial(measure, address, RECOMMENDATIONS, connections=1)
            one_by_one(1, 100, seconds=1)
            each = N_USERS // ROUNDS  # other users in every round: an answer given before proves nothing
            load = middle([one_by_one(n * each + 1, (n + 1) * each) for n in range(ROUNDS)])
    what = f"GET recommendations, {n_items:,} items, 64 factors a segment, one connection"
    measured = f"p50 {load.p50_milliseconds:.1f} ms, p99 {load.p99_milliseconds:.1f} ms"
    return Row(what, target, measured, f"{load.requests_per_second:,.0f}/s, {load.errors} errors")
