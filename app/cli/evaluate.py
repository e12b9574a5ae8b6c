"""`reckon evaluate`: how good algorithms are on a file, without a database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from app.cli.progress import shown_progress

if TYPE_CHECKING:
    from app.evaluation.experiment import Experiment, FoldResult, Metric

POPULAR = "popular"


def evaluate(
    path: Path = typer.Argument(help="Ratings in any layout that `reckon import` takes"),
    test: Path | None = typer.Option(None, help="Measure on this file; PATH is learned from whole"),
    split: str | None = typer.Option(
        None, help="folds:K, random:F, user-time:F (the newest of every user), time:F (the newest of all)"
    ),
    folds: int | None = typer.Option(None, min=2, max=100, help="Short for --split folds:K; 5 unless said otherwise"),
    seed: int = typer.Option(0, min=0, help="Of the split and of learning"),
    algorithm: list[str] = typer.Option(["funk_svd"], help="May be repeated; popular stands for the bestsellers"),
    param: list[str] = typer.Option([], metavar="NAME=VALUE", help="A hyperparameter of all; may be repeated"),
    metrics: str = typer.Option("rmse,mse,mae", help="rmse, mse, mae, ndcg@10, recall@20, ..."),
    relevant_from: float | None = typer.Option(None, help="Ratings from here on are relevant; as liked, unless said"),
    columns: str | None = typer.Option(None, help="As for `reckon import`"),
    as_json: bool = typer.Option(False, "--json", help="Print the results as JSON"),
) -> None:
    """Measure algorithms on the ratings of a file, side by side, on the same split."""
    from app.algorithms.errors import AlgorithmError, InvalidHyperparameter
    from app.errors import InvalidInputError
    from app.evaluation.experiment import Metric, mean_metrics, peak_rss_bytes

    if sum(option is not None for option in (test, split, folds)) > 1:
        raise InvalidInputError("--test, --split and --folds exclude each other", field="split")
    wanted = [Metric.parse(name) for name in metrics.split(",")]
    split_name = f"test:{test.name}" if test is not None else split or f"folds:{folds or 5}"
    experiment = _experiment(path, test, split_name, seed, wanted, relevant_from, columns)
    results = []
    with shown_progress(is_quiet=as_json) as tell:
        for name in algorithm:
            try:
                learner = _learner(name, param)
            except InvalidHyperparameter as error:  # which names the algorithm
                raise InvalidInputError(str(error), field="param") from error
            try:
                measured = experiment.run(learner, tell)
            except AlgorithmError as error:
                raise InvalidInputError(f"{name}: {error}", field="algorithm") from error
            results.append(_result(name, split_name, measured, mean_metrics(measured), peak_rss_bytes()))
    typer.echo(json.dumps({"results": results})) if as_json else _show(results, wanted)


def _learner(name: str, param: list[str]) -> Any:
    from app.algorithms.by_name import make_learner

    return None if name == POPULAR else make_learner(name, dict(text.partition("=")[::2] for text in param))


def _experiment(
    path: Path,
    test: Path | None,
    split_name: str,
    seed: int,
    metrics: "list[Metric]",
    relevant_from: float | None,
    columns: str | None,
) -> "Experiment":
    import numpy as np

    from app.algorithms.rating_matrix import RatingMatrix
    from app.entities import RatingColumns
    from app.evaluation.experiment import Experiment
    from app.evaluation.splits import held_out_by, keep_newest
    from app.intake.file_ratings import load_file
    from app.intake.scale import detect_scale

    files = [load_file(each, columns) for each in (path, test) if each is not None]
    user_ids = {user_id: row for row, user_id in enumerate(dict.fromkeys(u for file in files for u in file.user_ids))}
    item_ids = {item_id: row for row, item_id in enumerate(dict.fromkeys(i for file in files for i in file.item_ids))}
    parts = []
    for file in files:
        users = np.array([user_ids[user_id] for user_id in file.user_ids])[file.ratings.user_key]
        items = np.array([item_ids[item_id] for item_id in file.item_ids])[file.ratings.item_key]
        newest = keep_newest(users, items, file.ratings.rated_at)
        columns_of_part = RatingColumns(users, items, file.ratings.value, file.ratings.rated_at)
        parts.append([getattr(columns_of_part, name)[newest] for name in ("user_key", "item_key", "value", "rated_at")])
    users, items, values, rated_at = (np.concatenate(column) for column in zip(*parts, strict=True))
    matrix = RatingMatrix(len(user_ids), len(item_ids), users, items, values, rated_at)
    is_test = np.arange(len(values)) >= len(parts[0][0])
    held_out = held_out_by(split_name, matrix, seed) if test is None else [is_test]
    scale = detect_scale([values]) or files[0].scale
    liked_from = scale.liked_from if relevant_from is None else relevant_from
    return Experiment(matrix, held_out, scale, metrics, liked_from, seed)


def _result(
    name: str, split_name: str, measured: "list[FoldResult]", means: dict[str, float | None], peak_rss_bytes: int
) -> dict[str, Any]:
    return {
        "algorithm": name,
        "split": split_name,
        "metrics": means,
        "fit_seconds": sum(fold.fit_seconds for fold in measured) / len(measured),
        "predict_seconds": sum(fold.predict_seconds for fold in measured) / len(measured),
        "peak_rss_bytes": peak_rss_bytes,
        "folds": [{"metrics": fold.metrics, "fit_seconds": fold.fit_seconds} for fold in measured],
    }


def _show(results: list[dict[str, Any]], metrics: "list[Metric]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"split {results[0]['split']}, means over {len(results[0]['folds'])} fold(s)")
    table.add_column("algorithm")
    for name in (*map(str, metrics), "fit s", "predict s", "peak MB"):
        table.add_column(name, justify="right")
    for result in results:
        shown = [result["metrics"][str(metric)] for metric in metrics]
        cells = ["-" if value is None else f"{value:.4f}" for value in shown]
        seconds = [f"{result[name]:.2f}" for name in ("fit_seconds", "predict_seconds")]
        table.add_row(result["algorithm"], *cells, *seconds, f"{result['peak_rss_bytes'] / 1e6:.0f}")
    Console().print(table)
