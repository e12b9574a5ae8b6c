"""`reckon erasures list|verify`: erasures of users, and the check of a receipt."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.store import Erasure

MAX_RECEIPT_BYTES = 1 << 20

erasures = typer.Typer(help="List erasures of users, or verify a receipt.", no_args_is_help=True)


@erasures.command("list")
def list_(
    limit: int = typer.Option(100, min=1, help="How many of the newest to show"),
    as_json: bool = typer.Option(False, "--json", help="Print the receipts as JSON"),
) -> None:
    """List the newest erasures, newest first."""
    from app.erasure.receipt import receipt_of
    from app.settings import Settings
    from app.wiring import open_store

    store = open_store(Settings())
    try:
        found = store.erasures.latest(limit)
        instance = store.instance
        if as_json:
            receipts = [receipt_of(each, instance.database_id, instance.token_key) for each in found]
            typer.echo(json.dumps(receipts))
        else:
            typer.echo("\n".join(map(_line, found)) or "no user was erased")
    finally:
        store.close()


@erasures.command()
def verify(
    file: Path = typer.Argument(metavar="FILE", help="A receipt: the answer of GET /erasures/{erasure_id}"),
    user_id: str | None = typer.Option(None, help="Also check that the receipt is of this user"),
) -> None:
    """Check that a receipt was signed by this database and not changed since. Exit code 1 if it was not."""
    from app.erasure.receipt import is_genuine, is_of
    from app.errors import InvalidInputError
    from app.settings import Settings
    from app.wiring import open_store

    with file.open("rb") as opened:
        content = opened.read(MAX_RECEIPT_BYTES)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("erasure_id"), str):
        raise InvalidInputError(f"{file} is not a receipt", field="file")
    store = open_store(Settings())
    try:
        key = store.instance.token_key
    finally:
        store.close()
    if not is_genuine(document, key):
        raise InvalidInputError(f"{file} was not signed by this database, or was changed since", field="file")
    if user_id is not None and not is_of(document, user_id):
        raise InvalidInputError(f"{file} is the receipt of another user", field="user_id")
    typer.echo(f"genuine: erasure {document['erasure_id']}, completed {document['completed_at']}")


def _line(erasure: "Erasure") -> str:
    if erasure.completed_at is None:
        state = f"pending, due {erasure.due_at:%Y-%m-%d %H:%M}"
    else:
        state = f"completed {erasure.completed_at:%Y-%m-%d %H:%M}"
    return f"{erasure.erasure_id}  {erasure.requested_at:%Y-%m-%d %H:%M}  {state}"
