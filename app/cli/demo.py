"""`reckon demo`: from nothing to a recommender that answers, in one go; a second start reuses everything."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import typer

VISITOR = "you"
COMPLETE = "ready"
"""An empty file in a data folder whose ratings are imported and learned."""


def demo(
    data: Path | None = typer.Argument(None, help="Any file or folder that `reckon import` takes; without: MovieLens"),
    var: Path = typer.Option(Path("var"), help="Where the demo keeps its data, one folder a data set"),
) -> None:
    """Load real ratings, learn from them, and serve. Ctrl-C stops all of it; the next start is instant."""
    from app.cli.serve import address_of, bind, run_service
    from app.settings import Settings

    started = time.perf_counter()
    data_dir = prepare(data, var)
    settings = Settings()
    listener = bind(settings.host, settings.port, insecure=False)
    os.environ["RECKON_DATA_DIR"] = str(data_dir)
    os.environ["RECKON_DATABASE_URL"] = ""  # the demo never touches a database of yours
    with listener:
        run_service(
            listener,
            processes=1,
            worker=True,
            announce=lambda: show(address_of(listener), time.perf_counter() - started),
        )


def prepare(data: Path | None, var: Path) -> Path:
    """The folder of a database with ratings and a live snapshot; made when it is not there or was interrupted."""
    if data is not None:
        return load(data, var / f"demo-{data.resolve().stem}")
    for made in (var / "demo-movielens", var / "demo-generated"):
        if is_complete(made):
            return made
    source = fetch(var)
    if source is not None:
        return load(source, var / "demo-movielens")
    typer.echo("Once the network is there, remove var/demo-generated and start again to have real films.")
    return load(generate(var / "demo-generated"), var / "demo-generated")


def is_complete(data_dir: Path) -> bool:
    return (data_dir / COMPLETE).exists()


def load(source: Path, data_dir: Path) -> Path:
    """Migrate, import and train, unless all of that was done before."""
    if not is_complete(data_dir):
        for command in (["migrate"], ["import", str(source)], ["train"]):
            run(command, data_dir)
        (data_dir / COMPLETE).touch()
    return data_dir


def fetch(var: Path) -> Path | None:
    """MovieLens from its publisher, kept for next time; None, and said so, where it cannot be had."""
    from app.cli.terminal import shown_progress
    from app.errors import UnavailableError
    from app.intake.movielens_download import download_movielens

    try:
        with shown_progress() as progress:
            return download_movielens(var / "downloads", progress)
    except UnavailableError as error:
        typer.echo(f"MovieLens is out of reach ({error.detail}): a built-in, made-up catalogue takes its place.")
        return None


def generate(data_dir: Path) -> Path:
    from app.intake.generated import write_catalogue

    return write_catalogue(data_dir / "generated")


def run(command: list[str], data_dir: Path) -> None:
    """A `reckon` command as its own process, on the demo's database."""
    environment = os.environ | {"RECKON_DATA_DIR": str(data_dir), "RECKON_DATABASE_URL": ""}
    finished = subprocess.run([sys.executable, "-m", "app.cli", *command], env=environment, check=False)  # noqa: S603  our own commands
    if finished.returncode:
        raise typer.Exit(finished.returncode)


def show(address: str, seconds: float) -> None:
    """Three lines to try: recommend, rate what came first, recommend again."""
    path = f"{address}/users/{VISITOR}/recommendations"
    with urllib.request.urlopen(f"{path}?limit=3", timeout=10) as answer:  # noqa: S310  our own address
        items = json.load(answer)["items"]
    typer.echo(f"\nReckon answers at {address} after {seconds:.1f} s. Documentation: {address}/docs\n\nTry:\n")
    typer.echo(f"  curl '{path}?limit=5'")
    if items:
        rating = json.dumps({"user_id": VISITOR, "item_id": items[0]["item_id"], "value": liked_value()})
        typer.echo(f"  curl -X POST {address}/ratings -H 'content-type: application/json' -d '{rating}'")
        typer.echo(f"  curl '{path}?limit=5'   # the list changed")
    typer.echo("\nCtrl-C stops it.")


def liked_value() -> float:
    from app.settings import Settings
    from app.wiring import open_store

    store = open_store(Settings())
    try:
        return store.instance.scale().maximum
    finally:
        store.close()
