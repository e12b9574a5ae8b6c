"""`reckon train`: one training run in this process."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from app.cli.terminal import show_log, shown_progress

if TYPE_CHECKING:
    from app.store.jobs import Job
    from app.store.snapshots import SnapshotEntry


def train(
    algorithm: str | None = typer.Option(None, help="Learns the ratings; the data choose it by default"),
    param: list[str] = typer.Option([], metavar="NAME=VALUE", help="A hyperparameter of it; may be repeated"),
    recipe: Path | None = typer.Option(None, help="A recipe in JSON, as in a snapshot's card; excludes --algorithm"),
    seed: int | None = typer.Option(None, min=0, help="The same seed and data give the same snapshot"),
    as_json: bool = typer.Option(False, "--json", help="Print the outcome as JSON"),
) -> None:
    """Train now and publish a snapshot if it passes the gate. Waits for the worker if one runs the job already."""
    from app.settings import Settings
    from app.wiring import open_store
    from app.worker.follow import run_to_end
    from app.worker.loop import build_trainer

    # The stages, figures and decisions of the run are shown while it goes on; its outcome is printed below.
    show_log(is_quiet=as_json)
    settings = Settings()
    store = open_store(settings)
    try:
        trainer = build_trainer(settings, store)
        job = store.jobs.enqueue("request", seed=seed, recipe=_recipe(algorithm, param, recipe))
        with shown_progress(is_quiet=as_json) as progress:
            job = run_to_end(job, trainer, lease_seconds=settings.worker_lease_seconds, progress=progress)
        snapshot = None if job.snapshot_version is None else store.snapshots.get(job.snapshot_version)
    except KeyboardInterrupt:
        typer.echo("reckon: interrupted; the job is back in the queue", err=True)
        raise typer.Exit(130) from None
    finally:
        store.close()
    typer.echo(json.dumps(_as_json(job, snapshot)) if as_json else "\n".join(_lines(job, snapshot)))
    if job.state != "succeeded":
        raise typer.Exit(1)


def _recipe(algorithm: str | None, param: list[str], path: Path | None) -> dict[str, Any] | None:
    """Raises `InvalidInputError`."""
    from app.errors import InvalidInputError
    from app.training.recipe import parse_recipe, with_rating

    if path is not None:
        if algorithm is not None or param:
            raise InvalidInputError("--recipe excludes --algorithm and --param", field="recipe")
        try:
            return parse_recipe(json.loads(path.read_bytes())).document
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"{path} is not a recipe in JSON: {error}", field="recipe") from error
    if algorithm is None:
        if param:
            raise InvalidInputError("--param needs --algorithm", field="param")
        return None
    values = {name: value for name, _, value in (text.partition("=") for text in param)}
    return with_rating(algorithm, values).document


def _as_json(job: "Job", snapshot: "SnapshotEntry | None") -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "state": job.state,
        "reason": job.reason,
        "snapshot_version": job.snapshot_version,
        "is_live": snapshot is not None and snapshot.is_live,
        "metrics": None if snapshot is None else snapshot.card["metrics"],
    }


def _lines(job: "Job", snapshot: "SnapshotEntry | None") -> list[str]:
    if snapshot is None:
        return [f"{job.state}: {job.reason}"]
    lines = [f"snapshot {snapshot.version} is {'live' if snapshot.is_live else 'published; another is pinned'}"]
    if job.reason:
        lines.append(f"fallback: {job.reason}")
    for name, metrics in snapshot.card["metrics"].items():
        shown = ", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items() if value is not None)
        lines.append(f"{name:<12} {shown or 'not measured'}")
    choices: list[str] = snapshot.card.get("choices", [])
    return lines + choices
