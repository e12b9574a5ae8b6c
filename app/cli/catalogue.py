"""`reckon items|users list|show` and `reckon event-types`: what is stored, on the command line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from app.entities import Item, User
    from app.store import Store

MAX_ROWS = 1_000

items = typer.Typer(help="List stored items, or show one.", no_args_is_help=True)
users = typer.Typer(help="List stored users, or show one.", no_args_is_help=True)

Limit = typer.Option(20, "--limit", min=1, max=MAX_ROWS, help="Number of rows")
AsJson = typer.Option(False, "--json", help="Print one JSON document a line")


@items.command("list")
def list_items(
    search: str | None = typer.Argument(None, metavar="[TITLE]", help="Part of the title; case is ignored"),
    limit: int = Limit,
    as_json: bool = AsJson,
) -> None:
    """List items, the first stored first."""
    with _opened() as store:
        page = store.items.page(search=search, limit=limit + 1)
    rows = [item for _, item in page[:limit]]
    lines = [_item_line(item) for item in rows]
    _print([_item_document(item) for item in rows], lines, as_json=as_json, nothing="there are no such items")
    _tell_of_more(len(page) > limit)


@items.command("show")
def show_item(item_id: str = typer.Argument(metavar="ID")) -> None:
    """Print an item as JSON."""
    from app.errors import NotFoundError

    with _opened() as store:
        item = store.items.get(item_id)
    if item is None:
        raise NotFoundError("item", item_id)
    typer.echo(json.dumps(_item_document(item), indent=2, ensure_ascii=False))


@users.command("list")
def list_users(
    search: str | None = typer.Argument(None, metavar="[ID]", help="Part of the id; case is ignored"),
    limit: int = Limit,
    as_json: bool = AsJson,
) -> None:
    """List users, the first stored first."""
    with _opened() as store:
        page = store.users.page(search=search, limit=limit + 1)
    rows = [user for _, user in page[:limit]]
    lines = [_user_line(user) for user in rows]
    _print([_user_document(user) for user in rows], lines, as_json=as_json, nothing="there are no such users")
    _tell_of_more(len(page) > limit)


@users.command("show")
def show_user(user_id: str = typer.Argument(metavar="ID")) -> None:
    """Print a user as JSON, with the numbers of ratings and events."""
    from app.errors import NotFoundError

    with _opened() as store:
        user = store.users.get(user_id)
        if user is None:
            raise NotFoundError("user", user_id)
        counted = store.users.count_interactions(user_id)
    typer.echo(json.dumps(_user_document(user) | counted, indent=2, ensure_ascii=False))


def event_types(as_json: bool = AsJson) -> None:
    """List the declared event types with their weights."""
    with _opened() as store:
        declared = list(store.events.types().values())
    documents = [
        {
            "name": each.name,
            "weight": each.weight,
            "is_exposure": each.is_exposure,
            "is_consumption": each.is_consumption,
        }
        for each in declared
    ]
    lines = []
    for each in declared:
        kinds = [name for name, holds in (("seen", each.is_exposure), ("consumed", each.is_consumption)) if holds]
        lines.append("\t".join([each.name, f"{each.weight:g}", ", ".join(kinds)]).rstrip())
    _print(documents, lines, as_json=as_json, nothing="there are no event types")


@contextmanager
def _opened() -> Iterator["Store"]:
    from app.settings import Settings
    from app.wiring import open_store

    store = open_store(Settings())
    try:
        yield store
    finally:
        store.close()


def _print(documents: list[dict[str, Any]], lines: list[str], *, as_json: bool, nothing: str) -> None:
    """Print lines of text or of JSON on standard output, which stays empty where there is nothing."""
    shown = [json.dumps(each, ensure_ascii=False) for each in documents] if as_json else lines
    if shown:
        typer.echo("\n".join(shown))
    else:
        typer.echo(nothing, err=True)


def _tell_of_more(has_more: bool) -> None:
    if has_more:
        typer.echo("there are more: see --limit, or `reckon export`", err=True)


def _item_line(item: "Item") -> str:
    parts = [item.item_id, item.title or "-", ", ".join(item.categories), "" if item.is_available else "hidden"]
    return "\t".join(parts).rstrip()


def _user_line(user: "User") -> str:
    attributes = ", ".join(f"{name}={value}" for name, value in user.attributes.items())
    return "\t".join([user.user_id, user.country or "", attributes]).rstrip()


def _item_document(item: "Item") -> dict[str, Any]:
    from app.api.schemas.items import ItemOut

    document: dict[str, Any] = ItemOut.from_item(item).model_dump(mode="json")
    return document


def _user_document(user: "User") -> dict[str, Any]:
    return {"user_id": user.user_id, "country": user.country, "attributes": user.attributes}
