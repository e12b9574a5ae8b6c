"""`reckon scale show|set` and `reckon migrate`: the database and its rating scale."""

import typer

scale = typer.Typer(help="Show or set the rating scale.", no_args_is_help=True)


def migrate() -> None:
    """Create or upgrade the tables of the database. Changes nothing if they are current."""
    from app.settings import Settings
    from app.store import migrate as migrate_database

    settings = Settings()
    migrate_database(settings.database_url, settings.data_dir)


@scale.command()
def show() -> None:
    """Print the rating scale, as MIN:MAX[:STEP]."""
    from app.settings import Settings
    from app.wiring import open_store

    typer.echo(str(open_store(Settings()).instance.scale()))


@scale.command("set")
def set_(scale: str = typer.Argument(metavar="MIN:MAX[:STEP]", help="For example 1:5, or 0.5:5:0.5")) -> None:
    """Set the rating scale. Fails if a stored rating lies outside; stored ratings are never rescaled."""
    from app.entities import RatingScale
    from app.settings import Settings
    from app.wiring import open_store

    open_store(Settings()).instance.set_scale(RatingScale.parse(scale))
