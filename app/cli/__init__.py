"""The command line: one file for each command or group of commands.

Commands import what they need when they run, so that `--help` is instant.
"""

import json
import os
import sys

import typer

from app import __version__
from app.cli.algorithms import algorithms
from app.cli.audit import audit
from app.cli.catalogue import event_types, items, users
from app.cli.consume import consume
from app.cli.database import migrate, scale
from app.cli.demo import demo
from app.cli.doctor import doctor
from app.cli.erasures import erasures
from app.cli.evaluate import evaluate
from app.cli.export import export
from app.cli.import_ import import_
from app.cli.keys import keys
from app.cli.openapi import openapi
from app.cli.quarantine import quarantine
from app.cli.restore import backup, restore
from app.cli.serve import serve
from app.cli.snapshots import snapshots
from app.cli.tenants import tenants
from app.cli.train import train
from app.cli.tune import tune
from app.cli.worker import worker
from app.errors import InvalidInputError, ReckonError

cli = typer.Typer(
    name="reckon",
    help="Reckon, a recommendation microservice: import ratings, train, serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"reckon {__version__}")
        raise typer.Exit


OF_THE_DEPLOYMENT = frozenset({"serve", "worker", "demo", "tenants"})
"""Commands for the main catalogue and all tenants together."""


@cli.callback()
def prepare(
    context: typer.Context,
    version: bool = typer.Option(  # noqa: ARG001  its callback answers
        False, "--version", callback=show_version, is_eager=True, help="Print the version and exit"
    ),
    tenant: str | None = typer.Option(
        None, metavar="NAME", help="Work on the catalogue of this tenant; default: RECKON_TENANT"
    ),
) -> None:
    # Typer runs this before every command. It has no docstring, because Typer would show it in place of `help`.
    from pydantic import ValidationError

    from app.observability.logs import configure_logs
    from app.observability.traces import configure_traces
    from app.settings import Settings

    if tenant is not None:
        # The settings are the one place that tells which catalogue a command works on.
        os.environ["RECKON_TENANT"] = tenant
    try:
        settings = Settings()
    except ValidationError as error:
        problems = [f"RECKON_{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]
        raise InvalidInputError("; ".join(problems)) from None
    configure_logs(settings.log_format)
    configure_traces()
    if settings.tenant:
        _check_tenant(settings.tenant, str(context.invoked_subcommand))


def _check_tenant(name: str, command: str) -> None:
    """Raise `ReckonError` unless there is such a tenant: a command must not make a database by a slip of the pen."""
    from app.settings import Settings
    from app.wiring import open_store

    if command in OF_THE_DEPLOYMENT:
        raise InvalidInputError(f"`reckon {command}` concerns all tenants: leave out --tenant and RECKON_TENANT")
    store = open_store(Settings(tenant=""))
    try:
        store.tenants.get(name)
    finally:
        store.close()


cli.command("import")(import_)
cli.command()(export)
cli.command()(demo)
cli.command()(train)
cli.command()(evaluate)
cli.command()(tune)
cli.command()(algorithms)
cli.command()(serve)
cli.command()(worker)
cli.command()(consume)
cli.command("event-types")(event_types)
cli.command()(migrate)
cli.command()(openapi)
cli.command()(backup)
cli.command()(restore)
cli.command()(audit)
cli.command()(doctor)
cli.add_typer(items, name="items")
cli.add_typer(users, name="users")
cli.add_typer(erasures, name="erasures")
cli.add_typer(scale, name="scale")
cli.add_typer(keys, name="keys")
cli.add_typer(tenants, name="tenants")
cli.add_typer(quarantine, name="quarantine")
cli.add_typer(snapshots, name="snapshots")


def main() -> None:
    """Run a command. An expected error or an unusable path is one line on standard error, and exit code 1."""
    os.umask(0o077)  # databases, snapshots, exports and backups hold data of users; child processes inherit it
    try:
        cli()
    except ReckonError as error:
        # Programs that read the output as JSON get the error as JSON too.
        if "--json" in sys.argv:
            sys.stdout.write(json.dumps({"error": {"type": error.type, "detail": error.detail}}) + "\n")
        sys.stderr.write(f"reckon: {error.detail}\n")
        sys.exit(1)
    except OSError as error:
        # A path that cannot be read or written is for the user to repair. An error without a path is a defect.
        if error.filename is None:
            raise
        sys.stderr.write(f"reckon: {error.filename}: {error.strerror}\n")
        sys.exit(1)
