"""Searches for hyperparameters: measures proposals one after the other on an inner split. No trial runs twice."""

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.algorithms.errors import AlgorithmError
from app.algorithms.learner import Learner
from app.algorithms.progress import ProgressCallback, ignore
from app.errors import InvalidInputError
from app.evaluation.experiment import Experiment
from app.evaluation.metrics import Metric

Values = Mapping[str, Any]
"""Hyperparameters by name."""

LOG_FROM = 0.0
"""Ranges whose lower end is above this are searched on a logarithmic scale, others on a linear one."""

# Without given ranges, a search goes from default / ratio to default * ratio. Counts, such as the number of factors,
# make training slower in proportion, so their ranges are narrower.
_RATIO, _RATIO_OF_COUNTS = 10.0, 4.0
_INSTALL = "a search by ranges needs Optuna: pip install 'reckon[tune]'; --grid works without it"


@dataclass(frozen=True, slots=True)
class Trial:
    """One measured proposal.

    hyperparameters: all of the algorithm, defaults included.
    value: the metric; None if it could not be measured, for the reason in `problem`.
    interval: the ends of the 95 % interval of `value`.
    """

    hyperparameters: dict[str, Any]
    value: float | None
    interval: tuple[float, float] | None
    seconds: float
    problem: str | None = None

    @property
    def key(self) -> str:
        return key_of(self.hyperparameters)


def key_of(hyperparameters: Values) -> str:
    """Return a text that is equal for equal hyperparameters."""
    return json.dumps(dict(hyperparameters), sort_keys=True)


def measure(
    experiment: Experiment, metric: Metric, learner: Learner, values: Values, progress: ProgressCallback = ignore
) -> Trial:
    """Measure `metric`, one of those of `experiment`. If the learner fails, the trial has a problem and no value."""
    started = time.perf_counter()
    try:
        outcome = experiment.run(learner, progress)
    except AlgorithmError as error:
        return Trial(dict(values), None, None, time.perf_counter() - started, str(error))
    value, interval = outcome.metrics[str(metric)], outcome.intervals[str(metric)]
    problem = f"{metric} could not be measured: {outcome.reasons[str(metric)]}" if value is None else None
    ends = None if interval is None else (interval.low, interval.high)
    return Trial(dict(values), value, ends, time.perf_counter() - started, problem)


class Proposals(Protocol):
    """A sequence of hyperparameters to try. `n`: the number of all proposals."""

    n: int

    def ask(self) -> Values | None:
        """Return the next values, which replace the defaults; None at the end."""
        ...

    def record(self, trial: Trial) -> None:
        """Take the result of the last proposal."""
        ...


class GridSearch:
    """Every combination of the values; the last name changes fastest."""

    def __init__(self, choices: Mapping[str, Sequence[Any]]) -> None:
        self.n = math.prod(len(values) for values in choices.values())
        self._names = list(choices)
        self._combinations: Iterator[tuple[Any, ...]] = itertools.product(*choices.values())

    def ask(self) -> Values | None:
        combination = next(self._combinations, None)
        return None if combination is None else dict(zip(self._names, combination, strict=True))

    def record(self, trial: Trial) -> None:
        """Do nothing: the proposals of a grid do not depend on results."""


@dataclass(frozen=True, slots=True)
class Range:
    """The values of a hyperparameter to search.

    `kind`: bool, int or float.
    `low`, `high`: the ends, both included, of int and float; of bool, both values are tried.
    """

    kind: type
    low: float = 0.0
    high: float = 1.0

    @property
    def is_log(self) -> bool:
        return self.low > LOG_FROM

    def holds(self, value: Any) -> bool:
        return self.kind is bool or self.low <= value <= self.high


def ranges_around_defaults(fields: Sequence[Any]) -> dict[str, Range]:
    """Return by name the range of each hyperparameter.

    It is a tenth to ten times the default, for integers a quarter to four times, and for flags both values. A
    hyperparameter whose default is 0 is left out, because multiples of 0 are 0.
    """
    ranges = {}
    for field in fields:
        low, high = field.metadata["low"], field.metadata["high"]
        if field.type is bool:
            ranges[field.name] = Range(bool)
        elif field.type in {int, float} and field.default > 0:
            ratio = _RATIO if field.type is float else _RATIO_OF_COUNTS
            ends = (max(low, field.default / ratio), min(high, field.default * ratio))
            ranges[field.name] = Range(field.type, *(map(round, ends) if field.type is int else ends))
    return ranges


def load_optuna() -> Any:
    """Import and return Optuna. Raises `InvalidInputError` with the command that installs it if it is missing."""
    try:
        import optuna  # noqa: PLC0415  an extra
    except ImportError as error:
        raise InvalidInputError(_INSTALL, field="range") from error
    # Optuna logs every trial to standard error, where the progress is shown.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Tpe:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), which samples near earlier good values."""

    def __init__(
        self, ranges: Mapping[str, Range], n: int, *, is_lower_better: bool, seed: int, earlier: Sequence[Trial] = ()
    ) -> None:
        """Start a study. `earlier`: known trials; those inside the ranges are used and count towards `n`."""
        self._optuna = optuna = load_optuna()
        self._space = {name: self._distribution(each) for name, each in ranges.items()}
        known = [trial for trial in earlier if trial.value is not None and _lies_in(ranges, trial)]
        self.n = n
        self._n_proposed = len(known)
        # The seed depends on the number of known trials, so that a resumed search does not repeat its first proposals.
        self._study = optuna.create_study(
            direction="minimize" if is_lower_better else "maximize",
            sampler=optuna.samplers.TPESampler(seed=seed + len(known)),
        )
        for trial in known:
            values = {name: trial.hyperparameters[name] for name in ranges}
            self._study.add_trial(
                optuna.trial.create_trial(params=values, distributions=self._space, value=trial.value)
            )
        self._proposal: Any = None

    def ask(self) -> Values | None:
        if self._n_proposed >= self.n:
            return None
        self._n_proposed += 1
        self._proposal = self._study.ask(self._space)
        return dict(self._proposal.params)

    def record(self, trial: Trial) -> None:
        if trial.value is None:
            # A failed trial is excluded from the model of good and bad values.
            self._study.tell(self._proposal, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(self._proposal, trial.value)

    def _distribution(self, each: Range) -> Any:
        kinds = self._optuna.distributions
        if each.kind is bool:
            return kinds.CategoricalDistribution([False, True])
        if each.kind is int:
            return kinds.IntDistribution(int(each.low), int(each.high), log=each.is_log)
        return kinds.FloatDistribution(each.low, each.high, log=each.is_log)


def _lies_in(ranges: Mapping[str, Range], trial: Trial) -> bool:
    return all(
        name in trial.hyperparameters and each.holds(trial.hyperparameters[name]) for name, each in ranges.items()
    )


@dataclass
class Search:
    """Runs proposals.

    `complete`: adds the values that a proposal leaves out.
    `measure`: runs one trial.
    `record`: stores a new trial.
    `trials`: all trials by key, those of earlier searches included.
    """

    complete: Callable[[Values], Values]
    measure: Callable[[Values, ProgressCallback], Trial]
    record: Callable[[Trial], None]
    trials: dict[str, Trial]

    def run(
        self, proposals: Proposals, budget_seconds: float | None = None, progress: ProgressCallback = ignore
    ) -> None:
        """Run until the proposals end or the time is up. A trial that has started is finished."""
        started = time.monotonic()
        n_done = 0
        while (values := proposals.ask()) is not None:
            spent = time.monotonic() - started
            if budget_seconds is not None and spent >= budget_seconds:
                return
            # Whichever comes first, the end of the proposals or of the time, ends the search.
            share = (
                n_done / proposals.n if budget_seconds is None else max(n_done / proposals.n, spent / budget_seconds)
            )
            progress(min(share, 1.0), f"trial {n_done + 1} of {proposals.n}")
            proposals.record(self.look_at(values))
            n_done += 1

    def look_at(self, values: Values) -> Trial:
        """Return the trial of these values; measure it if it is not known."""
        hyperparameters = self.complete(values)
        known = self.trials.get(key_of(hyperparameters))
        if known is not None:
            return known
        trial = self.measure(hyperparameters, ignore)
        self.record(trial)
        self.trials[trial.key] = trial
        return trial

    def best_first(self, *, is_lower_better: bool) -> list[Trial]:
        """Return the trials that could be measured, the best first."""
        measured = [trial for trial in self.trials.values() if trial.value is not None]
        return sorted(measured, key=lambda trial: (trial.value or 0.0) * (1 if is_lower_better else -1))
