"""`reckon tenants create|list|suspend|resume|delete|export`: several isolated catalogues in one deployment."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.terminal import shown_progress

if TYPE_CHECKING:
    from app.tenancy.lifecycle import TenantLifecycle

tenants = typer.Typer(help="Create, list, suspend, resume, delete or export tenants.", no_args_is_help=True)

NAME = typer.Argument(metavar="NAME", help="Up to 40 lower-case letters, digits and underscores; first a letter")


@tenants.command()
def create(name: str = NAME) -> None:
    """Create a tenant: an empty catalogue with a database and a data folder of its own."""
    with _lifecycle() as lifecycle, lifecycle.store.audit.command("tenants.create", name):
        lifecycle.create(name)
    typer.echo(f"the tenant {name} is created; `reckon keys create --tenant {name}` makes a key that selects it")


@tenants.command("list")
def list_(as_json: bool = typer.Option(False, "--json", help="Print the tenants as JSON")) -> None:
    """List all tenants and their states."""
    with _lifecycle() as lifecycle:
        found = lifecycle.store.tenants.all()
    if as_json:
        documents = [
            {"name": each.name, "state": each.state, "created_at": each.created_at.isoformat()} for each in found
        ]
        typer.echo(json.dumps(documents))
    else:
        lines = [f"{each.name:<40}  {each.state:<9}  {each.created_at:%Y-%m-%d %H:%M} UTC" for each in found]
        typer.echo("\n".join(lines) or "there are no tenants: run `reckon tenants create`")


@tenants.command()
def suspend(name: str = NAME) -> None:
    """Refuse the keys of a tenant with 403 within 5 seconds, until it is resumed. Nothing is removed."""
    with _lifecycle() as lifecycle, lifecycle.store.audit.command("tenants.suspend", name):
        lifecycle.store.tenants.move(name, "suspended", among=["active"])
    typer.echo(f"the tenant {name} is suspended")


@tenants.command()
def resume(name: str = NAME) -> None:
    """Accept the keys of a suspended tenant again."""
    with _lifecycle() as lifecycle, lifecycle.store.audit.command("tenants.resume", name):
        lifecycle.store.tenants.move(name, "active", among=["suspended"])
    typer.echo(f"the tenant {name} is active")


@tenants.command()
def delete(
    name: str = NAME, yes: bool = typer.Option(False, "--yes", help="Do not ask for the name as confirmation")
) -> None:
    """Delete a tenant with all of its data, snapshots and keys. `reckon tenants export` keeps a copy."""
    from app.errors import InvalidInputError

    with _lifecycle() as lifecycle:
        lifecycle.store.tenants.get(name)
        if not yes and typer.prompt(f"This cannot be undone. Type {name} to delete the tenant") != name:
            raise InvalidInputError("nothing was deleted: the name was not repeated", field="name")
        with lifecycle.store.audit.command("tenants.delete", name):
            lifecycle.delete(name)
    typer.echo(f"the tenant {name} is deleted")


@tenants.command()
def export(
    name: str = NAME, folder: Path = typer.Argument(metavar="DIR", help="Folder for the files; created if missing")
) -> None:
    """Write all data of a tenant to files for `reckon import`, as `reckon --tenant NAME export DIR` does."""
    from app.intake.exporting import export_to
    from app.intake.files.table_writers import Format
    from app.wiring import open_store

    with _lifecycle() as lifecycle, lifecycle.store.audit.command("tenants.export", name):
        lifecycle.store.tenants.get(name)
        store = open_store(lifecycle.settings.of_tenant(name))
        try:
            with shown_progress(is_quiet=False) as progress:
                report = export_to(folder, store, Format.CSV, progress)
        finally:
            store.close()
    typer.echo("\n".join(f"{what:<17} {number:,}" for what, number in report.counts.items()))
    typer.echo(f"in {folder}")


@contextmanager
def _lifecycle() -> Iterator["TenantLifecycle"]:
    from app.settings import Settings
    from app.tenancy.lifecycle import TenantLifecycle
    from app.wiring import open_store

    settings = Settings()
    store = open_store(settings)
    try:
        yield TenantLifecycle(settings, store)
    finally:
        store.close()
