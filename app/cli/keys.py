"""`reckon keys create|list|revoke|roll`: the keys of the API."""

import json
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from app.auth.keys import ApiKey

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")

keys = typer.Typer(help="Create, list, revoke or roll the keys of the API.", no_args_is_help=True)


@keys.command()
def create(
    scope: list[str] = typer.Option(
        [],
        help="What the key allows, once for each: recommendations:read, ratings:write, catalogue:write, training, "
        "console, admin",
    ),
    note: str = typer.Option("", help="Whose key it is, and what for"),
    expires: str | None = typer.Option(None, metavar="DURATION", help="For example 90d or 12h; default: never"),
    limit: str | None = typer.Option(None, help="Requests allowed, for example 100/second; default: no limit"),
    tenant: str | None = typer.Option(
        None,
        metavar="NAME",
        envvar="RECKON_TENANT",
        help="The tenant that the key selects; default: the main catalogue",
    ),
    origin: list[str] = typer.Option(
        [], help="Make a browser key for the pages of this origin, such as https://shop.example.com; may be repeated"
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the key and what is stored of it as JSON"),
) -> None:
    """Create a key and print it, this once. Once a key exists, every request needs one.

    A browser key is public. It needs a user token with each request, and its limit holds for each user.
    """
    from app.auth.keys import new_key
    from app.settings import Settings
    from app.wiring import open_store

    lifetime = None if expires is None else duration(expires, "expires")
    store = open_store(Settings(tenant=""))
    try:
        text, key = new_key(
            scopes=scope,
            created_at=store.api_keys.now(),
            note=note,
            origins=origin,
            rate_limit=limit,
            lifetime=lifetime,
            tenant=tenant or None,
        )
        if tenant:
            store.tenants.get(tenant)
        with store.audit.command("keys.create", key.key_id):
            store.api_keys.add(key)
    finally:
        store.close()
    _show_new(text, key, as_json=as_json)


@keys.command("list")
def list_(as_json: bool = typer.Option(False, "--json", help="Print the keys as JSON")) -> None:
    """List all keys, with those that are not valid any more. The keys themselves are not stored."""
    from app.cli.terminal import table_console
    from app.settings import Settings
    from app.wiring import open_store

    store = open_store(Settings(tenant=""))
    try:
        found, now = store.api_keys.read().keys, store.api_keys.now()
    finally:
        store.close()
    if as_json:
        typer.echo(json.dumps([as_document(key, now) for key in found]))
        return
    if not found:
        typer.echo("there are no keys: run `reckon keys create`")
        return
    from rich.table import Table

    table = Table("id", "state", "tenant", "scopes", "limit", "last used", "expires", "note", box=None)
    for key in found:
        scopes = ", ".join(key.scopes) + "".join(f"\n{origin}" for origin in key.origins)
        times = [_shown(key.last_used_at), _shown(key.expires_at)]
        table.add_row(key.key_id, state_of(key, now), key.tenant or "", scopes, key.rate_limit or "", *times, key.note)
    table_console().print(table)


@keys.command()
def revoke(key: str = typer.Argument(metavar="KEY", help="The id of a key, or the key itself")) -> None:
    """End a key. Every process refuses it within 5 seconds."""
    from app.settings import Settings
    from app.wiring import open_store

    key_id = id_from(key)
    store = open_store(Settings(tenant=""))
    try:
        with store.audit.command("keys.revoke", key_id):
            revoked = store.api_keys.revoke(key_id)
    finally:
        store.close()
    typer.echo(f"the key {revoked.key_id} is revoked")


@keys.command()
def roll(
    key: str = typer.Argument(metavar="KEY", help="The id of a key, or the key itself"),
    overlap: str = typer.Option("24h", metavar="DURATION", help="How long the old key stays valid"),
    as_json: bool = typer.Option(False, "--json", help="Print the new key and what is stored of it as JSON"),
) -> None:
    """Replace a key: print a new one that allows the same, and let the old one expire after the overlap."""
    from app.auth.keys import KEY_ID, digest_of, new_text
    from app.settings import Settings
    from app.wiring import open_store

    key_id, kept_for = id_from(key), duration(overlap, "overlap")
    store = open_store(Settings(tenant=""))
    try:
        text = new_text(store.api_keys.get(key_id).kind)
        with store.audit.command("keys.roll", f"{key_id} to {text[KEY_ID]}"):
            new, old = store.api_keys.roll(key_id, text[KEY_ID], digest_of(text), kept_for)
    finally:
        store.close()
    _show_new(text, new, as_json=as_json)
    if not as_json:
        typer.echo(f"The old key {old.key_id} is valid until {_shown(old.expires_at)}.")


def id_from(text: str) -> str:
    """Return the id of a key, given as it is or in the whole key. Raises `InvalidInputError`."""
    from app.auth.keys import id_of
    from app.errors import InvalidInputError

    if re.fullmatch("[0-9a-f]{12}", text):
        return text
    key_id = id_of(text)
    if key_id is None:
        # The text may be most of a secret, so the message does not repeat it.
        raise InvalidInputError("this is neither the id of a key nor a whole key", field="key")
    return key_id


def duration(text: str, field: str) -> timedelta:
    """Return the time of a text such as `90d`, `12h`, `30m` or `45s`. Raises `InvalidInputError`."""
    from app.errors import InvalidInputError

    found = DURATION.fullmatch(text)
    if found is None:
        raise InvalidInputError(f"{text!r} is no duration, such as 90d, 12h, 30m or 45s", field=field)
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def state_of(key: "ApiKey", now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return key.kind if key.is_valid(now) else "expired"


def as_document(key: "ApiKey", now: datetime) -> dict[str, Any]:
    """What is stored of a key, without its digest."""
    return {
        "key_id": key.key_id,
        "kind": key.kind,
        "scopes": key.scopes,
        "origins": key.origins,
        "note": key.note,
        "rate_limit": key.rate_limit,
        "tenant": key.tenant,
        "is_valid": key.is_valid(now),
        **{
            name: None if (moment := getattr(key, name)) is None else moment.isoformat()
            for name in ("created_at", "expires_at", "revoked_at", "last_used_at")
        },
    }


def _show_new(text: str, key: "ApiKey", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"key": text, **as_document(key, key.created_at)}))
        return
    typer.echo(text)
    # On standard error, so that a script which reads the key gets the key alone.
    typer.echo("This key is shown once. Send it as `Authorization: Bearer KEY`.", err=True)


def _shown(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
