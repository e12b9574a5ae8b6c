"""`reckon quarantine list|release`: users whom training leaves out, because they were made to push an item."""

import json

import typer

quarantine = typer.Typer(
    help="List users whom training leaves out as made to push an item, or release one.", no_args_is_help=True
)


@quarantine.command("list")
def list_(
    limit: int = typer.Option(1000, min=1, help="How many to show at most"),
    as_json: bool = typer.Option(False, "--json", help="Print the users as JSON"),
) -> None:
    """List the users that the last run left out, and those that were released, those found last first."""
    from app.settings import Settings
    from app.wiring import open_store

    store = open_store(Settings())
    try:
        found = store.quarantine.entries(limit)
    finally:
        store.close()
    if as_json:
        names = ("user_id", "item_id", "found_at", "released_at")
        rows = [(each.user_id, each.item_id, each.found_at.isoformat(), each.released_at) for each in found]
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=str))
        return
    for each in found:
        state = "" if each.released_at is None else f"  released {each.released_at:%Y-%m-%d %H:%M}"
        typer.echo(f"{each.user_id}  pushes {each.item_id or 'a deleted item'}  {each.found_at:%Y-%m-%d %H:%M}{state}")
    if not found:
        typer.echo("no user is in quarantine")


@quarantine.command()
def release(user_id: str = typer.Argument(metavar="USER", help="A user from the list")) -> None:
    """Let training learn from the user again, from the next run on."""
    from app.settings import Settings
    from app.wiring import open_store

    store = open_store(Settings())
    try:
        # The audit log outlives the erasure of a user, so it must not name one.
        with store.audit.command("quarantine.release", "a user"):
            store.quarantine.release(user_id)
    finally:
        store.close()
    typer.echo(f"{user_id} is released: the next run learns from this user again")
