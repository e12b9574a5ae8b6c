"""Items: the columns that `app.entities.Item` declares, as JSON."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, StrictStr, create_model
from pydantic_core import PydanticCustomError

from app.api.schemas.body import Body
from app.api.types import TEXT_PATTERN, Attributes, Category, Finite, Id, Moment, clean_text
from app.entities import (
    BARE_ITEM,
    ITEM_FIELDS,
    MAX_URL_LENGTH,
    URL_PATTERN,
    Item,
    ItemField,
    ItemFieldKind,
    clean_url,
)
from app.errors import InvalidInputError


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

_OUTPUT_TYPES: dict[ItemFieldKind, Any] = {
    "text": str,
    "url": str,
    "id": str,
    "texts": list[str],
    "integer": int,
    "number": float,
    "flag": bool,
    "time": datetime,
    "attributes": dict[str, Any],
}


def _text_type(declared: ItemField) -> Any:
    # An empty text is refused, because a CSV file cannot tell it from a missing one.
    lengths = Field(min_length=1, max_length=declared.max_length, json_schema_extra={"pattern": TEXT_PATTERN})
    return Annotated[StrictStr, lengths, AfterValidator(clean_text)]


# The types of a body. They are strict, so a number or flag in quotes is refused.
_INPUT_TYPES: dict[ItemFieldKind, Callable[[ItemField], Any]] = {
    "text": _text_type,
    "url": lambda _declared: Url,
    "id": lambda _declared: Id,
    "texts": lambda declared: Annotated[list[Category], Field(max_length=declared.max_length)],
    "integer": lambda declared: Annotated[int, Field(strict=True, ge=declared.minimum, le=declared.maximum)],
    "number": lambda declared: Annotated[Finite, Field(ge=declared.minimum, le=declared.maximum)],
    "flag": lambda _declared: Annotated[bool, Field(strict=True)],
    "time": lambda _declared: Moment,
    "attributes": lambda _declared: Attributes,
}


def _input(name: str, declared: ItemField) -> tuple[Any, Any]:
    """Return the type and the properties of a field of a body; a missing field has the value of a bare item."""
    kind, default = _INPUT_TYPES[declared.kind](declared), getattr(BARE_ITEM, name)
    described: dict[str, Any] = {"description": declared.description}
    if declared.example is not None:
        described["examples"] = [declared.example]
    # The default of a list or object is a factory, which does not appear in the OpenAPI document.
    if isinstance(default, tuple | dict):
        return kind, Field(default_factory=list if isinstance(default, tuple) else dict, **described)
    return kind | None if default is None else kind, Field(default, **described)


def _output(name: str, declared: ItemField) -> tuple[Any, Any]:
    kind = _OUTPUT_TYPES[declared.kind]
    return kind | None if getattr(BARE_ITEM, name) is None else kind, Field(description=declared.description)


_INPUTS: dict[str, Any] = {name: _input(name, declared) for name, declared in ITEM_FIELDS.items()}
_OUTPUTS: dict[str, Any] = {name: _output(name, declared) for name, declared in ITEM_FIELDS.items()}
_InputFields = create_model("_InputFields", __base__=Body, **_INPUTS)
_OutputFields = create_model("_OutputFields", item_id=(str, Field(examples=["260"])), **_OUTPUTS)


class ItemIn(_InputFields):
    def to_entity(self, item_id: str) -> Item:
        values = {name: getattr(self, name) for name in ITEM_FIELDS}
        for name, declared in ITEM_FIELDS.items():
            # A category that is given twice is stored once, at its first place.
            if declared.kind == "texts":
                values[name] = tuple(dict.fromkeys(values[name]))
        return Item(item_id, **values)


class ItemOut(_OutputFields):
    @classmethod
    def from_item(cls, item: Item) -> Self:
        return cls.model_validate(item, from_attributes=True)


class ItemsPage(BaseModel):
    items: list[ItemOut]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last")
