"""`reckon tune`: searches for the best hyperparameters for the ratings of a file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.evaluate import SPLITS_HELP, report_problem
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
    from app.evaluation.tuning import Tuning

SHOWN_TRIALS = 10


def tune(
    path: Path = typer.Argument(help="Ratings in any layout that `reckon import` reads"),
    algorithm: str = typer.Option("funk_svd", help="The algorithm to tune"),
    grid: list[str] = typer.Option(
        [],
        metavar="NAME=VALUE,...",
        help="Values to try, in every combination with those of other names; may be repeated",
    ),
    range_: list[str] = typer.Option(
        [],
        "--range",
        metavar="NAME=LOW:HIGH",
        help="Range to search with Optuna (extra tune), on a logarithmic scale if LOW is above 0; may be repeated."
        " Default without --grid: ranges around the defaults of all hyperparameters",
    ),
    param: list[str] = typer.Option([], metavar="NAME=VALUE", help="A fixed hyperparameter; may be repeated"),
    metric: str = typer.Option("rmse", help="Metric to optimise, such as rmse, mae, ndcg@10 or recall@20"),
    split: str | None = typer.Option(
        None,
        help=f"Split of the training part: {SPLITS_HELP}; default: user-time:0.2, or user-random:0.2 if no rating has a"
        " time",
    ),
    hold_out: str | None = typer.Option(
        None,
        help="Split whose test part is hidden from the search; the best trial is measured on it at the end; or none;"
        " default: as for --split",
    ),
    trials: int = typer.Option(
        30, min=1, max=100_000, help="Number of trials of a search by ranges, those of earlier runs included"
    ),
    budget_seconds: float | None = typer.Option(None, min=0, help="Start no new trial after this many seconds"),
    seed: int = typer.Option(0, min=0, help="Seed of the splits, the learning and the proposals"),
    relevant_from: float | None = typer.Option(
        None, help="Lowest rating of a relevant item; default: 75 % of the scale"
    ),
    items: Path | None = typer.Option(None, help="A file of items, for features"),
    users: Path | None = typer.Option(None, help="A file of users, for features"),
    columns: ColumnsOption = None,
    kind: KindOption = None,
    encoding: EncodingOption = None,
    missing: MissingOption = [],  # noqa: B006  typer copies it
    date_format: DateFormatOption = None,
    decimal: DecimalOption = None,
    results: Path = typer.Option(
        Path("tune-results.jsonl"), help="File that stores every trial; stored trials are not run again"
    ),
    save: Path | None = typer.Option(
        None, help="Write the best trial to this file as a recipe for `reckon train --recipe`"
    ),
    apply: bool = typer.Option(False, "--apply", help="Put the best trial into the recipe of the service"),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON"),
) -> None:
    """Search for better hyperparameters by a grid or with Optuna. Stored trials are not run again."""
    from app.cli.rated_data import load_rated_data
    from app.cli.trial_log import TrialLog
    from app.evaluation.metrics import Metric
    from app.evaluation.tuning import SearchSpace, Tuning
    from app.training.recipe import segment_of

    wanted = Metric.parse(metric)
    space = SearchSpace.parse(algorithm, param, grid, range_)
    if save or apply:
        # Raises now for an algorithm that no segment uses, instead of after hours of search.
        segment_of(algorithm)
    data = load_rated_data(
        path, hints=file_hints(columns, kind, encoding, missing, date_format, decimal), items=items, users=users
    )
    for remark in (*data.remarks, *data.warnings):
        typer.echo(f"reckon: {remark}", err=True)
    default = "user-time:0.2" if data.has_times else "user-random:0.2"
    splits = {"hold_out": hold_out or default, "split": split or default}
    log = TrialLog(results)
    tuning = Tuning.from_ratings(
        data, space, wanted, log, report_problem, seed=seed, relevant_from=relevant_from, **splits
    )
    try:
        with shown_progress(is_quiet=as_json) as progress:
            tuning.run(trials, budget_seconds, progress)
    except KeyboardInterrupt:
        typer.echo(
            f"reckon: interrupted; {results} holds the trials, and the same command continues with them", err=True
        )
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(tuning.document))
    else:
        _show(tuning)
    if save is not None:
        _save(tuning, save)
    if apply:
        _apply(tuning)
        typer.echo("the next training uses these hyperparameters: reckon train", err=True)


def _show(tuning: "Tuning") -> None:
    from rich.table import Table

    ranked, task = tuning.ranked, tuning.task
    names = [*(tuning.space.grid or tuning.space.ranges)]
    learned_from = "all ratings" if tuning.final is None else f"the training part of {task.hold_out}"
    title = f"{task.algorithm}: best of {len(tuning.search.trials)} trials, split {task.split} of {learned_from}"
    table = Table(title=title, title_justify="left")
    for name in (task.metric, "95 % interval", *names, "seconds"):
        table.add_column(name, justify="right")
    for trial in ranked[:SHOWN_TRIALS]:
        between = "" if trial.interval is None else f"{trial.interval[0]:.4f} to {trial.interval[1]:.4f}"
        values = (_shown(trial.hyperparameters[name]) for name in names)
        table.add_row(f"{trial.value:.4f}", between, *values, f"{trial.seconds:.2f}")
    table_console().print(table)
    difference = tuning.difference
    if difference is not None:
        best, default = (tuning.outcomes[name].metrics[task.metric] for name in ("best", "default"))
        chance = "" if difference.chance is None else f", p {difference.chance:.3f}"
        compared = f"best {best:.4f}, defaults {default:.4f} ({difference.value:+.4f}{chance})"
        typer.echo(f"on the held-out part of {task.hold_out}: {compared}")
    typer.echo("best: " + " ".join(f"--param {name}={value}" for name, value in tuning.best.hyperparameters.items()))


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _save(tuning: "Tuning", path: Path) -> None:
    from app.errors import InvalidInputError
    from app.training.recipe import default_recipe, with_tuned

    recipe = with_tuned(default_recipe(), tuning.task.algorithm, tuning.best.hyperparameters)
    try:
        path.write_text(json.dumps(recipe.document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror or error}", field="save") from error


def _apply(tuning: "Tuning") -> None:
    """Store the tuned segment in the recipe of the service; the other segments stay unchanged."""
    from app.settings import Settings
    from app.training.recipe import parse_recipe, with_tuned
    from app.wiring import open_store

    store = open_store(Settings())
    try:
        recipe = parse_recipe(store.instance.recipe())
        tuned = with_tuned(recipe, tuning.task.algorithm, tuning.best.hyperparameters)
        store.instance.set_recipe(tuned.document)
    finally:
        store.close()
