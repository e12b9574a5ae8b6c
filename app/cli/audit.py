"""`reckon audit`: the log of administrative acts."""

import json

import typer


def audit(
    limit: int = typer.Option(100, min=1, max=100_000, help="Number of entries"),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object a line"),
) -> None:
    """List administrative acts, newest first: who did what, on which object, and what came of it."""
    from app.settings import Settings
    from app.wiring import open_store

    store = open_store(Settings())
    try:
        entries = store.audit.entries(limit)
    finally:
        store.close()
    for entry in entries:
        values = [entry.actor, entry.action, entry.target, entry.outcome]
        if as_json:
            names = ("actor", "action", "target", "outcome")
            typer.echo(json.dumps({"at": entry.at.isoformat()} | dict(zip(names, values, strict=True))))
        else:
            typer.echo("  ".join([f"{entry.at:%Y-%m-%d %H:%M:%S}", *values]))
