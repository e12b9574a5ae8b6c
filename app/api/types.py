"""Types that schemas and paths share: ids, finite numbers, times."""

from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

from app.entities import MAX_ID_LENGTH, clean_id
from app.errors import InvalidInputError

MAX_TEXT = 1_000
MAX_WHOLE = 2**53  # what every JSON reader keeps exactly


def _clean_id(text: str) -> str:
    try:
        return clean_id(text)
    except InvalidInputError as error:
        raise PydanticCustomError("id", "{reason}", {"reason": error.detail}) from None


def _clean_text(text: str) -> str:
    if not text.isprintable() and any(character < " " and character not in "\t\n" for character in text):
        raise PydanticCustomError("text", "text holds no control characters", {})
    return text


Id = Annotated[
    StrictStr,
    AfterValidator(_clean_id),
    Field(
        min_length=1,
        json_schema_extra={"maxLength": MAX_ID_LENGTH},
        description="1-128 characters, no control characters, no `/`, no space at the ends",
    ),
]
Text = Annotated[StrictStr, Field(max_length=MAX_TEXT), AfterValidator(_clean_text)]
Name = Annotated[Text, Field(min_length=1)]
"""An empty one would be indistinguishable from none in a CSV."""
Category = Annotated[StrictStr, Field(min_length=1, max_length=100), AfterValidator(_clean_text)]
Finite = Annotated[StrictFloat, Field(allow_inf_nan=False, ge=-MAX_WHOLE, le=MAX_WHOLE)]
Moment = Annotated[AwareDatetime, Field(description="ISO 8601 with an offset", examples=["2026-03-01T20:15:00Z"])]
Attribute = StrictBool | Annotated[StrictInt, Field(ge=-MAX_WHOLE, le=MAX_WHOLE)] | Finite | Text | list[Text]
Attributes = Annotated[
    dict[Annotated[StrictStr, Field(min_length=1, max_length=64), AfterValidator(_clean_text)], Attribute],
    Field(max_length=100),
]

__all__ = ["Attributes", "Category", "Finite", "Id", "Moment", "Name", "Text"]
