"""One run of `reckon tune`: the values to try, the search on the ratings, and its result."""

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
from app.evaluation.splits import held_out_by, is_rolling

NO_HOLD_OUT = "none"


@dataclass(frozen=True, slots=True)
class Task:
    """Everything that the value of a trial depends on. Only values of the same task can be compared.

    data: the fingerprint of the ratings.
    hold_out: the split whose held-out part is hidden from the search; `none` if nothing is held out.
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
    """A store of trials, which keeps those of earlier searches."""

    def trials_of(self, task: Task) -> dict[str, Trial]:
        """Return the trials of a task by their keys."""
        ...

    def append(self, task: Task, trial: Trial) -> None:
        """Store a new trial."""
        ...


@dataclass(frozen=True)
class SearchSpace:
    """The checked values of an algorithm's hyperparameters that a search tries.

    fixed: hyperparameters that the search does not change, as `NAME=VALUE`.
    grid: values by name; ranges: the range by name. One of the two is empty.
    """

    algorithm: str
    fixed: Sequence[str]
    grid: Mapping[str, Sequence[Any]]
    ranges: Mapping[str, Range]

    @classmethod
    def parse(cls, algorithm: str, fixed: Sequence[str], grid: Sequence[str], ranges: Sequence[str]) -> "SearchSpace":
        """Parse `NAME=VALUE`, `NAME=VALUE,VALUE` and `NAME=LOW:HIGH`.

        Without a grid and ranges, the ranges are those around the defaults of all hyperparameters that are not fixed.
        Raises `InvalidInputError` with the correct form.
        """
        if grid and ranges:
            raise InvalidInputError("--grid and --range exclude each other", field="range")
        # The algorithm itself converts and checks every value, so its bounds are declared only there.
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
        """Return all hyperparameters: the proposed and the fixed ones, and the defaults of the others."""
        texts = [*self.fixed, *(f"{name}={value}" for name, value in proposed.items())]
        learner = make_learners([self.algorithm], texts, {})[self.algorithm]
        return {each.name: getattr(learner, each.name) for each in hyperparameters_of(self.algorithm)}

    def read(self, name: str, texts: Sequence[str]) -> list[Any]:
        """Return the texts as values of the hyperparameter `name`, converted and checked by the algorithm."""
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
        raise InvalidInputError(
            f"the low end of a range must be below its high end, not {low} to {high}", field="range"
        )
    return Range(type(low), low, high)


@dataclass
class Tuning:
    """A search and the measurement of its best trial on held-out ratings.

    log: stores every trial and returns those of earlier searches.
    report_problem: called with the reason if a trial could not be measured.
    experiment: measures trials on the training part alone.
    final: measures on the held-out part; None if nothing is held out.
    outcomes: `best` and `default` on the held-out part; empty without one.
    """

    space: SearchSpace
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
        space: SearchSpace,
        metric: Metric,
        log: Trials,
        report_problem: Callable[[str], None],
        *,
        hold_out: str,
        split: str,
        seed: int,
        relevant_from: float | None,
    ) -> "Tuning":
        """Build a tuning of the ratings with a held-out part and an inner split.

        Raises `InvalidInputError` if there are too few ratings for the splits, or if Optuna is missing.
        """
        # A missing package is reported now, before minutes of compilation.
        if not space.grid:
            load_optuna()
        liked_from = data.relevant_from(relevant_from, split)
        ratings, final = data.ratings, None
        if hold_out != NO_HOLD_OUT:
            masks = held_out_by(hold_out, ratings, seed)
            if len(masks) > 1:
                raise InvalidInputError(f"{hold_out} has several test parts: choose a split with one", field="hold-out")
            final = Experiment(ratings, masks, data.scale, (metric,), liked_from, seed, is_rolling=is_rolling(hold_out))
            # From here on, the search works without the held-out part.
            ratings = ratings.subset(~masks[0])
        inner = Experiment(
            ratings,
            held_out_by(split, ratings, seed),
            data.scale,
            (metric,),
            liked_from,
            seed,
            is_rolling=is_rolling(split),
        )
        task = Task(space.algorithm, str(metric), data.fingerprint, hold_out, split, seed, liked_from)
        return cls(space, task, metric, log, report_problem, inner, final)

    @cached_property
    def search(self) -> Search:
        """The search, which starts with the trials of earlier searches on this task."""
        return Search(self.space.values, self._measure, self._record, self.log.trials_of(self.task))

    def run(self, n_trials: int, budget_seconds: float | None, progress: ProgressCallback) -> None:
        """Measure the defaults, then the proposals, then the best trial on the held-out part.

        Raises `InvalidInputError` for an algorithm that cannot run or cannot be measured by this metric.
        """
        # The defaults are a trial too, so the best is never worse than they are on the inner split.
        warm_up(self.experiment, {self.space.algorithm: self._learner({})}, progress)
        default = self.search.look_at({})
        if default.value is None:
            advice = "; --metric ndcg@10 measures lists" if self.metric.k is None else ""
            raise InvalidInputError(f"{self.space.algorithm}: {default.problem}{advice}", field="metric")
        self.search.run(self._proposals(n_trials), budget_seconds, progress)
        if self.final is not None:
            progress(1.0, "measuring the best")
            # The defaults may be the best trial; the dictionary by key then measures them once.
            on_hold_out = {
                trial.key: self.final.run(self._learner(trial.hyperparameters))
                for trial in {each.key: each for each in (self.best, default)}.values()
            }
            self.outcomes = {"best": on_hold_out[self.best.key], "default": on_hold_out[default.key]}

    def _proposals(self, n_trials: int) -> Proposals:
        if self.space.grid:
            return GridSearch(self.space.grid)
        free, fixed = self.space.ranges, self.space.values({})
        # Trials with other values of the fixed hyperparameters say nothing about this search.
        comparable = [
            trial
            for trial in self.search.trials.values()
            if all(trial.hyperparameters[name] == value for name, value in fixed.items() if name not in free)
        ]
        is_lower_better = self.metric.is_lower_better
        return Tpe(free, n_trials, is_lower_better=is_lower_better, seed=self.task.seed, earlier=comparable)

    @property
    def ranked(self) -> list[Trial]:
        return self.search.best_first(is_lower_better=self.metric.is_lower_better)

    @property
    def best(self) -> Trial:
        return self.ranked[0]

    @property
    def difference(self) -> Difference | None:
        """The metric of the best trial minus that of the defaults, on the held-out part; None without one."""
        return self.outcomes["best"].minus(self.outcomes["default"])[str(self.metric)] if self.outcomes else None

    @property
    def document(self) -> dict[str, Any]:
        """The output of `--json`. New versions add names and never change or remove one."""
        return {
            **asdict(self.task),
            "best": asdict(self.best),
            "trials": [asdict(trial) for trial in self.search.trials.values()],
            "on_hold_out": {name: outcome.metrics[str(self.metric)] for name, outcome in self.outcomes.items()},
            "difference": None if self.difference is None else asdict(self.difference),
        }

    def _learner(self, proposed: Values) -> Learner:
        texts = [f"{name}={value}" for name, value in self.space.values(proposed).items()]
        return make_learners([self.space.algorithm], texts, {})[self.space.algorithm]

    def _measure(self, values: Values, progress: ProgressCallback) -> Trial:
        return measure(self.experiment, self.metric, self._learner(values), values, progress)

    def _record(self, trial: Trial) -> None:
        self.log.append(self.task, trial)
        if trial.problem:
            self.report_problem(f"{self.space.algorithm}: {trial.problem}")
