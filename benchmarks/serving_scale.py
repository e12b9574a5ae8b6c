"""One answer at a time, out of 100,000 and of a million items."""

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.load import ROUNDS, measure, middle, reckon_server
from benchmarks.made_up import fill, publish
from benchmarks.serving_data import opened
from benchmarks.serving_rates import RECOMMENDATIONS
from benchmarks.table import Row

N_USERS = 5_000


@dataclass(frozen=True, slots=True)
class Catalogue:
    """`has_table`: whether the snapshot has a sparse segment beside the dense ones."""

    n_items: int
    has_table: bool
    target: str


CATALOGUES = (
    Catalogue(100_000, has_table=False, target="p99 <= 10 ms"),
    Catalogue(1_000_000, has_table=False, target="p99 <= 25 ms"),
    Catalogue(1_000_000, has_table=True, target="p99 <= 25 ms"),
)
MOST_BYTES_PER_ITEM = 600


def scale_rows() -> list[Row]:
    return [row for catalogue in CATALOGUES for row in _rows(catalogue)]


def _rows(catalogue: Catalogue) -> list[Row]:
    n_items = catalogue.n_items
    with tempfile.TemporaryDirectory() as folder:
        store = opened(Path(folder))
        fill(store, n_items, N_USERS)
        publish(store, Path(folder), with_table=catalogue.has_table)
        store.close()
        with reckon_server(Path(folder)) as address:
            one_by_one = partial(measure, address, RECOMMENDATIONS, connections=1)
            one_by_one(1, 100, seconds=1)
            each = N_USERS // ROUNDS  # other users in every round: an answer given before proves nothing
            load = middle([one_by_one(n * each + 1, (n + 1) * each) for n in range(ROUNDS)])
            own = _own_bytes(Path(folder)) / n_items
    kinds = "sparse and dense segments" if catalogue.has_table else "64 factors a segment"
    what = f"GET recommendations, {n_items:,} items, {kinds}, one connection"
    measured = f"p50 {load.p50_milliseconds:.1f} ms, p99 {load.p99_milliseconds:.1f} ms"
    rows = [Row(what, catalogue.target, measured, f"{load.requests_per_second:,.0f}/s, {load.errors} errors")]
    if catalogue.has_table:
        what = f"memory of a process beyond the mapped files, {n_items:,} items"
        rows.append(Row(what, f"<= {MOST_BYTES_PER_ITEM} bytes an item", f"{own:.0f} bytes an item", kinds))
    return rows


def _own_bytes(data_dir: Path) -> int:
    """The anonymous memory of the API process that maps the snapshot below `data_dir`."""
    (process,) = [
        each
        for each in map(int, filter(str.isdigit, (entry.name for entry in Path("/proc").iterdir())))
        if _maps(each, str(data_dir))
    ]
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def _maps(pid: int, name: str) -> bool:
    try:
        return f"{name}/snapshots" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:  # it has ended, or is another user's
        return False
