"""Types of fields and path parameters: ids, texts, finite numbers and times."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from app.entities import MAX_ATTRIBUTES, MAX_ID_LENGTH, clean_id
from app.errors import InvalidInputError
from app.texts import nfc

MAX_TEXT = 1_000
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
# Only for the schema, which has no Unicode categories; the validators check what these patterns let through.
TEXT_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$"
ID_PATTERN = r"^(?!\.{1,2}$)[^\s/\x00-\x1f\x7f-\x9f]([^/\x00-\x1f\x7f-\x9f]*[^\s/\x00-\x1f\x7f-\x9f])?$"
# JSON readers that use doubles represent all integers up to here exactly.
MAX_WHOLE = 2**53


def _clean_id(text: str) -> str:
    try:
        return clean_id(text)
    except InvalidInputError as error:
        raise PydanticCustomError("id", "{reason}", {"reason": error.detail}) from None


def clean_text(text: str) -> str:
    # `isprintable` is fast and true for nearly all texts; only the others need the search.
    if not text.isprintable() and CONTROL.search(text):
        raise PydanticCustomError("text", "text must not contain control characters", {})
    return text


def _in_normal_form(value: object) -> object:
    return nfc(value) if isinstance(value, str) else value


def _written_time(value: object) -> object:
    # Pydantic would also accept numbers, and guess whether they are seconds or milliseconds.
    if isinstance(value, str):
        return value
    raise PydanticCustomError("time", "a time must be text in ISO 8601 with an offset", {})


def _in_utc(moment: datetime) -> datetime:
    # A time near the ends of the calendar may have no counterpart in UTC.
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("time", "a time must lie in the years 1 to 9999, also in UTC", {}) from None


Id = Annotated[
    StrictStr,
    AfterValidator(_clean_id),
    Field(
        min_length=1,
        json_schema_extra={"maxLength": MAX_ID_LENGTH, "pattern": ID_PATTERN},
        description="1 to 128 characters; no control characters, no `/`, no space at either end",
    ),
]
Normal = BeforeValidator(_in_normal_form)
"""Puts a text into Unicode normal form C before its length is checked; to stand behind the length in `Annotated`."""
Text = Annotated[
    StrictStr,
    Field(max_length=MAX_TEXT, json_schema_extra={"pattern": TEXT_PATTERN}),
    Normal,
    AfterValidator(clean_text),
]
Name = Annotated[Text, Field(min_length=1)]
"""A text that is not empty, because a CSV file cannot tell an empty text from a missing one."""
Category = Annotated[
    StrictStr,
    Field(min_length=1, max_length=100, json_schema_extra={"pattern": TEXT_PATTERN}),
    Normal,
    AfterValidator(clean_text),
]
Cursor = Annotated[
    str,
    # Only for the schema: decoding a cursor fails for any other text.
    Field(max_length=10_000, json_schema_extra={"pattern": "^[A-Za-z0-9_-]*$"}),
]
Finite = Annotated[StrictFloat, Field(allow_inf_nan=False, ge=-MAX_WHOLE, le=MAX_WHOLE)]
VALUE = (
    "On the rating scale of the service. Where values are amounts, any number from 0; where they are pairs, any number "
    "above 0, stored as 1"
)
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_written_time),
    AfterValidator(_in_utc),
    Field(description="ISO 8601 with an offset", examples=["2026-03-01T20:15:00Z"]),
]


def _as_integer(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integral = BeforeValidator(_as_integer)
"""Takes 1994.0 for the integer that it is in JSON Schema; to stand behind the bounds in `Annotated`."""
_Whole = Annotated[StrictInt, Field(ge=-MAX_WHOLE, le=MAX_WHOLE)]
_AnyAttribute = StrictBool | _Whole | Finite | Text | list[Text]
_ATTRIBUTE_OF_TYPE: dict[type, TypeAdapter[Any]] = {
    int: TypeAdapter(_Whole),
    float: TypeAdapter(Finite),
    str: TypeAdapter(Text),
    list: TypeAdapter(list[Text]),
}


def _with_one_fault(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Report what is wrong with a value of its type, and not with it as one of each type."""
    try:
        return validate(value)
    except ValidationError:
        fault = "an attribute is a text, a number, true or false, or a list of texts"
        if type(value) in _ATTRIBUTE_OF_TYPE:
            try:
                _ATTRIBUTE_OF_TYPE[type(value)].validate_python(value)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                # Of a text of a list, its place.
                fault = ": ".join([*map(str, first["loc"]), first["msg"]])
        raise PydanticCustomError("attribute", "{fault}", {"fault": fault}) from None


Attribute = Annotated[_AnyAttribute, WrapValidator(_with_one_fault)]
AttributeName = Annotated[StrictStr, Field(min_length=1, max_length=64), Normal, AfterValidator(clean_text)]
# Pydantic writes a pattern of names as `patternProperties`, which lets all other names through.
_NAMES = {"propertyNames": {"minLength": 1, "maxLength": 64, "pattern": TEXT_PATTERN}}
Attributes = Annotated[dict[AttributeName, Attribute], Field(max_length=MAX_ATTRIBUTES, json_schema_extra=_NAMES)]
AttributesPatch = Annotated[
    dict[AttributeName, Annotated[_AnyAttribute | None, WrapValidator(_with_one_fault)]],
    # A patch may remove all attributes and set as many others.
    Field(max_length=2 * MAX_ATTRIBUTES, json_schema_extra=_NAMES),
]
"""Changes of attributes: null removes an attribute; those that are not named stay."""

__all__ = [
    "MAX_WHOLE",
    "VALUE",
    "Attributes",
    "Category",
    "Cursor",
    "Finite",
    "Id",
    "Integral",
    "Moment",
    "Name",
    "Text",
]
