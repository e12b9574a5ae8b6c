"""`reckon scale show|set`"""

import typer

scale = typer.Typer(help="The range that ratings lie in.", no_args_is_help=True)


@scale.command()
def show() -> None:
    """Print the rating scale, as MIN:MAX[:STEP]."""
    from app.settings import Settings
    from app.wiring import open_store

    typer.echo(str(open_store(Settings()).instance.scale()))


@scale.command("set")
def set_(scale: str = typer.Argument(metavar="MIN:MAX[:STEP]", help="For example 1:5, or 0.5:5:0.5")) -> None:
    """Declare the rating scale. Refused while a stored rating would fall outside; nothing is ever rescaled."""
    from app.entities import RatingScale
    from app.settings import Settings
    from app.wiring import open_store

    open_store(Settings()).instance.set_scale(RatingScale.parse(scale))
