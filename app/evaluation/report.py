"""Renders an evaluation as an HTML page: one file that needs no network. Every text in it is escaped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from app.evaluation.experiment import Experiment
from app.evaluation.intervals import Difference
from app.evaluation.metrics import Metric
from app.evaluation.outcome import Outcome
from app.evaluation.plots import line_plot, map_plot
from app.evaluation.report_data import ItemMap, Point, Series, errors_by_rating, item_map, recall_against_coverage
from app.evaluation.report_style import STYLE

CLEAR = 0.05
"""A difference with a lower `chance` is set in bold."""


@dataclass(frozen=True)
class EvaluationReport:
    """The content of the page.

    `source`, `split`: the name of the data and of the split.
    `hyperparameters`: by name, those of all requested algorithms.
    `outcomes`: by name, the results of the algorithms that could be measured.
    `differences`: by name, every metric of a further algorithm minus that of the first.
    `titles`, `groups`: by item row.
    `curve`: metric -> points of the learning curve of the first algorithm.
    `problems`: name -> why the algorithm could not be measured.
    `is_scale_detected`: whether the scale follows from the ratings; else it was given.
    `remarks`, `protocol`: what a reader must know of this evaluation, and how the figures are measured, in sentences.
    """

    source: str
    split: str
    experiment: Experiment
    hyperparameters: Mapping[str, Mapping[str, object]]
    outcomes: Mapping[str, Outcome]
    differences: Mapping[str, Mapping[str, Difference | None]]
    titles: Sequence[str]
    groups: Sequence[str]
    curve: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    is_scale_detected: bool = True
    remarks: Sequence[str] = ()
    protocol: Sequence[str] = ()

    def render(self) -> str:
        """Return the page as HTML."""
        parts = [self._head(), self._figures(), self._comparison(), *self._plots(), *self._maps(), self._settings()]
        title = escape(f"Evaluation of {self.source}")
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
        )

    def _head(self) -> str:
        ratings = self.experiment.ratings
        scale = f"{self.experiment.scale} ({'detected' if self.is_scale_detected else 'given'})"
        facts = (
            f"{len(ratings):,} ratings of {ratings.n_users:,} users and {ratings.n_items:,} items on the scale {scale}."
            f" Split {self.split}, {len(self.experiment.held_out)} fold(s), seed {self.experiment.seed}."
        )
        remarks = "".join(f"<li>{escape(remark)}</li>" for remark in self.remarks)
        noted = f"<p>Note:</p><ul>{remarks}</ul>" if remarks else ""
        measured = escape(" ".join(self.protocol))
        return f"<h1>Evaluation of {escape(self.source)}</h1><p>{escape(facts)}</p>{noted}<p>{measured}</p>"

    def _figures(self) -> str:
        metrics = self.experiment.metrics
        best = {str(metric): _best(metric, self.outcomes) for metric in metrics}
        rows = []
        for name, outcome in self.outcomes.items():
            cells = [_figure(outcome, str(metric), is_best=best[str(metric)] == name) for metric in metrics]
            seconds = f"<td>{outcome.fit_seconds:.2f}</td><td>{outcome.predict_seconds:.2f}</td>"
            rows.append(f"<tr><td>{escape(name)}</td>{''.join(cells)}{seconds}</tr>")
        for name, problem in self.problems.items():
            rows.append(f'<tr><td>{escape(name)}</td><td colspan="{len(metrics) + 2}">{escape(problem)}</td></tr>')
        note = "Means over the folds, with 95 % bootstrap intervals over users, or over ratings for rating errors."
        return _card("Figures", note, _table(["algorithm", *map(str, metrics), "fit s", "predict s"], rows))

    def _comparison(self) -> str:
        if not self.differences:
            return ""
        rows = [f"<tr><td>{escape(name)}</td>{''.join(self._differences(name))}</tr>" for name in self.differences]
        note = (
            "Paired differences on the same users and ratings, with 95 % intervals. p: probability of a difference at"
            " least as large by chance."
            f" Bold: p below {CLEAR:g}."
        )
        first = next(iter(self.outcomes))
        return _card(
            f"Compared with {first}", note, _table([f"minus {first}", *map(str, self.experiment.metrics)], rows)
        )

    def _differences(self, name: str) -> Iterator[str]:
        first = self.outcomes[next(iter(self.outcomes))]
        for metric, difference in self.differences[name].items():
            if difference is None:
                yield _unmeasured(self.outcomes[name].why_not_minus(first, metric))
            else:
                yield _difference(difference)

    def _plots(self) -> list[str]:
        first = next(iter(self.hyperparameters))
        plots = [
            *self._plot(
                "Error by rating",
                "RMSE of the predictions for each actual rating.",
                errors_by_rating(self.outcomes),
                "rating",
            ),
            *self._plot(
                "Recall against coverage",
                "Means over the folds, for lists of 5 to 50 items. Higher: more relevant items. Further right: more of"
                " the catalogue is shown.",
                recall_against_coverage(self.outcomes),
                "coverage@k",
                "recall@k",
            ),
        ]
        for name, points in self.curve.items():
            note = f"{first} on the first fold, learned from shares of its training part."
            plots += self._plot(f"Learning curve, {name}", note, {first: points}, "share of the ratings", name)
        return [f'<div class="grid2">{"".join(plots)}</div>'] if plots else []

    def _plot(self, title: str, note: str, series: Series, x_label: str, y_label: str = "RMSE") -> list[str]:
        if not series:
            return []
        # All requested algorithms, so that a colour means the same in every plot, even if one could not be measured.
        names = list(self.hyperparameters)
        return [_card(title, note, line_plot(series, names, x_label, y_label, as_percent=x_label != "rating"))]

    def _maps(self) -> list[str]:
        maps = {name: made for name, outcome in self.outcomes.items() if (made := self._map(outcome)) is not None}
        return [
            _card(
                f"Map of the items, {name}",
                f"The {len(each.rows):,} most rated items on the two principal axes of item space, which show"
                f" {each.explained:.0%} of its variance. Similar items lie close together; larger dots have more"
                " ratings. Hover over a dot for the title.",
                map_plot(each, self.titles, self.groups),
            )
            for name, each in maps.items()
        ]

    def _map(self, outcome: Outcome) -> ItemMap | None:
        details = outcome.folds[0].details
        if details is None or details.item_factors is None:
            return None
        train, _ = self.experiment.parts(0)
        return item_map(details.item_factors, train.item_counts)

    def _settings(self) -> str:
        rows = []
        for name, values in self.hyperparameters.items():
            shown = ", ".join(f"{key} = {value}" for key, value in values.items()) or "none"
            rows.append(f"<tr><td>{escape(name)}</td><td><code>{escape(shown)}</code></td></tr>")
        return _card("Hyperparameters", "", _table(["algorithm", "values"], rows))


def _best(metric: Metric, outcomes: Mapping[str, Outcome]) -> str | None:
    """Return the algorithm with the best value of the metric; None if fewer than two have a value."""
    values = {name: value for name, each in outcomes.items() if (value := each.metrics[str(metric)]) is not None}
    if len(values) < 2:  # noqa: PLR2004  nothing to compare
        return None
    return (min if metric.is_lower_better else max)(values, key=lambda name: values[name])


def _figure(outcome: Outcome, name: str, *, is_best: bool) -> str:
    value, interval = outcome.metrics[name], outcome.intervals[name]
    if value is None:
        return _unmeasured(outcome.reasons[name])
    between = "" if interval is None else f"<small>{interval.low:.4f} to {interval.high:.4f}</small>"
    return f"<td{' class=best' if is_best else ''}>{value:.4f}{between}</td>"


def _unmeasured(why: str) -> str:
    return f"<td><small>{escape(why)}</small></td>"


def _difference(difference: Difference) -> str:
    is_clear = difference.chance is not None and difference.chance < CLEAR
    between = difference.interval
    note = (
        ""
        if between is None
        else f"<small>{between.low:+.4f} to {between.high:+.4f}, p {difference.chance:.3f}</small>"
    )
    return f"<td{' class=clear' if is_clear else ''}>{difference.value:+.4f}{note}</td>"


def _card(title: str, note: str, body: str) -> str:
    return f'<section class="card"><h2>{escape(title)}</h2><p>{escape(note)}</p>{body}</section>'


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
