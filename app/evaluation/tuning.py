"""One search of `reckon tune`: what is tried, on which ratings, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from app.algorithms.learner import Learner
from app.algorithms.progress import ProgressCallback
from app.errors import InvalidInputError
from app.evaluation.algorithms_by_option import hyperparameters_of, make_learners
from app.evaluation.evaluation_run import warm_up
from app.evaluation.experiment import Experiment
from app.evaluation.intervals import Difference
from app.evaluation.metrics import Metric
from app.evaluation.outcome import Outcome
from app.evaluation.rated_data import RatedData
from app.evaluation.search import (
    GridSearch,
    Proposals,
    Range,
    Search,
    Tpe,
    Trial,
    Values,
    load_optuna,
    measure,
    ranges_around_defaults,
)
from app.evaluation.splits import held_out_by

NO_HOLD_OUT = "none"


@dataclass(frozen=True, slots=True)
class Task:
    """What the value of a trial depends on: only values of one task can be compared.

    data: the fingerprint of the ratings.
    hold_out: the split whose held-out part the search never sees; `none` without one.
    split: the inner split on which trials are measured.
    """

    algorithm: str
    metric: str
    data: str
    hold_out: str
    split: str
    seed: int
    relevant_from: float


class Trials(Protocol):
    """Keeps the trials of earlier searches."""

    def trials_of(self, task: Task) -> dict[str, Trial]:
        """The trials of a task, by the key of each."""
        ...

    def append(self, task: Task, trial: Trial) -> None:
        """Keeps a new trial."""
        ...


@dataclass(frozen=True)
class Choices:
    """The values of an algorithm's hyperparameters that a search tries, all of them checked.

    fixed: hyperparameters that stay, as `NAME=VALUE`.
    grid: values by name; ranges: the range by name. One of the two is empty.
    """

    algorithm: str
    fixed: Sequence[str]
    grid: Mapping[str, Sequence[Any]]
    ranges: Mapping[str, Range]

    @classmethod
    def parse(cls, algorithm: str, fixed: Sequence[str], grid: Sequence[str], ranges: Sequence[str]) -> "Choices":
        """From `NAME=VALUE`, `NAME=VALUE,VALUE` and `NAME=LOW:HIGH`; without the last two, ranges around all defaults.

        Raises `InvalidInputError` with the correct form.
        """
        if grid and ranges:
            raise InvalidInputError("--grid and --range exclude each other", field="range")
        defaults = cls(algorithm, fixed, {}, {})
        fixed_values = defaults.values({})
        if not fixed_values:
            raise InvalidInputError(f"{algorithm} has no hyperparameters to tune", field="algorithm")
        if not grid and not ranges:
            given = {text.partition("=")[0] for text in fixed}
            searched = ranges_around_defaults(
                [each for each in hyperparameters_of(algorithm) if each.name not in given]
            )
            return replace(defaults, ranges=searched)
        tried = {name: defaults.read(name, text.split(",")) for name, text in map(_named, grid)}
        searched = {name: _range(defaults.read(name, _ends(name, text))) for name, text in map(_named, ranges)}
        return replace(defaults, grid=tried, ranges=searched)

    def values(self, proposed: Values) -> dict[str, Any]:
        """All hyperparameters: the proposed, the fixed, and for the others the defaults."""
        texts = [*self.fixed, *(f"{name}={value}" for name, value in proposed.items())]
        learner = make_learners([self.algorithm], texts, {})[self.algorithm]
        return {each.name: getattr(learner, each.name) for each in hyperparameters_of(self.algorithm)}

    def read(self, name: str, texts: Sequence[str]) -> list[Any]:
        """The texts as values of the hyperparameter `name`, converted and checked by the algorithm."""
        return [self.values({name: text})[name] for text in texts]


def _named(text: str) -> tuple[str, str]:
    name, _, values = text.partition("=")
    if not name or not values:
        raise InvalidInputError(f"{text!r} is not NAME=VALUE,... or NAME=LOW:HIGH", field="grid")
    return name, values


def _ends(name: str, text: str) -> list[str]:
    ends = text.split(":")
    if len(ends) != 2:  # noqa: PLR2004  a range has two ends
        raise InvalidInputError(f"{name}={text} is not NAME=LOW:HIGH", field="range")
    return ends


def _range(ends: Sequence[Any]) -> Range:
    low, high = ends
    if low >= high:
        raise InvalidInputError(f"a range goes from a lower end to a higher one, not {low} to {high}", field="range")
    return Range(type(low), low, high)


@dataclass
class Tuning:
    """A search, and the measurement of its best trial on held-out ratings.

    log: keeps every trial, and knows those of earlier searches.
    report_problem: called with the reason for which a trial could not be measured.
    experiment: measures trials on the training part alone.
    final: measures on the held-out part; None if nothing is held out.
    outcomes: `best` and `default` on the held-out part; empty without one.
    """

    choices: Choices
    task: Task
    metric: Metric
    log: Trials
    report_problem: Callable[[str], None]
    experiment: Experiment
    final: Experiment | None
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @classmethod
    def from_ratings(
        cls,
        data: RatedData,
        choices: Choices,
        metric: Metric,
        log: Trials,
        report_problem: Callable[[str], None],
        *,
        hold_out: str,
        split: str,
        seed: int,
        relevant_from: float | None,
    ) -> "Tuning":
        """Raises `InvalidInputError` if the ratings are too few for the splits, or if Optuna is missing."""
        if not choices.grid:
            load_optuna()
        liked_from = data.relevant_from(relevant_from)
        ratings, final = data.ratings, None
        if hold_out != NO_HOLD_OUT:
            masks = held_out_by(hold_out, ratings, seed)
            if len(masks) > 1:
                raise InvalidInputError(f"{hold_out} has several parts: name one part", field="hold-out")
            final = Experiment(ratings, masks, data.scale, (metric,), liked_from, seed)
            ratings = ratings.subset(~masks[0])
        inner = Experiment(ratings, held_out_by(split, ratings, seed), data.scale, (metric,), liked_from, seed)
        task = Task(choices.algorithm, str(metric), data.fingerprint, hold_out, split, seed, liked_from)
        return cls(choices, task, metric, log, report_problem, inner, final)

    @cached_property
    def search(self) -> Search:
        """The search, with the trials of this task from earlier searches."""
        return Search(self.choices.values, self._measure, self._record, self.log.trials_of(self.task))

    def run(self, n_trials: int, budget_seconds: float | None, progress: ProgressCallback) -> None:
        """Measures the defaults first, so that the best is never worse; then the proposals; last, the hold-out.

        Raises `InvalidInputError` for an algorithm that cannot run here or cannot be measured by this metric.
        """
        warm_up(self.experiment, {self.choices.algorithm: self._learner({})}, progress)
        default = self.search.look_at({})
        if default.value is None:
            advice = "; it may predict no ratings: --metric ndcg@10 measures lists" if self.metric.k is None else ""
            raise InvalidInputError(f"{self.choices.algorithm}: {default.problem}{advice}", field="metric")
        self.search.run(self._proposals(n_trials), budget_seconds, progress)
        if self.final is not None:
            progress(1.0, "measuring the best")
            on_hold_out = {
                trial.key: self.final.run(self._learner(trial.hyperparameters))
                for trial in {each.key: each for each in (self.best, default)}.values()
            }
            self.outcomes = {"best": on_hold_out[self.best.key], "default": on_hold_out[default.key]}

    def _proposals(self, n_trials: int) -> Proposals:
        if self.choices.grid:
            return GridSearch(self.choices.grid)
        free, fixed = self.choices.ranges, self.choices.values({})
        alike = [
            trial
            for trial in self.search.trials.values()
            if all(trial.hyperparameters[name] == value for name, value in fixed.items() if name not in free)
        ]
        is_lower_better = self.metric.is_lower_better
        return Tpe(free, n_trials, is_lower_better=is_lower_better, seed=self.task.seed, earlier=alike)

    @property
    def ranked(self) -> list[Trial]:
        return self.search.best_first(is_lower_better=self.metric.is_lower_better)

    @property
    def best(self) -> Trial:
        return self.ranked[0]

    @property
    def difference(self) -> Difference | None:
        """The metric of the best minus that of the defaults, on the held-out part."""
        return self.outcomes["best"].minus(self.outcomes["default"])[str(self.metric)] if self.outcomes else None

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` prints. Names are only added, never changed."""
        return {
            **asdict(self.task),
            "best": asdict(self.best),
            "trials": [asdict(trial) for trial in self.search.trials.values()],
            "on_hold_out": {name: outcome.metrics[str(self.metric)] for name, outcome in self.outcomes.items()},
            "difference": None if self.difference is None else asdict(self.difference),
        }

    def _learner(self, proposed: Values) -> Learner:
        texts = [f"{name}={value}" for name, value in self.choices.values(proposed).items()]
        return make_learners([self.choices.algorithm], texts, {})[self.choices.algorithm]

    def _measure(self, values: Values, progress: ProgressCallback) -> Trial:
        return measure(self.experiment, self.metric, self._learner(values), values, progress)

    def _record(self, trial: Trial) -> None:
        self.log.append(self.task, trial)
        if trial.problem:
            self.report_problem(f"{self.choices.algorithm}: {trial.problem}")
