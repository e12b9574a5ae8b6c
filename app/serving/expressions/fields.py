"""The fields of the items that an expression may name, and what kinds of values there are."""

from typing import Literal

from app.entities import ITEM_FIELDS, ItemFieldKind

Kind = Literal["number", "text", "set", "flag", "time"]

_KINDS: dict[ItemFieldKind, Kind] = {
    "text": "text",
    "url": "text",
    "id": "text",
    "texts": "set",
    "integer": "number",
    "number": "number",
    "flag": "flag",
    "time": "time",
}

# Attributes have names of their own: `attributes.price`, or `price` where no field is called so.
FIELDS: dict[str, Kind] = {"item_id": "text"}
FIELDS |= {
    name: _KINDS[declared.kind]
    for name, declared in ITEM_FIELDS.items()
    if declared.is_filterable and declared.kind != "attributes"
}

KIND_NAMES: dict[Kind, str] = {
    "number": "a number",
    "text": "a text",
    "set": "a set of texts",
    "flag": "true or false",
    "time": "a time",
}
