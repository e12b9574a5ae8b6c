"""`reckon evaluate`: measures algorithms on the ratings of a file, without a database."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.file_hints import (
    ColumnsOption,
    DateFormatOption,
    DecimalOption,
    EncodingOption,
    KindOption,
    MissingOption,
    file_hints,
)
from app.cli.terminal import shown_progress, table_console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from app.algorithms.learner import Learner
    from app.algorithms.progress import ProgressCallback
    from app.entities import RatingScale
    from app.evaluation.evaluation_run import EvaluationRun
    from app.evaluation.intervals import Difference
    from app.evaluation.outcome import Outcome
    from app.evaluation.rated_data import RatedData
    from app.evaluation.report_data import Point

SPLITS_HELP = (
    "folds:K, random:F, user-random:F (a random share of each user's ratings), user-time:F (the newest share of each"
    " user's ratings), time:F (the newest share of all ratings; ratings of one instant are not separated),"
    " leave-one-out (the newest rating of each user), cold-users:F and cold-items:F (a share of the users or items has"
    " no training ratings), next:F (as time:F, but the ratings are asked one after the other, each from the user's"
    " history up to it), next-last:N (so are the last N ratings of each user)"
)
DEFAULT_METRICS = "rmse,mse,mae,ndcg@10,recall@10,coverage@10"
BLEND = "blend"


def evaluate(
    path: Path = typer.Argument(help="Ratings in any layout that `reckon import` reads"),
    test: Path | None = typer.Option(
        None,
        help="Measure on the ratings of this file and learn from those of PATH; pairs of user and item that are in both"
        " are dropped from PATH",
    ),
    split: str | None = typer.Option(None, help=SPLITS_HELP),
    folds: int | None = typer.Option(None, min=2, max=100, help="Short for --split folds:K; default: 5"),
    seed: int = typer.Option(0, min=0, help="Seed of the split, the learning and the intervals"),
    algorithm: list[str] = typer.Option(
        ["funk_svd"],
        help="An algorithm to measure; may be repeated, and the others are then compared with the first. blend: the"
        " default of the service; popular: bestsellers; recent: bestsellers of a window of time before the newest"
        " rating, of the length that predicts best inside the training part",
    ),
    param: list[str] = typer.Option(
        [],
        metavar="NAME=VALUE",
        help="A hyperparameter of all algorithms that have it, or ALGORITHM.NAME=VALUE for one; may be repeated",
    ),
    metrics: str = typer.Option(
        DEFAULT_METRICS,
        help="Comma-separated: rmse, mse, mae; with @K: ndcg, ndcg_full, recall, recall_full, precision, hit_rate, map,"
        " mrr, novelty, coverage, gini",
    ),
    relevant_from: float | None = typer.Option(
        None, help="Lowest rating of a relevant item; default: 75 % of the scale, or any rating for next splits"
    ),
    scale: str | None = typer.Option(
        None,
        help="MIN:MAX[:STEP], binary, pairs or amounts; by default detected; ratings that are not on it are left out",
    ),
    items: Path | None = typer.Option(None, help="A file of items, for features and titles"),
    users: Path | None = typer.Option(None, help="A file of users, for features"),
    columns: ColumnsOption = None,
    kind: KindOption = None,
    encoding: EncodingOption = None,
    missing: MissingOption = [],  # noqa: B006  typer copies it
    date_format: DateFormatOption = None,
    decimal: DecimalOption = None,
    is_strict: bool = typer.Option(False, "--strict", help="Exit with 1 if more than 1 % of the rows were rejected"),
    report: Path | None = typer.Option(None, help="Write an HTML page with plots to this file"),
    as_json: bool = typer.Option(False, "--json", help="Print the results as JSON"),
) -> None:
    """Measure algorithms on the ratings of a file, side by side, on the same split.

    Lists rank all items; equal scores are ranked in the order in which the data name the items first. A split by time
    is refused if no rating has a time.

    Exit code: 0 if all algorithms were measured; 1 if the file could not be read or an algorithm could not be measured,
    or with --strict if more than 1 % of the rows were rejected; 2 for wrong options.
    """
    from app.cli.rated_data import load_rated_data
    from app.entities import RatingScale
    from app.errors import InvalidInputError
    from app.evaluation.algorithms_by_option import make_learners
    from app.evaluation.evaluation_run import EvaluationRun
    from app.evaluation.experiment import Experiment
    from app.evaluation.metrics import Metric
    from app.evaluation.splits import is_rolling, remarks_on_times

    if sum(option is not None for option in (test, split, folds)) > 1:
        raise InvalidInputError("--test, --split and --folds exclude each other", field="split")
    wanted = list(dict.fromkeys(Metric.parse(name) for name in metrics.split(",")))
    given_scale = None if scale is None else RatingScale.parse(scale)
    data = load_rated_data(
        path,
        test,
        hints=file_hints(columns, kind, encoding, missing, date_format, decimal),
        items=items,
        users=users,
        scale=given_scale,
    )
    algorithms = make_learners(algorithm, param, {BLEND: lambda: _blend(data.scale)})
    split_name = f"test:{test.name}" if test is not None else split or f"folds:{folds or 5}"
    experiment = Experiment(
        data.ratings,
        data.held_out(split_name, seed),
        data.scale,
        wanted,
        data.relevant_from(relevant_from, split_name),
        seed,
        is_detailed=report is not None,
        is_rolling=is_rolling(split_name),
    )
    remarks = [*data.remarks, *remarks_on_times(split_name, data.ratings), *_without_times(algorithms, data)]
    run = EvaluationRun(
        path.name, split_name, experiment, algorithms, data.n_rejected, data.is_scale_detected, remarks, data.warnings
    )
    with shown_progress(is_quiet=as_json) as progress:
        run.run(progress, report_problem)
        if report is not None:
            _write_report(report, run, data, progress)
    if as_json:
        typer.echo(json.dumps(run.document))
    else:
        _show(run)
    if run.problems or (is_strict and run.warnings):
        raise typer.Exit(1)


def report_problem(message: str) -> None:
    sys.stderr.write(f"reckon: {message}\n")


def _without_times(algorithms: "dict[str, Learner]", data: "RatedData") -> list[str]:
    """Leave out the baseline that needs times if there are none, and return a remark on it."""
    from app.errors import InvalidInputError
    from app.evaluation.algorithms_by_option import RECENT

    if RECENT not in algorithms or data.has_times:
        return []
    del algorithms[RECENT]
    if not algorithms:
        raise InvalidInputError(f"{RECENT} needs times, and no rating has one", field="algorithm")
    return [f"{RECENT} is left out: no rating has a time"]


def _blend(scale: "RatingScale") -> "Learner":
    # The command makes this learner, because evaluation does not import training, which owns recipes.
    from app.training.blend_learner import BlendLearner

    return BlendLearner(scale)


def _write_report(path: Path, run: "EvaluationRun", data: "RatedData", progress: "ProgressCallback") -> None:
    from app.errors import InvalidInputError
    from app.evaluation.report import EvaluationReport
    from app.evaluation.report_data import learning_curve

    first = run.first
    curve: Mapping[str, Sequence[Point]] = {}
    if first is not None:
        # The curve takes as long as a few more fits, so only the first algorithm gets one.
        whole = run.outcomes[first].folds[0]
        curve = learning_curve(run.experiment, run.algorithms[first], whole, progress=progress)
    page = EvaluationReport(
        run.source,
        run.split,
        run.experiment,
        run.hyperparameters,
        run.outcomes,
        run.differences,
        data.titles,
        data.groups,
        curve,
        run.problems,
        run.is_scale_detected,
        run.all_remarks,
        run.protocol,
    ).render()
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror or error}", field="report") from error


def _show(run: "EvaluationRun") -> None:
    """Print two tables: the metrics of each algorithm, and the differences of the others from the first.

    Above them stands what the data are and what a reader must know, below them how the figures are measured.
    """
    console = table_console()
    ratings, scale = run.experiment.ratings, run.experiment.scale
    counts = f"{len(ratings):,} ratings of {ratings.n_users:,} users and {ratings.n_items:,} items"
    typer.echo(f"{counts}, scale {scale} ({'detected; --scale sets it' if run.is_scale_detected else 'given'})")
    for remark in run.all_remarks:
        typer.echo(f"note: {remark}")
    n_folds = len(run.experiment.held_out)
    table = _table(run, f"{run.source}, split {run.split}, means over {n_folds} fold(s), 95 % intervals")
    for name in ("fit s", "predict s", "peak MB"):
        table.add_column(name, justify="right")
    for name, outcome in run.outcomes.items():
        cells = [_cell(outcome, key) for key in run.metric_names]
        seconds = [f"{outcome.fit_seconds:.2f}", f"{outcome.predict_seconds:.2f}"]
        table.add_row(name, *cells, *seconds, f"{run.peak_rss_bytes[name] / 1e6:.0f}")
    console.print(table)
    if run.differences:
        table = _table(run, f"minus {run.first}, paired; p: probability of a difference at least as large by chance")
        for name, differences in run.differences.items():
            outcome, first = run.outcomes[name], run.outcomes[str(run.first)]
            cells = [
                outcome.why_not_minus(first, metric) if each is None else _difference_cell(each)
                for metric, each in differences.items()
            ]
            table.add_row(name, *cells)
        console.print(table)
    typer.echo("\n".join([*run.protocol, *(f"warning: {warning}" for warning in run.warnings)]))


def _table(run: "EvaluationRun", title: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column("algorithm")
    for name in run.metric_names:
        table.add_column(name, justify="right")
    return table


def _cell(outcome: "Outcome", name: str) -> str:
    value, interval = outcome.metrics[name], outcome.intervals[name]
    if value is None:
        return outcome.reasons[name]
    return f"{value:.4f}" + ("" if interval is None else f"\n±{(interval.high - interval.low) / 2:.4f}")


def _difference_cell(difference: "Difference") -> str:
    chance = "" if difference.chance is None else f"\np {difference.chance:.3f}"
    return f"{difference.value:+.4f}{chance}"
