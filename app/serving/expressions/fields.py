"""The fields of the items that an expression may name, and what kinds of values there are."""

from typing import Literal

Kind = Literal["number", "text", "set", "flag", "time"]

FIELDS: dict[str, Kind] = {
    "item_id": "text",
    "title": "text",
    "categories": "set",
    "year": "number",
    "created_by": "text",
    "added_at": "time",
    "available_until": "time",
    "is_available": "flag",
}

KIND_NAMES: dict[Kind, str] = {
    "number": "a number",
    "text": "a text",
    "set": "a set of texts",
    "flag": "true or false",
    "time": "a time",
}
