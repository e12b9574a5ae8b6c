"""The command line: one file for each command or group of commands.

Commands import what they need when they run, so that `--help` is instant.
"""

import json
import sys

import typer

from app.cli.database import migrate, scale
from app.cli.demo import demo
from app.cli.evaluate import evaluate
from app.cli.export import export
from app.cli.import_ import import_
from app.cli.serve import serve
from app.cli.snapshots import snapshots
from app.cli.train import train
from app.cli.tune import tune
from app.cli.worker import worker
from app.errors import ReckonError

cli = typer.Typer(
    name="reckon",
    help="Reckon, a recommendation microservice: import ratings, train, serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@cli.callback()
def prepare() -> None:
    # Typer runs this before every command. It has no docstring, because Typer would show it in place of `help`.
    from app.observability.logs import configure_logs
    from app.settings import Settings

    configure_logs(Settings().log_format)


cli.command("import")(import_)
cli.command()(export)
cli.command()(demo)
cli.command()(train)
cli.command()(evaluate)
cli.command()(tune)
cli.command()(serve)
cli.command()(worker)
cli.command()(migrate)
cli.add_typer(scale, name="scale")
cli.add_typer(snapshots, name="snapshots")


def main() -> None:
    """Run a command. An expected error becomes one line on standard error and exit code 1."""
    try:
        cli()
    except ReckonError as error:
        # Programs that read the output as JSON get the error as JSON too.
        if "--json" in sys.argv:
            sys.stdout.write(json.dumps({"error": {"type": error.type, "detail": error.detail}}) + "\n")
        sys.stderr.write(f"reckon: {error.detail}\n")
        sys.exit(1)
