"""`reckon demo`: downloads ratings, trains on them and serves. A second start reuses the data and the snapshot."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError

import typer

VISITOR = "you"
COMPLETE = "ready"
"""The name of an empty file that marks a data folder with imported ratings and a live snapshot."""

KEY_LENGTH = 12
_BUFFER_BYTES = 1 << 20


def demo(
    data: Path | None = typer.Argument(
        None, help="A file or folder in any layout that `reckon import` reads; default: MovieLens"
    ),
    var: Path = typer.Option(Path("var"), help="Folder for the data of the demo, with a subfolder for each data set"),
) -> None:
    """Load real ratings, train on them, and serve. Ctrl-C stops all processes; the next start is instant."""
    from app.cli.serve import address_of, bind, is_loopback, run_service
    from app.errors import ConflictError
    from app.settings import Settings

    started = time.perf_counter()
    settings = Settings()
    if not is_loopback(settings.host):
        raise ConflictError(
            f"other machines can reach {settings.host}, and the demo is for this one: unset RECKON_HOST"
        )
    # A port that is taken is noticed before anything is downloaded or trained.
    with bind(settings.host, settings.port) as listener:
        data_dir = prepare(data, var)
        os.environ["RECKON_DATA_DIR"] = str(data_dir)
        # The demo must not write to the database that the environment names.
        os.environ["RECKON_DATABASE_URL"] = ""
        run_service(
            listener,
            processes=1,
            worker=True,
            needs_keys=settings.require_keys,
            announce=lambda: show(address_of(listener), time.perf_counter() - started),
        )


def prepare(data: Path | None, var: Path) -> Path:
    """Return the folder of a database with ratings and a live snapshot, and make it if it is missing or incomplete."""
    if data is not None:
        return load(data, var / f"demo-{data.resolve().stem}-{key_of(data, var)}")
    movielens, generated = var / "demo-movielens", var / "demo-generated"
    if is_complete(movielens):
        return movielens
    # A generated catalogue of an earlier start is preferred to a new download, so that a second start is instant.
    source = None if is_complete(generated) else fetch(var)
    if source is not None:
        return load(source, movielens)
    load(generated if is_complete(generated) else generate(generated), generated)
    typer.echo(
        f"These are generated films. For real ones, run `rm -r {shlex.quote(str(generated))}` and start again "
        "with network access."
    )
    return generated


def key_of(data: Path, var: Path) -> str:
    """Return a key of the whole path of `data` and of the content of its files: other data have another key.

    `var`: a folder that is left out if it lies in `data`. Raises `InvalidInputError` if there is nothing at `data`.
    """
    from app.errors import InvalidInputError

    path = data.resolve()
    if not path.exists():
        raise InvalidInputError(f"there is no file or folder {data}")
    digest = hashlib.sha256(os.fsencode(path))
    for file in [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file()):
        if file.is_relative_to(var.resolve()):
            continue
        # The size separates the content of one file from the name of the next.
        digest.update(b"\0%b\0%d\0" % (os.fsencode(file.relative_to(path)), file.stat().st_size))
        with file.open("rb") as stream:
            while part := stream.read(_BUFFER_BYTES):
                digest.update(part)
    return digest.hexdigest()[:KEY_LENGTH]


def is_complete(data_dir: Path) -> bool:
    return (data_dir / COMPLETE).exists()


def load(source: Path, data_dir: Path) -> Path:
    """Migrate, import and train, unless the folder is complete."""
    if not is_complete(data_dir):
        for command in (["migrate"], ["import", str(source)], ["train"]):
            run(command, data_dir)
        # Only now: the steps of an interrupted start are run again, and change nothing that is done already.
        (data_dir / COMPLETE).touch()
    return data_dir


def fetch(var: Path) -> Path | None:
    """Download MovieLens and return the file, which is kept for the next start.

    Prints a message and returns None if the download fails.
    """
    from app.cli.terminal import shown_progress
    from app.errors import UnavailableError
    from app.intake.movielens_download import download_movielens

    try:
        with shown_progress() as progress:
            return download_movielens(var / "downloads", progress)
    except UnavailableError as error:
        typer.echo(f"MovieLens cannot be downloaded ({error.detail}). The demo uses a generated catalogue.")
        return None


def generate(data_dir: Path) -> Path:
    from app.intake.generated import write_catalogue

    return write_catalogue(data_dir / "generated")


def run(command: list[str], data_dir: Path) -> None:
    """Run a `reckon` command in a separate process on the database of the demo."""
    environment = os.environ | {"RECKON_DATA_DIR": str(data_dir), "RECKON_DATABASE_URL": ""}
    finished = subprocess.run([sys.executable, "-m", "app.cli", *command], env=environment, check=False)  # noqa: S603  our own commands
    if finished.returncode:
        raise typer.Exit(finished.returncode)


def show(address: str, seconds: float) -> None:
    """Print three commands to try: recommend, rate the first item, recommend again."""
    from app.cli.local_http import get

    path = f"{address}/users/{VISITOR}/recommendations"
    typer.echo(f"\nReckon answers at {address} after {seconds:.1f} s. Try it in a browser: {address}/console/try")
    typer.echo(f"What it does now: {address}/   Documentation of the API: {address}/docs\n")
    try:
        with get(f"{path}?limit=3", timeout_seconds=10) as answer:
            items = json.load(answer)["items"]
    except HTTPError as error:
        if error.code != HTTPStatus.UNAUTHORIZED:
            raise
        typer.echo(
            f"It has API keys. Try: curl -H 'Authorization: Bearer KEY' '{path}?limit=5'\n\nPress Ctrl-C to stop."
        )
        return
    typer.echo("It is open: there is no API key, so every request from this machine is allowed.\n\nIn a terminal:\n")
    typer.echo(f"  curl '{path}?limit=5'")
    if items:
        rating = json.dumps({"user_id": VISITOR, "item_id": items[0]["item_id"], "value": liked_value()})
        typer.echo(f"  curl -X POST {address}/ratings -H 'content-type: application/json' -d {shlex.quote(rating)}")
        typer.echo(f"  curl '{path}?limit=5'   # the list changed")
    typer.echo("\nPress Ctrl-C to stop.")


def liked_value() -> float:
    from app.settings import Settings
    from app.wiring import open_store

    store = open_store(Settings())
    try:
        scale = store.instance.scale()
        return scale.maximum if scale.is_graded else 1.0
    finally:
        store.close()
