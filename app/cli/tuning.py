"""One search of `reckon tune`: what is tried, on which ratings, and what came of it."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from app.algorithms.progress import ProgressCallback
from app.cli.algorithms_by_option import hyperparameters_of, make_contestants
from app.cli.evaluate import warm_up
from app.cli.rated_file import RatedFile
from app.cli.trial_log import Task, TrialLog
from app.entities import RatingScale
from app.errors import InvalidInputError
from app.evaluation.experiment import Experiment
from app.evaluation.intervals import Difference
from app.evaluation.metrics import Metric
from app.evaluation.outcome import Outcome
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
from app.training.recipe import ENGAGEMENT, PUBLISHABLE, RATING, TASTE, TOWERS, Recipe, complete

NO_HOLD_OUT = "none"

TUNABLE = RATING, TASTE, TOWERS, ENGAGEMENT
"""The segments whose learners have something to tune."""


@dataclass(frozen=True)
class Choices:
    """What of an algorithm is tried, all of it checked. `fixed`: as given. `grid` or `ranges`: by name, one empty."""

    algorithm: str
    fixed: Sequence[str]
    grid: Mapping[str, Sequence[Any]]
    ranges: Mapping[str, Range]

    @classmethod
    def parse(cls, algorithm: str, fixed: Sequence[str], grid: Sequence[str], ranges: Sequence[str]) -> "Choices":
        """From `NAME=VALUE`, `NAME=VALUE,VALUE` and `NAME=LOW:HIGH`; without the last two all are searched by range.

        Raises `InvalidInputError`, naming what would be right.
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
        """All hyperparameters: those proposed, the fixed ones, and defaults."""
        texts = [*self.fixed, *(f"{name}={value}" for name, value in proposed.items())]
        learner = make_contestants([self.algorithm], texts, RatingScale())[self.algorithm]
        return {each.name: getattr(learner, each.name) for each in hyperparameters_of(self.algorithm)}

    def read(self, name: str, texts: Sequence[str]) -> list[Any]:
        """The texts as values of a hyperparameter, as the algorithm reads them."""
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
    """`experiment`: on the training part alone. `final`: on what was held out; None where nothing was."""

    choices: Choices
    task: Task
    metric: Metric
    log: TrialLog
    experiment: Experiment
    final: Experiment | None
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        file: RatedFile,
        choices: Choices,
        metric: Metric,
        log: TrialLog,
        *,
        hold_out: str,
        split: str,
        seed: int,
        relevant_from: float | None,
    ) -> "Tuning":
        """Raises `InvalidInputError` where the ratings are too few for the splits, or Optuna is needed and missing."""
        if not choices.grid:
            load_optuna()
        liked_from = file.relevant_from(relevant_from)
        ratings, final = file.ratings, None
        if hold_out != NO_HOLD_OUT:
            masks = held_out_by(hold_out, ratings, seed)
            if len(masks) > 1:
                raise InvalidInputError(f"{hold_out} holds out everything in turn: name one part", field="hold-out")
            final = Experiment(ratings, masks, file.scale, (metric,), liked_from, seed)
            ratings = ratings.subset(~masks[0])
        inner = Experiment(ratings, held_out_by(split, ratings, seed), file.scale, (metric,), liked_from, seed)
        task = Task(choices.algorithm, str(metric), file.fingerprint, hold_out, split, seed, liked_from)
        return cls(choices, task, metric, log, inner, final)

    @cached_property
    def search(self) -> Search:
        """With all that is known of this task from before."""
        return Search(self.choices.values, self._measure, self._record, self.log.trials_of(self.task))

    def run(self, n_trials: int, budget_seconds: float | None, progress: ProgressCallback) -> None:
        """First the defaults, so that the best is never worse; then what the choices propose; last the hold-out.

        Raises `InvalidInputError` for an algorithm that cannot run here, or has no such metric.
        """
        warm_up(self.experiment, {self.choices.algorithm: self._learner({})}, progress)
        default = self.search.look_at({})
        if default.value is None:
            advice = "; it may predict no ratings: --metric ndcg@10 asks for lists" if self.metric.k is None else ""
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
        """The best minus the default, on the hold-out."""
        return self.outcomes["best"].minus(self.outcomes["default"])[str(self.metric)] if self.outcomes else None

    @property
    def document(self) -> dict[str, Any]:
        """What `--json` prints. Names are only ever added."""
        return {
            **asdict(self.task),
            "best": asdict(self.best),
            "trials": [asdict(trial) for trial in self.search.trials.values()],
            "on_hold_out": {name: outcome.metrics[str(self.metric)] for name, outcome in self.outcomes.items()},
            "difference": None if self.difference is None else asdict(self.difference),
        }

    def _learner(self, proposed: Values) -> Any:
        texts = [f"{name}={value}" for name, value in self.choices.values(proposed).items()]
        return make_contestants([self.choices.algorithm], texts, self.experiment.scale)[self.choices.algorithm]

    def _measure(self, values: Values, progress: ProgressCallback) -> Trial:
        return measure(self.experiment, self.metric, self._learner(values), values, progress)

    def _record(self, trial: Trial) -> None:
        self.log.append(self.task, trial)
        if trial.problem:
            sys.stderr.write(f"reckon: {self.choices.algorithm}: {trial.problem}\n")


def segment_of(algorithm: str) -> str:
    """The segment that an algorithm may be published as. Raises `InvalidInputError` where there is none."""
    for name in TUNABLE:
        if algorithm in PUBLISHABLE[name]:
            return name
    can_be = ", ".join(algorithm for name in TUNABLE for algorithm in PUBLISHABLE[name])
    raise InvalidInputError(f"{algorithm} is measured only; the service can learn by: {can_be}", field="algorithm")


def with_tuned(recipe: Recipe, algorithm: str, hyperparameters: Values) -> Recipe:
    """`recipe` with the segment that `algorithm` learns learned so."""
    tuned = complete(segment_of(algorithm), algorithm, hyperparameters)
    segments = {segment.name: segment for segment in recipe.segments} | {tuned.name: tuned}
    return replace(recipe, segments=tuple(segments[name] for name in PUBLISHABLE if name in segments))
