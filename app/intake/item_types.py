"""The types of the fields of an item as a caller gives them, for the API and for the forms of the console.

They are strict, so a number or flag in quotes is refused.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictStr
from pydantic_core import PydanticCustomError

from app.entities import ITEM_FIELDS, MAX_URL_LENGTH, URL_PATTERN, ItemField, ItemFieldKind, clean_url
from app.errors import InvalidInputError
from app.intake.value_types import (
    TEXT_PATTERN,
    Attributes,
    Category,
    Finite,
    Id,
    Integral,
    Moment,
    Normal,
    clean_text,
)


def _clean_url(text: str) -> str:
    try:
        return clean_url(text)
    except InvalidInputError as error:
        raise PydanticCustomError("url", "{reason}", {"reason": error.detail}) from None


Url = Annotated[
    StrictStr,
    AfterValidator(_clean_url),
    # Only for the schema. The validator checks the text, and its message says what is wrong with it.
    Field(json_schema_extra={"maxLength": MAX_URL_LENGTH, "pattern": URL_PATTERN}),
]


def _text_type(declared: ItemField) -> Any:
    # An empty text is refused, because a CSV file cannot tell it from a missing one.
    lengths = Field(min_length=1, max_length=declared.max_length, json_schema_extra={"pattern": TEXT_PATTERN})
    return Annotated[StrictStr, lengths, Normal, AfterValidator(clean_text)]


_TYPES: dict[ItemFieldKind, Callable[[ItemField], Any]] = {
    "text": _text_type,
    "url": lambda _declared: Url,
    "id": lambda _declared: Id,
    "texts": lambda declared: Annotated[list[Category], Field(max_length=declared.max_length)],
    "integer": lambda declared: Annotated[int, Field(strict=True, ge=declared.minimum, le=declared.maximum), Integral],
    "number": lambda declared: Annotated[Finite, Field(ge=declared.minimum, le=declared.maximum)],
    "flag": lambda _declared: Annotated[bool, Field(strict=True)],
    "time": lambda _declared: Moment,
    "attributes": lambda _declared: Attributes,
}


def input_type(declared: ItemField) -> Any:
    """The type of a field that is given; None, which clears it, is not among its values."""
    return _TYPES[declared.kind](declared)


def without_repeats(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` of fields by name, with each text of a list once, at its first place."""
    return {
        name: tuple(dict.fromkeys(value)) if ITEM_FIELDS[name].kind == "texts" else value
        for name, value in values.items()
    }
