"""`reckon train`: one training run in this process."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from app.cli.snapshots import accepted_lines, fallback_lines
from app.cli.terminal import show_log, shown_progress
from app.cli.training_source import DATABASE, reading_from, settle_scale

if TYPE_CHECKING:
    from app.store.jobs import Job
    from app.store.snapshots import SnapshotEntry
    from app.training.rejections import RejectionWarning


def train(
    algorithm: str | None = typer.Option(None, help="Learns the ratings; the data choose it by default"),
    param: list[str] = typer.Option([], metavar="NAME=VALUE", help="A hyperparameter of it; may be repeated"),
    recipe: Path | None = typer.Option(None, help="A recipe in JSON, as in a snapshot's card; excludes --algorithm"),
    segments: str | None = typer.Option(
        None,
        metavar="NAME[=ALGORITHM],...",
        help="The segments to learn, such as taste=als_implicit,popularity; excludes --recipe",
    ),
    source: str | None = typer.Option(
        None,
        "--from",
        metavar="PATH",
        help="Read ratings from a Parquet file, or a folder of them, besides those of the database; they are not"
        " imported. `s3://BUCKET/PREFIX`: from objects, with the AWS_... variables. `database`: from the database"
        " alone",
    ),
    scale: str | None = typer.Option(
        None, metavar="SCALE", help="With --from into an empty service: the rating scale, MIN:MAX[:STEP] or pairs"
    ),
    seed: int | None = typer.Option(None, min=0, help="The same seed and data give the same snapshot"),
    engine: str | None = typer.Option(None, help="`local` or `spark` (extra spark); that of the recipe by default"),
    accept: bool = typer.Option(
        False, "--accept", help="Publish even if the gate rejects what was learned; its card says so"
    ),
    strict: bool = typer.Option(False, "--strict", help="Fail as well if the snapshot holds popular items alone"),
    as_json: bool = typer.Option(False, "--json", help="Print the outcome as JSON"),
) -> None:
    """Train now and publish a snapshot if it passes the gate. Waits for the worker if one runs the job already.

    Ctrl-C ends the job.
    """
    from app.settings import Settings
    from app.store.audit import COMMAND_LINE
    from app.training.recipe import recipe_in_use
    from app.training.rejections import rejection_warning
    from app.wiring import open_store
    from app.worker.follow import request, run_to_end
    from app.worker.loop import build_trainer

    # The stages, figures and decisions of the run are shown while it goes on; its outcome is printed below.
    show_log(is_quiet=as_json)
    settings = Settings()
    store = open_store(settings)
    job: Job | None = None
    try:
        trainer = build_trainer(settings, store)
        if scale is not None or source not in {None, DATABASE}:
            settle_scale(store, source, scale)
        document = reading_from(store, _recipe(algorithm, param, recipe, segments), source)
        if engine is not None:
            document = _with_engine(document or recipe_in_use(store).document, engine)
        wanted: dict[str, Any] = {"seed": seed, "recipe": document, "accept": accept}
        with _interrupted_by_signals(), shown_progress(is_quiet=as_json) as progress:
            job = request(store.jobs, **wanted, progress=progress)
            store.audit.record(COMMAND_LINE, "training.request", job.job_id)
            job = run_to_end(job, trainer, lease_seconds=settings.worker_lease_seconds, progress=progress)
        snapshot = None if job.snapshot_version is None else store.snapshots.get(job.snapshot_version)
        warning = rejection_warning(store)
    except KeyboardInterrupt:
        state = None if job is None else store.jobs.get(job.job_id).state
        goes_on = {"running": "the worker goes on with the job", "queued": "the job stays in the queue"}
        typer.echo(f"reckon: interrupted; {goes_on.get(state or '', 'the job has ended')}", err=True)
        raise typer.Exit(130) from None
    finally:
        store.close()
    typer.echo(json.dumps(_as_json(job, snapshot, warning)) if as_json else "\n".join(_lines(job, snapshot, warning)))
    if job.state != "succeeded" or (strict and job.reason):
        raise typer.Exit(1)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the run as Ctrl-C does, and not as a kill would."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    # `nohup` makes the process ignore SIGHUP, because the run is to outlive its terminal.
    heard = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) != signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _recipe(algorithm: str | None, param: list[str], path: Path | None, segments: str | None) -> dict[str, Any] | None:
    """Raises `InvalidInputError`."""
    from app.errors import InvalidInputError
    from app.training.recipe import parse_recipe, recipe_of_segments, with_rating

    if segments is not None:
        if path is not None or algorithm is not None or param:
            raise InvalidInputError("--segments excludes --recipe, --algorithm and --param", field="segments")
        return recipe_of_segments(segments.split(",")).document
    if path is not None:
        if algorithm is not None or param:
            raise InvalidInputError("--recipe excludes --algorithm and --param", field="recipe")
        try:
            return parse_recipe(json.loads(path.read_bytes())).document
        except (OSError, ValueError, RecursionError) as error:
            raise InvalidInputError(f"{path} is not a recipe in JSON: {error}", field="recipe") from error
    if algorithm is None:
        if param:
            raise InvalidInputError("--param needs --algorithm", field="param")
        return None
    values = {name: value for name, _, value in (text.partition("=") for text in param)}
    return with_rating(algorithm, values).document


def _with_engine(document: dict[str, Any] | None, engine: str) -> dict[str, Any]:
    """Raises `InvalidInputError`."""
    from app.errors import InvalidInputError
    from app.training.engines import LOCAL, SPARK
    from app.training.recipe import parse_recipe, with_engine

    if engine not in {LOCAL, SPARK}:
        raise InvalidInputError(f"--engine is {LOCAL} or {SPARK}", field="engine")
    return with_engine(parse_recipe(document), SPARK if engine == SPARK else LOCAL).document


def _as_json(job: "Job", snapshot: "SnapshotEntry | None", warning: "RejectionWarning | None") -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "state": job.state,
        "reason": job.reason,
        "advice": job.advice if snapshot is None else snapshot.card.get("advice"),
        "accepted": None if snapshot is None else snapshot.card.get("accepted"),
        "warning": None if warning is None else warning.reason,
        "snapshot_version": job.snapshot_version,
        "is_live": snapshot is not None and snapshot.is_live,
        "metrics": None if snapshot is None else snapshot.card["metrics"],
    }


def _lines(job: "Job", snapshot: "SnapshotEntry | None", warning: "RejectionWarning | None") -> list[str]:
    if snapshot is None:
        outcome = f"{job.state}: {job.reason}"
        if warning is not None:
            return [outcome, *warning.lines]
        return [outcome, *([f"what to do: {job.advice}"] if job.advice else [])]
    lines = [f"snapshot {snapshot.version} is {'live' if snapshot.is_live else 'published; another is pinned'}"]
    lines += fallback_lines(snapshot) + accepted_lines(snapshot)
    lines.append(f"values       {snapshot.card['rating_scale']}")
    for name, metrics in snapshot.card["metrics"].items():
        shown = ", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items() if value is not None)
        lines.append(f"{name:<12} {shown or 'not measured'}")
    weights = ", ".join(f"{segment['name']} {segment['weight']:.3g}" for segment in snapshot.card["segments"])
    lines.append(f"weights      {weights}")
    choices: list[str] = snapshot.card.get("choices", [])
    return lines + choices
