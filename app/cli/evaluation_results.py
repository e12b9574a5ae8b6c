"""What `reckon evaluate` found out: as a table for people, as JSON for programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from app.algorithms.learner import Learner
from app.cli.algorithms_by_option import hyperparameters_of
from app.cli.console import table_console
from app.evaluation.experiment import Experiment
from app.evaluation.intervals import LEVEL, Difference, Interval
from app.evaluation.outcome import Outcome


@dataclass
class EvaluationRun:
    """Algorithms on one split. `problems`: name -> why it could not be measured."""

    source: str
    split: str
    experiment: Experiment
    algorithms: Mapping[str, Learner]
    n_rejected: int
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    peak_rss_bytes: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, outcome: Outcome, peak_rss_bytes: int) -> None:
        self.outcomes[name] = outcome
        self.peak_rss_bytes[name] = peak_rss_bytes

    @property
    def metric_names(self) -> list[str]:
        return [str(metric) for metric in self.experiment.metrics]

    @property
    def first(self) -> str | None:
        """Whom all others are compared against; None where it could not be measured."""
        first = next(iter(self.algorithms))
        return first if first in self.outcomes else None

    @property
    def hyperparameters(self) -> dict[str, dict[str, Any]]:
        """Name -> all that the algorithm has, defaults too."""
        return {
            name: {each.name: getattr(learner, each.name) for each in hyperparameters_of(name)}
            for name, learner in self.algorithms.items()
        }

    @property
    def differences(self) -> dict[str, dict[str, Difference | None]]:
        """Name -> every metric of a further algorithm minus the first one's."""
        if self.first is None:
            return {}
        first = self.outcomes[self.first]
        return {name: outcome.minus(first) for name, outcome in self.outcomes.items() if name != self.first}

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` prints; names are only ever added.

        `data`: what was measured on. `results`: one for each algorithm, in the order asked for: its `hyperparameters`,
        `problem` (null, or why it could not be measured), `metrics` by name (means over the folds; null where nothing
        could be measured), `intervals` ([low, high] of these at `confidence`; null for coverage and gini, which are no
        means), seconds, memory, and the metrics of each of the `folds`. `comparisons`: every further algorithm
        `against` the first, by metric: the `difference`, its paired `interval`, the `chance` of one as clear by luck.
        """
        ratings = self.experiment.ratings
        return {
            "data": {
                "source": self.source,
                "n_ratings": len(ratings),
                "n_users": ratings.n_users,
                "n_items": ratings.n_items,
                "n_rejected": self.n_rejected,
                "scale": str(self.experiment.scale),
                "relevant_from": self.experiment.relevant_from,
            },
            "split": self.split,
            "seed": self.experiment.seed,
            "confidence": LEVEL,
            "results": [self._result(name) for name in self.algorithms],
            "comparisons": [
                {
                    "algorithm": name,
                    "against": self.first,
                    "metrics": {metric: _difference(each) for metric, each in differences.items()},
                }
                for name, differences in self.differences.items()
            ],
        }

    def _result(self, name: str) -> dict[str, Any]:
        outcome = self.outcomes.get(name)
        return {
            "algorithm": name,
            "hyperparameters": self.hyperparameters[name],
            "split": self.split,
            "problem": self.problems.get(name),
            "metrics": dict.fromkeys(self.metric_names) if outcome is None else outcome.metrics,
            "intervals": {} if outcome is None else {key: _interval(each) for key, each in outcome.intervals.items()},
            "fit_seconds": None if outcome is None else outcome.fit_seconds,
            "predict_seconds": None if outcome is None else outcome.predict_seconds,
            "peak_rss_bytes": self.peak_rss_bytes.get(name),
            "folds": [
                {"metrics": fold.metrics, "fit_seconds": fold.fit_seconds}
                for fold in (() if outcome is None else outcome.folds)
            ],
        }

    def show(self) -> None:
        """The tables: what each algorithm reached, and how the further ones differ from the first."""
        console = table_console()
        n_folds = len(self.experiment.held_out)
        table = self._table(f"{self.source}, split {self.split}, means over {n_folds} fold(s), 95 % intervals")
        for name in ("fit s", "predict s", "peak MB"):
            table.add_column(name, justify="right")
        for name, outcome in self.outcomes.items():
            cells = [_cell(outcome.metrics[key], outcome.intervals[key]) for key in self.metric_names]
            seconds = [f"{outcome.fit_seconds:.2f}", f"{outcome.predict_seconds:.2f}"]
            table.add_row(name, *cells, *seconds, f"{self.peak_rss_bytes[name] / 1e6:.0f}")
        console.print(table)
        if self.differences:
            table = self._table(f"minus {self.first}, in pairs; p: how often chance alone differs so")
            for name, differences in self.differences.items():
                table.add_row(name, *(_difference_cell(each) for each in differences.values()))
            console.print(table)

    def _table(self, title: str) -> Table:
        table = Table(title=title, title_justify="left", show_lines=True)
        table.add_column("algorithm")
        for name in self.metric_names:
            table.add_column(name, justify="right")
        return table


def _cell(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" + ("" if interval is None else f"\n±{(interval.high - interval.low) / 2:.4f}")


def _difference_cell(difference: Difference | None) -> str:
    if difference is None:
        return "-"
    chance = "" if difference.chance is None else f"\np {difference.chance:.3f}"
    return f"{difference.value:+.4f}{chance}"


def _interval(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _difference(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    interval = _interval(difference.interval)
    return {"difference": difference.value, "interval": interval, "chance": difference.chance}
