"""`reckon backup` and `reckon restore`: copies of the database, made and put back while services run."""

from pathlib import Path

import typer

NOT_TAKEN_OVER = (
    "{missing}, so it is not known which users were erased and which keys were revoked since the backup. They are back:"
    " delete the users again, and look at `reckon keys list` for keys to revoke"
)


def backup(file: Path = typer.Argument(metavar="FILE", help="A new file")) -> None:
    """Copy the database to FILE while services run. Snapshots are not part of it: training makes new ones.

    For Postgres this runs `pg_dump`, which must be installed here.
    """
    from app.settings import Settings
    from app.store.backup import backup as back_up

    settings = Settings()
    back_up(settings.database_url, settings.data_dir, file)
    typer.echo(f"{file} holds the database")


def restore(
    file: Path | None = typer.Argument(None, metavar="[FILE]", help="Made by `reckon backup`"),
    in_place: bool = typer.Option(
        False, "--in-place", help="The database was put back by other means, such as pg_restore: take it as it is"
    ),
) -> None:
    """Put a backup in the place of the database. Running services drop all they remember and go on from the backup.

    For Postgres this runs `pg_restore`, which must be installed here.
    """
    from app.errors import InvalidInputError
    from app.settings import Settings
    from app.store.backup import adopt
    from app.store.backup import restore as put_back
    from app.wiring import open_store

    if (file is None) is not in_place:
        raise InvalidInputError("name either a FILE or --in-place", field="file")
    settings = Settings()
    missing: str | None = "the database before was replaced by other means"
    if file is not None:
        missing = put_back(settings.database_url, settings.data_dir, file)
    # Into the log of the restored database, since that of the one before is gone.
    store = open_store(settings)
    try:
        with store.audit.command("database.restore", "in place" if file is None else file.name):
            if file is None:
                adopt(store.database)
    finally:
        store.close()
    typer.echo("the database is restored; running services load it anew")
    if missing is not None:
        typer.echo(f"WARNING: {NOT_TAKEN_OVER.format(missing=missing)}", err=True)
