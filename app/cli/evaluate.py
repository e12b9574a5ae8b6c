"""`reckon evaluate`: how good algorithms are on a file, without a database."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.algorithms.progress import ProgressCallback
from app.cli.progress import shown_progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.algorithms.learner import Learner
    from app.cli.evaluation_results import EvaluationRun
    from app.cli.rated_file import RatedFile
    from app.evaluation.experiment import Experiment
    from app.evaluation.report_data import Point

SPLITS_HELP = (
    "folds:K, random:F, user-time:F (the newest share of every user), time:F (the newest share of all), leave-one-out"
    " (the newest of every user), cold-users:F and cold-items:F (nothing of these is learned from)"
)
DEFAULT_METRICS = "rmse,mse,mae,ndcg@10,recall@10,coverage@10"


def evaluate(
    path: Path = typer.Argument(help="Ratings in any layout that `reckon import` takes"),
    test: Path | None = typer.Option(None, help="Measure on this file; PATH is learned from whole"),
    split: str | None = typer.Option(None, help=SPLITS_HELP),
    folds: int | None = typer.Option(None, min=2, max=100, help="Short for --split folds:K; 5 unless said otherwise"),
    seed: int = typer.Option(0, min=0, help="Of the split, of learning and of the intervals"),
    algorithm: list[str] = typer.Option(
        ["funk_svd"],
        help="May be repeated, the first is compared against; blend is the service's default, popular the bestsellers",
    ),
    param: list[str] = typer.Option(
        [], metavar="NAME=VALUE", help="A hyperparameter of all that have it, or ALGORITHM.NAME=VALUE; may be repeated"
    ),
    metrics: str = typer.Option(
        DEFAULT_METRICS,
        help="rmse, mse, mae; @K: ndcg, ndcg_full, recall, recall_full, precision, hit_rate, map, mrr, novelty,"
        " coverage, gini",
    ),
    relevant_from: float | None = typer.Option(None, help="Ratings from here on are relevant; as liked, unless said"),
    items: Path | None = typer.Option(None, help="A file of items: features to learn from, titles to show"),
    users: Path | None = typer.Option(None, help="A file of users: features to learn from"),
    columns: str | None = typer.Option(None, help="As for `reckon import`"),
    report: Path | None = typer.Option(None, help="Write a page with plots here, one file that needs no network"),
    as_json: bool = typer.Option(False, "--json", help="Print the results as JSON"),
) -> None:
    """Measure algorithms on the ratings of a file, side by side, on the same split."""
    from app.cli.algorithms_by_option import make_contestants
    from app.cli.evaluation_results import EvaluationRun
    from app.cli.rated_file import load_rated_file
    from app.errors import InvalidInputError
    from app.evaluation.experiment import Experiment
    from app.evaluation.metrics import Metric

    if sum(option is not None for option in (test, split, folds)) > 1:
        raise InvalidInputError("--test, --split and --folds exclude each other", field="split")
    wanted = list(dict.fromkeys(Metric.parse(name) for name in metrics.split(",")))
    file = load_rated_file(path, test, columns=columns, items=items, users=users)
    algorithms = make_contestants(algorithm, param, file.scale)
    split_name = f"test:{test.name}" if test is not None else split or f"folds:{folds or 5}"
    held_out = file.held_out(split_name, seed)
    liked_from = file.relevant_from(relevant_from)
    is_detailed = report is not None
    experiment = Experiment(file.ratings, held_out, file.scale, wanted, liked_from, seed, is_detailed=is_detailed)
    evaluation = EvaluationRun(path.name, split_name, experiment, algorithms, file.n_rejected)
    with shown_progress(is_quiet=as_json) as progress:
        _run(evaluation, progress)
        if report is not None:
            _write_report(report, evaluation, file, progress)
    typer.echo(json.dumps(evaluation.document)) if as_json else evaluation.show()
    if evaluation.problems:
        raise typer.Exit(1)


def _run(evaluation: "EvaluationRun", progress: ProgressCallback) -> None:
    """All are warmed up before one is measured: who cannot run is found in seconds, not in hours."""
    from app.algorithms.errors import AlgorithmError
    from app.evaluation.experiment import peak_rss_bytes

    warm_up(evaluation.experiment, evaluation.algorithms, progress)
    n = len(evaluation.algorithms)
    for place, (name, learner) in enumerate(evaluation.algorithms.items()):
        try:
            outcome = evaluation.experiment.run(learner, _part(progress, name, place, n))
        except AlgorithmError as error:
            evaluation.problems[name] = str(error)
            sys.stderr.write(f"reckon: {_named(name, error)}\n")
        else:
            evaluation.add(name, outcome, peak_rss_bytes())


def _part(progress: ProgressCallback, name: str, place: int, n: int) -> ProgressCallback:
    return lambda share, stage: progress((place + share) / n, f"{name} {stage}")


def warm_up(experiment: "Experiment", algorithms: "Mapping[str, Learner]", progress: ProgressCallback) -> None:
    """Raises `InvalidInputError` naming the algorithm that cannot run: without features, or without its extra."""
    from app.algorithms.errors import AlgorithmError, FeaturesNeededError
    from app.errors import InvalidInputError

    for name, learner in algorithms.items():
        progress(0.0, f"{name} warming up")
        try:
            experiment.warm_up(learner)
        except FeaturesNeededError as error:
            message = f"{_named(name, error)}; --items and --users name the files that have them"
            raise InvalidInputError(message, field="algorithm") from error
        except AlgorithmError as error:
            raise InvalidInputError(_named(name, error), field="algorithm") from error


def _named(name: str, error: Exception) -> str:
    return str(error) if str(error).startswith(name) else f"{name}: {error}"


def _write_report(path: Path, evaluation: "EvaluationRun", file: "RatedFile", progress: ProgressCallback) -> None:
    from app.errors import InvalidInputError
    from app.evaluation.report import EvaluationReport
    from app.evaluation.report_data import learning_curve

    first = evaluation.first
    curve: Mapping[str, Sequence[Point]] = {}
    if first is not None:
        whole = evaluation.outcomes[first].folds[0]
        curve = learning_curve(evaluation.experiment, evaluation.algorithms[first], whole, progress=progress)
    page = EvaluationReport(
        evaluation.source,
        evaluation.split,
        evaluation.experiment,
        evaluation.hyperparameters,
        evaluation.outcomes,
        evaluation.differences,
        file.titles,
        file.groups,
        curve,
        evaluation.problems,
    ).render()
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror or error}", field="report") from error
