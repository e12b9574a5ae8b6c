"""`reckon tune`: which hyperparameters suit a file's ratings."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.evaluate import SPLITS_HELP
from app.cli.progress import shown_progress

if TYPE_CHECKING:
    from app.cli.tuning import Tuning

SHOWN_TRIALS = 10


def tune(
    path: Path = typer.Argument(help="Ratings in any layout that `reckon import` takes"),
    algorithm: str = typer.Option("funk_svd", help="What is tuned"),
    grid: list[str] = typer.Option(
        [], metavar="NAME=VALUE,...", help="Try these values, in every combination with others; may be repeated"
    ),
    range_: list[str] = typer.Option(
        [],
        "--range",
        metavar="NAME=LOW:HIGH",
        help="Search in here by Optuna (extra tune), by ratio where LOW is above 0; may be repeated. Without --grid and"
        " --range: all hyperparameters, around their defaults",
    ),
    param: list[str] = typer.Option([], metavar="NAME=VALUE", help="A hyperparameter that stays so; may be repeated"),
    metric: str = typer.Option("rmse", help="What is to become best: rmse, mae, ndcg@10, recall@20, ..."),
    split: str = typer.Option("user-time:0.2", help=f"Inside the training part: {SPLITS_HELP}"),
    hold_out: str = typer.Option(
        "user-time:0.2", help="What the search never sees: the best is measured on it, at the end; or none"
    ),
    trials: int = typer.Option(30, min=1, max=100_000, help="Of ranges: trials in all, those of earlier runs included"),
    budget_seconds: float | None = typer.Option(None, min=0, help="Begin no trial after this time"),
    seed: int = typer.Option(0, min=0, help="Of the splits, of learning and of the proposals"),
    relevant_from: float | None = typer.Option(None, help="Ratings from here on are relevant; as liked, unless said"),
    items: Path | None = typer.Option(None, help="A file of items: features to learn from"),
    users: Path | None = typer.Option(None, help="A file of users: features to learn from"),
    columns: str | None = typer.Option(None, help="As for `reckon import`"),
    results: Path = typer.Option(
        Path("tune-results.jsonl"), help="Keeps every trial; what stands here is not tried again"
    ),
    save: Path | None = typer.Option(None, help="Write the best as a recipe, for `reckon train --recipe`"),
    apply: bool = typer.Option(False, "--apply", help="The service learns by the best from now on"),
    as_json: bool = typer.Option(False, "--json", help="Print the outcome as JSON"),
) -> None:
    """Search for better hyperparameters, by grid or by Optuna; what an earlier search tried is not tried again."""
    from app.cli.rated_file import load_rated_file
    from app.cli.trial_log import TrialLog
    from app.cli.tuning import Choices, Tuning, segment_of
    from app.evaluation.metrics import Metric

    wanted = Metric.parse(metric)
    choices = Choices.parse(algorithm, param, grid, range_)
    if save or apply:
        segment_of(algorithm)
    file = load_rated_file(path, columns=columns, items=items, users=users)
    splits = {"hold_out": hold_out, "split": split}
    tuning = Tuning.of(file, choices, wanted, TrialLog(results), seed=seed, relevant_from=relevant_from, **splits)
    try:
        with shown_progress(is_quiet=as_json) as progress:
            tuning.run(trials, budget_seconds, progress)
    except KeyboardInterrupt:
        typer.echo(f"reckon: interrupted; {results} keeps what was tried, the same command goes on", err=True)
        raise typer.Exit(130) from None
    typer.echo(json.dumps(tuning.document)) if as_json else _show(tuning)
    if save is not None:
        _save(tuning, save)
    if apply:
        _apply(tuning)
        typer.echo("the service learns by the best from its next training on: reckon train", err=True)


def _show(tuning: "Tuning") -> None:
    from rich.table import Table

    from app.cli.console import table_console

    ranked, task = tuning.ranked, tuning.task
    names = [*(tuning.choices.grid or tuning.choices.ranges)]
    learned_from = "all ratings" if tuning.final is None else f"what {task.hold_out} leaves"
    title = f"{task.algorithm}: the best of {len(tuning.search.trials)} trials, split {task.split} of {learned_from}"
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
        typer.echo(
            f"on {task.hold_out}, held out: best {best:.4f}, defaults {default:.4f} ({difference.value:+.4f}{chance})"
        )
    typer.echo("best: " + " ".join(f"--param {name}={value}" for name, value in tuning.best.hyperparameters.items()))


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _save(tuning: "Tuning", path: Path) -> None:
    from app.cli.tuning import with_tuned
    from app.errors import InvalidInputError
    from app.training.recipe import default_recipe

    recipe = with_tuned(default_recipe(), tuning.task.algorithm, tuning.best.hyperparameters)
    try:
        path.write_text(json.dumps(recipe.document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror or error}", field="save") from error


def _apply(tuning: "Tuning") -> None:
    """Other segments of the service's recipe stay as they are."""
    from app.cli.tuning import with_tuned
    from app.settings import Settings
    from app.training.recipe import parse_recipe
    from app.wiring import open_store

    store = open_store(Settings())
    try:
        recipe = parse_recipe(store.instance.recipe())
        tuned = with_tuned(recipe, tuning.task.algorithm, tuning.best.hyperparameters)
        store.instance.set_recipe(tuned.document)
    finally:
        store.close()
