"""Search for hyperparameters: proposals are measured one after the other on an inner split; no trial is run twice."""

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
"""Ranges above are searched by ratio (from 0.01 to 0.1 is as far as from 0.1 to 1), others by difference."""

_RATIO, _RATIO_OF_COUNTS = 10.0, 4.0  # how far from a default an unspecified search goes
_INSTALL = "searching ranges needs Optuna: pip install 'reckon[tune]'; --grid does without"


@dataclass(frozen=True, slots=True)
class Trial:
    """One measured proposal. `hyperparameters`: all that the algorithm has. `value`: None where `problem` says why.

    `interval`: the ends of the 95 % interval of `value`.
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
    """The same text for the same hyperparameters."""
    return json.dumps(dict(hyperparameters), sort_keys=True)


def measure(
    experiment: Experiment, metric: Metric, learner: Learner, values: Values, progress: ProgressCallback = ignore
) -> Trial:
    """`experiment` measures `metric`, among others; a learner that gives up is a trial with a problem."""
    started = time.perf_counter()
    try:
        outcome = experiment.run(learner, progress)
    except AlgorithmError as error:
        return Trial(dict(values), None, None, time.perf_counter() - started, str(error))
    value, interval = outcome.metrics[str(metric)], outcome.intervals[str(metric)]
    problem = f"{metric} could not be measured" if value is None else None
    ends = None if interval is None else (interval.low, interval.high)
    return Trial(dict(values), value, ends, time.perf_counter() - started, problem)


class Proposals(Protocol):
    """Where to look next. `n`: how many proposals there are in all."""

    n: int

    def ask(self) -> Values | None:
        """Values in place of the defaults; None at the end."""
        ...

    def record(self, trial: Trial) -> None:
        """What came of the last proposal."""
        ...


class GridSearch:
    """Every combination of some values, the last name changing fastest."""

    def __init__(self, choices: Mapping[str, Sequence[Any]]) -> None:
        self.n = math.prod(len(values) for values in choices.values())
        self._names = list(choices)
        self._combinations: Iterator[tuple[Any, ...]] = itertools.product(*choices.values())

    def ask(self) -> Values | None:
        combination = next(self._combinations, None)
        return None if combination is None else dict(zip(self._names, combination, strict=True))

    def record(self, trial: Trial) -> None:
        """A grid goes its way, whatever comes of it."""


@dataclass(frozen=True, slots=True)
class Range:
    """What a hyperparameter may be: of `kind` bool, either; of int or float, `low` to `high`, both included."""

    kind: type
    low: float = 0.0
    high: float = 1.0

    @property
    def is_log(self) -> bool:
        return self.low > LOG_FROM

    def holds(self, value: Any) -> bool:
        return self.kind is bool or self.low <= value <= self.high


def ranges_around_defaults(fields: Sequence[Any]) -> dict[str, Range]:
    """By the name of each hyperparameter field: a tenth to ten times its default, of whole numbers a quarter to four
    times; flags either way. A default of 0 has no around: that one stays.
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
    """The package. Raises `InvalidInputError` with the install line where it is not installed."""
    try:
        import optuna  # noqa: PLC0415  an extra
    except ImportError as error:
        raise InvalidInputError(_INSTALL, field="range") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Tpe:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011): looks where good values were found before."""

    def __init__(
        self, ranges: Mapping[str, Range], n: int, *, is_lower_better: bool, seed: int, earlier: Sequence[Trial] = ()
    ) -> None:
        """`earlier`: trials to learn from; those that lie in the ranges count among the `n`."""
        self._optuna = optuna = load_optuna()
        self._space = {name: self._distribution(each) for name, each in ranges.items()}
        known = [trial for trial in earlier if trial.value is not None and _lies_in(ranges, trial)]
        self.n = n
        self._n_asked = len(known)
        # Another seed for every length of history: a search taken up again must not draw its first proposals again.
        self._study = optuna.create_study(
            direction="minimize" if is_lower_better else "maximize",
            sampler=optuna.samplers.TPESampler(seed=seed + len(known)),
        )
        for trial in known:
            values = {name: trial.hyperparameters[name] for name in ranges}
            self._study.add_trial(
                optuna.trial.create_trial(params=values, distributions=self._space, value=trial.value)
            )
        self._asked: Any = None

    def ask(self) -> Values | None:
        if self._n_asked >= self.n:
            return None
        self._n_asked += 1
        self._asked = self._study.ask(self._space)
        return dict(self._asked.params)

    def record(self, trial: Trial) -> None:
        if trial.value is None:
            self._study.tell(self._asked, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(self._asked, trial.value)

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
    """`measure`: runs one proposal. `record`: is told every new trial at once. `trials`: all so far, by their key."""

    complete: Callable[[Values], Values]
    measure: Callable[[Values, ProgressCallback], Trial]
    record: Callable[[Trial], None]
    trials: dict[str, Trial]

    def run(
        self, proposals: Proposals, budget_seconds: float | None = None, progress: ProgressCallback = ignore
    ) -> None:
        """Until the proposals end or the time is up; a trial under way is finished."""
        started = time.monotonic()
        n_done = 0
        while (values := proposals.ask()) is not None:
            spent = time.monotonic() - started
            if budget_seconds is not None and spent >= budget_seconds:
                return
            share = (
                n_done / proposals.n if budget_seconds is None else max(n_done / proposals.n, spent / budget_seconds)
            )
            progress(min(share, 1.0), f"trial {n_done + 1} of {proposals.n}")
            proposals.record(self.look_at(values))
            n_done += 1

    def look_at(self, values: Values) -> Trial:
        """The trial of these values: as known, or measured now."""
        hyperparameters = self.complete(values)
        known = self.trials.get(key_of(hyperparameters))
        if known is not None:
            return known
        trial = self.measure(hyperparameters, ignore)
        self.record(trial)
        self.trials[trial.key] = trial
        return trial

    def best_first(self, *, is_lower_better: bool) -> list[Trial]:
        """Those that could be measured."""
        measured = [trial for trial in self.trials.values() if trial.value is not None]
        return sorted(measured, key=lambda trial: (trial.value or 0.0) * (1 if is_lower_better else -1))
