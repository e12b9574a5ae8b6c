"""Measures several algorithms on the same split and compares them with the first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.algorithms.errors import AlgorithmError, FeaturesNeededError
from app.algorithms.learner import Learner
from app.algorithms.progress import ProgressCallback
from app.errors import InvalidInputError
from app.evaluation.algorithms_by_option import hyperparameters_of
from app.evaluation.experiment import Experiment, peak_rss_bytes
from app.evaluation.intervals import LEVEL, Difference, Interval
from app.evaluation.outcome import Outcome
from app.evaluation.protocol import protocol


@dataclass
class EvaluationRun:
    """Algorithms on one split, and their results.

    source: name of the data, for display.
    split: name of the split, as on the command line.
    algorithms: name -> learner; the others are compared with the first.
    n_rejected: rows of the files that could not be read.
    is_scale_detected: whether the scale follows from the ratings; else it was given.
    remarks: what a reader must know of the data, the split and the choice of algorithms.
    warnings: why the data may be read wrongly.
    outcomes: name -> the results of every fold.
    peak_rss_bytes: name -> the peak memory of the process up to the end of the algorithm.
    problems: name -> why the algorithm could not be measured.
    """

    source: str
    split: str
    experiment: Experiment
    algorithms: Mapping[str, Learner]
    n_rejected: int
    is_scale_detected: bool = True
    remarks: Sequence[str] = ()
    warnings: Sequence[str] = ()
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    peak_rss_bytes: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def run(self, progress: ProgressCallback, report_problem: Callable[[str], None]) -> None:
        """Measure every algorithm. One that fails gets an entry in `problems`, and the run continues.

        Raises `InvalidInputError` before anything is measured if an algorithm cannot run at all.
        """
        warm_up(self.experiment, self.algorithms, progress)
        n = len(self.algorithms)
        for place, (name, learner) in enumerate(self.algorithms.items()):
            try:
                outcome = self.experiment.run(learner, _part(progress, name, place, n))
            except AlgorithmError as error:
                self.problems[name] = str(error)
                report_problem(_named(name, error))
            else:
                self.outcomes[name] = outcome
                # The system never lowers the peak, so a later algorithm cannot show less than an earlier one.
                self.peak_rss_bytes[name] = peak_rss_bytes()

    @property
    def metric_names(self) -> list[str]:
        return [str(metric) for metric in self.experiment.metrics]

    @property
    def first(self) -> str | None:
        """The algorithm with which the others are compared; None if it could not be measured."""
        first = next(iter(self.algorithms))
        return first if first in self.outcomes else None

    @cached_property
    def protocol(self) -> list[str]:
        """How the figures are measured, in sentences."""
        return protocol(self.experiment, self.split)

    @property
    def all_remarks(self) -> list[str]:
        """The remarks, and what algorithms chose by themselves."""
        return [*self.remarks, *(f"{name} {each.remark}" for name, each in self.outcomes.items() if each.remark)]

    @property
    def hyperparameters(self) -> dict[str, dict[str, Any]]:
        """By name, all hyperparameters of the algorithm, defaults included."""
        return {
            name: {each.name: getattr(learner, each.name) for each in hyperparameters_of(name)}
            for name, learner in self.algorithms.items()
        }

    @property
    def differences(self) -> dict[str, dict[str, Difference | None]]:
        """By name of a further algorithm, every metric minus that of the first."""
        if self.first is None:
            return {}
        first = self.outcomes[self.first]
        return {name: outcome.minus(first) for name, outcome in self.outcomes.items() if name != self.first}

    @property
    def document(self) -> dict[str, Any]:
        """The output of `--json`. New versions add names and never change or remove one.

        `data`: counts and scale of the ratings.
        `remarks`: what a reader must know, such as dropped pairs. `warnings`: why the data may be read wrongly.
        `protocol`: how the figures are measured.
        `results`: one for each algorithm, in the order of the request: its `hyperparameters`, `problem` (null, or why
        it could not be measured), `metrics` by name (means over the folds; null if nothing could be measured),
        `reasons` (by name, why a metric is null), `remark` (what the algorithm chose by itself; empty if nothing),
        `intervals` ([low, high] of the metrics at `confidence`; null for coverage and gini, which are not means over
        users), seconds, memory, and the metrics of each of the `folds`.
        `comparisons`: every further algorithm `against` the first, by metric: the `difference`, its paired `interval`,
        and `chance`, the probability of a difference at least as large by chance.
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
                "is_scale_detected": self.is_scale_detected,
                "relevant_from": self.experiment.relevant_from,
            },
            "split": self.split,
            "seed": self.experiment.seed,
            "confidence": LEVEL,
            "remarks": self.all_remarks,
            "warnings": list(self.warnings),
            "protocol": self.protocol,
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
            "reasons": {} if outcome is None else outcome.reasons,
            "remark": "" if outcome is None else outcome.remark,
            "intervals": {} if outcome is None else {key: _interval(each) for key, each in outcome.intervals.items()},
            "fit_seconds": None if outcome is None else outcome.fit_seconds,
            "predict_seconds": None if outcome is None else outcome.predict_seconds,
            "peak_rss_bytes": self.peak_rss_bytes.get(name),
            "folds": [
                {"metrics": fold.metrics, "fit_seconds": fold.fit_seconds}
                for fold in (() if outcome is None else outcome.folds)
            ],
        }


def warm_up(experiment: Experiment, algorithms: Mapping[str, Learner], progress: ProgressCallback) -> None:
    """Run every algorithm on few ratings. One that cannot run fails in seconds, before hours of measuring.

    Raises `InvalidInputError` with the name of the algorithm that lacks features or an optional package.
    """
    for name, learner in algorithms.items():
        progress(0.0, f"{name} warming up")
        try:
            experiment.warm_up(learner)
        except FeaturesNeededError as error:
            message = f"{_named(name, error)}; give files with features by --items and --users"
            raise InvalidInputError(message, field="algorithm") from error
        except AlgorithmError as error:
            raise InvalidInputError(_named(name, error), field="algorithm") from error


def _part(progress: ProgressCallback, name: str, place: int, n: int) -> ProgressCallback:
    return lambda share, stage: progress((place + share) / n, f"{name} {stage}")


def _named(name: str, error: Exception) -> str:
    # Some errors of algorithms begin with their name.
    return str(error) if str(error).startswith(name) else f"{name}: {error}"


def _interval(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _difference(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    interval = _interval(difference.interval)
    return {"difference": difference.value, "interval": interval, "chance": difference.chance}
