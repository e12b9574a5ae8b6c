"""`reckon evaluate`: measures algorithms on the ratings of a file, without a database."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.terminal import shown_progress, table_console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from app.algorithms.learner import Learner
    from app.algorithms.progress import ProgressCallback
    from app.entities import RatingScale
    from app.evaluation.evaluation_run import EvaluationRun
    from app.evaluation.intervals import Difference, Interval
    from app.evaluation.rated_data import RatedData
    from app.evaluation.report_data import Point

SPLITS_HELP = (
    "folds:K, random:F, user-time:F (the newest share of each user's ratings), time:F (the newest share of all"
    " ratings), leave-one-out (the newest rating of each user), cold-users:F and cold-items:F (a share of the users or"
    " items has no training ratings)"
)
DEFAULT_METRICS = "rmse,mse,mae,ndcg@10,recall@10,coverage@10"
BLEND = "blend"


def evaluate(
    path: Path = typer.Argument(help="Ratings in any layout that `reckon import` reads"),
    test: Path | None = typer.Option(
        None, help="Measure on the ratings of this file and learn from all ratings of PATH"
    ),
    split: str | None = typer.Option(None, help=SPLITS_HELP),
    folds: int | None = typer.Option(None, min=2, max=100, help="Short for --split folds:K; default: 5"),
    seed: int = typer.Option(0, min=0, help="Seed of the split, the learning and the intervals"),
    algorithm: list[str] = typer.Option(
        ["funk_svd"],
        help="An algorithm to measure; may be repeated, and the others are then compared with the first. blend: the"
        " default of the service; popular: bestsellers",
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
        None, help="Lowest rating of a relevant item; default: 75 % of the scale"
    ),
    items: Path | None = typer.Option(None, help="A file of items, for features and titles"),
    users: Path | None = typer.Option(None, help="A file of users, for features"),
    columns: str | None = typer.Option(None, help="As for `reckon import`"),
    report: Path | None = typer.Option(None, help="Write an HTML page with plots to this file"),
    as_json: bool = typer.Option(False, "--json", help="Print the results as JSON"),
) -> None:
    """Measure algorithms on the ratings of a file, side by side, on the same split."""
    from app.cli.rated_data import load_rated_data
    from app.errors import InvalidInputError
    from app.evaluation.algorithms_by_option import make_learners
    from app.evaluation.evaluation_run import EvaluationRun
    from app.evaluation.experiment import Experiment
    from app.evaluation.metrics import Metric

    if sum(option is not None for option in (test, split, folds)) > 1:
        raise InvalidInputError("--test, --split and --folds exclude each other", field="split")
    wanted = list(dict.fromkeys(Metric.parse(name) for name in metrics.split(",")))
    data = load_rated_data(path, test, columns=columns, items=items, users=users)
    algorithms = make_learners(algorithm, param, {BLEND: lambda: _blend(data.scale)})
    split_name = f"test:{test.name}" if test is not None else split or f"folds:{folds or 5}"
    held_out = data.held_out(split_name, seed)
    liked_from = data.relevant_from(relevant_from)
    is_detailed = report is not None
    experiment = Experiment(data.ratings, held_out, data.scale, wanted, liked_from, seed, is_detailed=is_detailed)
    run = EvaluationRun(path.name, split_name, experiment, algorithms, data.n_rejected)
    with shown_progress(is_quiet=as_json) as progress:
        run.run(progress, report_problem)
        if report is not None:
            _write_report(report, run, data, progress)
    if as_json:
        typer.echo(json.dumps(run.document))
    else:
        _show(run)
    if run.problems:
        raise typer.Exit(1)


def report_problem(message: str) -> None:
    sys.stderr.write(f"reckon: {message}\n")


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
    ).render()
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror or error}", field="report") from error


def _show(run: "EvaluationRun") -> None:
    """Print two tables: the metrics of each algorithm, and the differences of the others from the first."""
    console = table_console()
    n_folds = len(run.experiment.held_out)
    table = _table(run, f"{run.source}, split {run.split}, means over {n_folds} fold(s), 95 % intervals")
    for name in ("fit s", "predict s", "peak MB"):
        table.add_column(name, justify="right")
    for name, outcome in run.outcomes.items():
        cells = [_cell(outcome.metrics[key], outcome.intervals[key]) for key in run.metric_names]
        seconds = [f"{outcome.fit_seconds:.2f}", f"{outcome.predict_seconds:.2f}"]
        table.add_row(name, *cells, *seconds, f"{run.peak_rss_bytes[name] / 1e6:.0f}")
    console.print(table)
    if run.differences:
        table = _table(run, f"minus {run.first}, paired; p: probability of a difference at least as large by chance")
        for name, differences in run.differences.items():
            table.add_row(name, *(_difference_cell(each) for each in differences.values()))
        console.print(table)


def _table(run: "EvaluationRun", title: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column("algorithm")
    for name in run.metric_names:
        table.add_column(name, justify="right")
    return table


def _cell(value: float | None, interval: "Interval | None") -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" + ("" if interval is None else f"\n±{(interval.high - interval.low) / 2:.4f}")


def _difference_cell(difference: "Difference | None") -> str:
    if difference is None:
        return "-"
    chance = "" if difference.chance is None else f"\np {difference.chance:.3f}"
    return f"{difference.value:+.4f}{chance}"
