"""The parameter `fields`: which fields of its items an answer holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from app.errors import InvalidInputError
from app.serving.item_details import ANSWER_FIELDS, COLUMNS, ItemSelection

OF_EVERY_ANSWER = ("item_id", "title")
WITHOUT_REASONS = tuple(name for name in ANSWER_FIELDS if name != "reasons")
OF_STORED_ITEMS = (
    "columns of the item as in `GET /items/{item_id}`, and single attributes as `attributes.NAME`, with odd names"
    " between backticks. Separated by commas; may be repeated. An item that lacks an attribute is returned without it"
)
EXAMPLE = ["title,year,attributes.minutes"]


@dataclass(frozen=True, slots=True)
class FieldsOf:
    """Marks a list of texts, each with names of fields of an item; refuses unknown names.

    `answer_fields`: those that the answer has; columns of stored items and attributes are known everywhere.
    """

    answer_fields: Sequence[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        document = handler(schema)
        # Only for the schema: the validator lists the names that exist.
        name = rf"({'|'.join((*self.answer_fields, *COLUMNS))}|attributes\.[^,]+)"
        document["items"]["pattern"] = f"^{name}(,{name})*$"
        return document

    def _known(self, texts: list[str]) -> list[str]:
        try:
            ItemSelection.parse(texts, self.answer_fields)
        except InvalidInputError as error:
            raise PydanticCustomError("fields", "{reason}", {"reason": error.detail}) from None
        return texts


SelectedFields = Annotated[
    list[str],
    FieldsOf(ANSWER_FIELDS),
    Field(
        description=f"Fields of the items to return, besides `item_id`: fields of the list, {OF_STORED_ITEMS}",
        examples=[EXAMPLE],
    ),
]
SelectedUnexplained = Annotated[
    list[str],
    FieldsOf(WITHOUT_REASONS),
    Field(
        description=f"Fields of the items to return, besides `item_id`: fields of the list, {OF_STORED_ITEMS}",
        examples=[EXAMPLE],
    ),
]
"""As `SelectedFields`, for answers that never hold reasons."""

SelectedColumns = Annotated[
    list[str],
    FieldsOf(OF_EVERY_ANSWER),
    Field(
        description=f"Fields of the items to return, besides those of the answer: `title`, {OF_STORED_ITEMS}",
        examples=[EXAMPLE],
    ),
]
