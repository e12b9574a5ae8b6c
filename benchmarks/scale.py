"""What training costs by the number of ratings: measured, fitted by simple laws, and predicted for more than fits here.

    python -m benchmarks scale                    1 M, 3 M and 10 M ratings, and the prediction
    python -m benchmarks scale 1m 10m 100m        these sizes; the largest is predicted by the others first
    python -m benchmarks.scale --help             the same with the rates of a Spark cluster, and other places

Each stage of a run has a law with a constant and one rate:

    read      a + b rows            map       a + b (users + items)       order     a + b ratings
    evaluate  a + b items           fit       a + b ratings               publish   a + b items

Evaluation looks at a bounded sample of users, whose lists are of all items; publication finds each item's neighbours.

The rates come from least squares of relative errors with a, b >= 0. Processor time is what is fitted, since other
programs on the machine do not change it; on an idle machine of c cores, time is between it and a c-th of it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from app.training.lake import MOST_RATINGS
from app.training.memory_need import RunSize, in_blocks, in_memory, shown
from app.training.recipe import Recipe, recipe_of_segments
from benchmarks.lake_data import Law
from benchmarks.table import Row, as_text

SEGMENTS = "taste=als_implicit,popularity=popularity"


class LakeSize(NamedTuple):
    """`memory`: RECKON_TRAINING_MEMORY; empty for less than the run needs in memory, so that all sizes walk files."""

    n_ratings: int
    n_users: int
    n_items: int
    memory: str = ""

    @property
    def setting(self) -> str:
        recipe, size = recipe_of_segments(SEGMENTS.split(",")), RunSize(self.n_ratings, self.n_users, self.n_items)
        return self.memory or f"{(in_blocks(recipe, size) + in_memory(recipe, size)) / 2e6:.0f}MB"


SIZES = {
    "1m": LakeSize(1_000_000, 10_000, 10_000),
    "3m": LakeSize(3_000_000, 30_000, 18_000),
    "10m": LakeSize(10_000_000, 100_000, 30_000),
    "30m": LakeSize(30_000_000, 300_000, 55_000),
    "100m": LakeSize(100_000_000, 1_000_000, 100_000, "7GB"),
}
PARTS = tuple(SIZES)
DEFAULT_PARTS = ("1m", "3m", "10m")
PREDICTED = {"1 B": RunSize(10**9, 10**7, 10**6), "10 B": RunSize(10**10, 10**8, 10**7)}
REACH = 0.25

CORES_OF_A_WORKER = 8
SPARK_RATE = 10_000.0
"""Ratings that one core of a Spark cluster fits by implicit ALS (10 iterations, rank 64) in a second: 1 B in 13 minutes
on 16 workers of 8 cores, an estimate on paper; a measured rate is passed by `--spark-rate`."""
SPARK_START = 60.0

STAGES = ("read", "map", "order", "evaluate", "fit", "publish")
Outcome = Mapping[str, Any]

REGRESSORS: Mapping[str, Callable[[Outcome], float]] = {
    "read": lambda run: float(run["n_rows"]),
    "map": lambda run: float(run["n_users"] + run["n_items"]),
    "order": lambda run: float(run["n_ratings"]),
    "evaluate": lambda run: float(run["n_items"]),
    "fit": lambda run: float(run["n_ratings"]),
    "publish": lambda run: float(run["n_items"]),
    "snapshot_bytes": lambda run: float(run["n_ratings"]),
    "scratch_bytes": lambda run: float(run["n_ratings"]),
}


@dataclass(frozen=True)
class CostLaw:
    """cost = constant + rate x."""

    constant: float
    rate: float

    @classmethod
    def fitted(cls, points: Sequence[tuple[float, float]]) -> "CostLaw":
        """The least squares of relative errors over points (x, cost), cost > 0, with both terms >= 0."""
        x, cost = np.array(points, np.float64).T
        solution, _ = nnls(np.column_stack([1 / cost, x / cost]), np.ones(len(cost)))
        return cls(*solution.tolist())

    def at(self, x: float) -> float:
        return self.constant + self.rate * x


def laws_of(runs: Sequence[Outcome]) -> dict[str, CostLaw]:
    """By stage, of processor time; and of bytes on the disk."""
    laws = {}
    for name, regressor in REGRESSORS.items():
        laws[name] = CostLaw.fitted([(regressor(run), max(_cost(run, name), 1e-3)) for run in runs])
    return laws


def _cost(run: Outcome, name: str) -> float:
    return float(run["cpu_seconds"][name] if name in STAGES else run[name])


def sized(size: RunSize) -> Outcome:
    """What the regressors read, of a size that is not run."""
    return {
        "n_rows": size.n_ratings,
        "n_ratings": size.n_ratings,
        "n_users": size.n_users,
        "n_items": size.n_items,
    }


def predicted(laws: Mapping[str, CostLaw], size: Outcome) -> dict[str, float]:
    return {name: laws[name].at(regressor(size)) for name, regressor in REGRESSORS.items()}


def measure(size: LakeSize, folder: Path) -> Outcome:
    """Generate the ratings, unless they are there, and train on them in a process of its own."""
    lake = folder / f"lake-{size.n_ratings}"
    if not (lake / "_SUCCESS").exists():
        Law(size.n_ratings, size.n_users, size.n_items).write(lake)
        (lake / "_SUCCESS").touch()
    with tempfile.TemporaryDirectory(dir=folder) as data_dir:
        command = [sys.executable, "-m", "benchmarks.scale_run", str(lake), data_dir, SEGMENTS]
        environment = os.environ | {"RECKON_TRAINING_MEMORY": size.setting}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    outcome: Outcome = json.loads(done.stdout.splitlines()[-1])
    return outcome


def rows(parts: list[str] | None = None) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return report(parts or list(DEFAULT_PARTS), Path(folder))


def report(parts: Sequence[str], folder: Path, spark_rate: float = SPARK_RATE) -> list[Row]:
    """The measured points beside the predictions; with several sizes, the largest is predicted by the others."""
    ordered = sorted(parts, key=lambda part: SIZES[part].n_ratings)
    runs = {}
    for part in ordered:
        runs[part] = measure(SIZES[part], folder)
        (folder / f"run-{part}.json").write_text(json.dumps(runs[part]))
    return table(runs, spark_rate)


def table(runs: Mapping[str, Outcome], spark_rate: float = SPARK_RATE) -> list[Row]:
    """`runs`: by size, in ascending order."""
    found = [_measured_row(part, run) for part, run in runs.items()]
    if len(runs) > 1:
        *smaller, largest = runs
        laws = laws_of([runs[part] for part in smaller])
        found += _comparison(largest, runs[largest], predicted(laws, runs[largest]), ", ".join(smaller))
    laws, recipe = laws_of(list(runs.values())), recipe_of_segments(SEGMENTS.split(","))
    for name, size in PREDICTED.items():
        found += _prediction_rows(name, size, predicted(laws, sized(size)), recipe, spark_rate)
    return found


def _measured_row(part: str, run: Outcome) -> Row:
    stages = ", ".join(f"{stage} {run['seconds'][stage]:.0f} s ({run['cpu_seconds'][stage]:.0f})" for stage in STAGES)
    note = (
        f"time and, in parentheses, processor time: {stages}; RSS {shown(run['peak_bytes'])} with"
        f" {SIZES[part].setting} set; snapshot {shown(run['snapshot_bytes'])}, scratch {shown(run['scratch_bytes'])};"
        f" nDCG@10 {run['ndcg']:.4f}, bestsellers {run['bestsellers_ndcg']:.4f}"
    )
    reach = "<= 20 min, RSS <= 8 GB" if part == "100m" else ""
    what = f"{run['n_ratings']:,} ratings, {run['n_users']:,} users, {run['n_items']:,} items, from files"
    return Row(what, reach, f"{run['total_seconds']:.0f} s", note)


def _comparison(part: str, run: Outcome, expected: Mapping[str, float], by: str) -> list[Row]:
    measured, foretold = sum(run["cpu_seconds"][stage] for stage in STAGES), sum(expected[stage] for stage in STAGES)
    error = foretold / measured - 1
    stages = ", ".join(f"{stage} {expected[stage]:.0f} / {run['cpu_seconds'][stage]:.0f}" for stage in STAGES)
    note = f"processor time predicted {foretold:.0f} s, measured {measured:.0f} s; predicted / measured: {stages}"
    return [Row(f"{part} predicted by {by}", f"within {REACH:.0%}", f"{error:+.0%}", note)]


def _prediction_rows(
    name: str, size: RunSize, cost: Mapping[str, float], recipe: Recipe, spark_rate: float
) -> list[Row]:
    cores = os.cpu_count() or 1
    total = sum(cost[stage] for stage in STAGES)
    # The fit divides its work among all cores; the rest is counted as the work of one.
    on = {n: total - cost["fit"] + cost["fit"] / n for n in (cores, 8)}
    stages = ", ".join(f"{stage} {cost[stage] / 60:.0f}" for stage in STAGES)
    refused = f"one machine refuses more than {MOST_RATINGS:,} ratings; " if size.n_ratings > MOST_RATINGS else ""
    note = (
        f"{refused}minutes of processor time: {stages}; with 8 cores {on[8] / 3600:.1f} h; memory at least"
        f" {shown(in_blocks(recipe, size))}, {shown(in_memory(recipe, size))} without files; disk"
        f" {shown(cost['snapshot_bytes'])} snapshot, {shown(cost['scratch_bytes'])} scratch"
    )
    found = [Row(f"{name} ratings on one box of {cores} cores, predicted", "", f"{on[cores] / 3600:.1f} h", note)]
    for n_workers in (4, 16, 64):
        seconds = SPARK_START + size.n_ratings / (spark_rate * CORES_OF_A_WORKER * n_workers)
        note = f"fit alone; {spark_rate:,.0f} ratings a core and second"
        what = f"{name} ratings on {n_workers} Spark workers of {CORES_OF_A_WORKER} cores, predicted"
        found.append(Row(what, "", f"{seconds / 60:.0f} min", note))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"sizes: {', '.join(PARTS)}")
    parser.add_argument("--spark-rate", type=float, default=SPARK_RATE, help="ratings a core and second, measured")
    parser.add_argument("--folder", type=Path, help="where generated ratings and outcomes are kept")
    parser.add_argument("--again", action="store_true", help="the table of the outcomes in --folder, without runs")
    given = parser.parse_args()
    parts = given.parts or list(DEFAULT_PARTS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if given.again:
            runs = {part: json.loads((folder / f"run-{part}.json").read_text()) for part in parts}
            print(as_text(table(runs, given.spark_rate)))
        else:
            print(as_text(report(parts, folder, given.spark_rate)))


if __name__ == "__main__":
    main()
