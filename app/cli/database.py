"""`reckon scale show|set` and `reckon migrate`: the database and its rating scale."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.store import Store

scale = typer.Typer(help="Show or set the rating scale.", no_args_is_help=True)


def migrate() -> None:
    """Create or upgrade the tables of the database, and of all tenants. Changes nothing if they are current."""
    from app.settings import Settings
    from app.store import migrate as migrate_database
    from app.tenancy.lifecycle import TenantLifecycle
    from app.wiring import open_store

    settings = Settings()
    revision = migrate_database(settings.database_url, settings.data_dir)
    store = open_store(settings)
    try:
        _record_migration(store, revision)
        # That of a tenant has a table of tenants, too, which is empty.
        for tenant in store.tenants.all():
            if tenant.state in {"active", "suspended"}:
                revision = TenantLifecycle(settings, store).migrate(tenant.name)
                own = open_store(settings.of_tenant(tenant.name))
                try:
                    _record_migration(own, revision)
                finally:
                    own.close()
    finally:
        store.close()


def _record_migration(store: "Store", revision: str | None) -> None:
    """Afterwards, because the table of the audit log may be new. `revision`: None where nothing was changed."""
    from app.store.audit import COMMAND_LINE

    if revision is not None:
        store.audit.record(COMMAND_LINE, "database.migrate", revision)


@scale.command()
def show() -> None:
    """Print what values are: MIN:MAX[:STEP] of stars, or binary, pairs or amounts."""
    from app.settings import Settings
    from app.wiring import open_store

    typer.echo(str(open_store(Settings()).instance.scale()))


@scale.command("set")
def set_(
    scale: str = typer.Argument(
        metavar="MIN:MAX[:STEP]|binary|pairs|amounts", help="For example 1:5, 0.5:5:0.5, or amounts"
    ),
) -> None:
    """Set what values are. Fails if a stored value lies outside; stored values are never changed.

    Stars are grades from MIN to MAX, binary ones are 0 and 1. Pairs are interactions without a value, stored as 1.
    Amounts are plays, seconds, money spent: any number from 0. Pairs and amounts have no predicted ratings.
    """
    from app.entities import RatingScale
    from app.settings import Settings
    from app.wiring import open_store

    wanted = RatingScale.parse(scale)
    store = open_store(Settings())
    try:
        with store.audit.command("scale.set", str(wanted)):
            store.instance.set_scale(wanted)
    finally:
        store.close()
