"""Texts of items and users in Unicode normal form C, and titles folded without accents for search."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

# The folded form is that of this release: one that folds otherwise folds all titles again.
from app.texts import folded, nfc

revision = "0010"
down_revision = "0009"

ROWS = 5_000

items = sa.table(
    "items",
    *map(sa.column, ("item_key", "version", "title", "title_folded", "description")),
    sa.column("categories", sa.JSON),
    sa.column("attributes", sa.JSON),
)
users = sa.table("users", *map(sa.column, ("user_key", "profile_version", "country")), sa.column("attributes", sa.JSON))
counters = sa.table("counters", sa.column("name"), sa.column("value"))


def upgrade() -> None:
    connection = op.get_bind()
    # Running processes read the changed items again.
    grown = sa.update(counters).where(counters.c.name == "catalogue").values(value=counters.c.value + 1)
    version = connection.execute(grown.returning(counters.c.value)).scalar_one()
    _normalise(connection, items, "item_key", _of_item, lambda _row: {"version": version})
    _normalise(connection, users, "user_key", _of_user, lambda row: {"profile_version": row.profile_version + 1})


def _normalise(
    connection: sa.Connection,
    table: sa.TableClause,
    key: str,
    normal: Callable[[Any], dict[str, Any]],
    mark: Callable[[Any], dict[str, Any]],
) -> None:
    """Write the `normal` values of each row that has others, and what `mark` gives for it."""
    after = 0
    page = sa.select(table).order_by(table.c[key]).limit(ROWS)
    while rows := connection.execute(page.where(table.c[key] > after)).all():
        for row in rows:
            changed = {name: value for name, value in normal(row).items() if value != getattr(row, name)}
            if changed:
                statement = sa.update(table).where(table.c[key] == getattr(row, key))
                connection.execute(statement.values(**changed, **mark(row)))
        after = getattr(rows[-1], key)


def _of_item(row: Any) -> dict[str, Any]:
    title = _normal_text(row.title)
    return {
        "title": title,
        "title_folded": None if title is None else folded(title),
        "description": _normal_text(row.description),
        # A category in two forms is one.
        "categories": list(dict.fromkeys(map(nfc, row.categories))),
        "attributes": _normal_attributes(row.attributes),
    }


def _of_user(row: Any) -> dict[str, Any]:
    return {"country": _normal_text(row.country), "attributes": _normal_attributes(row.attributes)}


def _normal_text(text: str | None) -> str | None:
    return None if text is None else nfc(text)


def _normal_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    # Of a name in two forms, the value of the normal one stays.
    names = sorted(attributes, key=lambda name: nfc(name) == name)
    normal = {nfc(name): _normal_value(attributes[name]) for name in names}
    return {nfc(name): normal[nfc(name)] for name in attributes}


def _normal_value(value: Any) -> Any:
    if isinstance(value, list):
        return [nfc(text) for text in value]
    return nfc(value) if isinstance(value, str) else value
