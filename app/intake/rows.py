"""The base class of JSON bodies, and the rows of a batch: each is validated by itself."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

Entity = TypeVar("Entity")

MAX_UNKNOWN_FIELDS = 5
"""Beyond them, an object gets one error instead of one for each of its fields."""


class Body(BaseModel):
    # An unknown field is an error: a misspelt optional field would otherwise be ignored silently.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_many_unknown(cls, given: Any) -> Any:
        n_known = len(cls.model_fields)
        if isinstance(given, dict) and len(given) > n_known + MAX_UNKNOWN_FIELDS:
            counts = {"given": len(given), "known": n_known}
            raise PydanticCustomError("too_many_fields", "{given} fields are given, and there are {known}", counts)
        return given


Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class DescribedAs:
    """Marks a row of a batch, `Annotated[Any, DescribedAs(RatingIn)]`.

    The body accepts any row, so that one bad row does not refuse the whole batch; `read_rows` validates each. The
    OpenAPI document still describes a good row, for readers and for generated clients.
    """

    kind: type[BaseModel]

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # The wrapping validator never calls that of `kind`, whose schema is still the one in the document.
        return core_schema.no_info_wrap_validator_function(lambda row, _: row, handler.generate_schema(self.kind))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"description": "Any other row is rejected by itself", "title": "Other"}]}


def read_rows(rows: Iterable[Any], kind: type[Row], convert: Callable[[Row], Entity]) -> list[Entity | str]:
    """Return each row of a batch validated as `kind` and converted, or the text of its first error."""
    return [_read(row, kind, convert) for row in rows]


def _read(row: Any, kind: type[Row], convert: Callable[[Row], Entity]) -> Entity | str:
    try:
        return convert(kind.model_validate(row))
    except ValidationError as error:
        return fault_of(error)


def fault_of(error: ValidationError) -> str:
    """Return the first error of a row of a batch, in one line."""
    fault = error.errors(include_url=False, include_input=False)[0]
    # Pydantic's message would name our class.
    message = "it is not an object" if fault["type"] == "model_type" else fault["msg"]
    return printable(f"{'.'.join(map(str, fault['loc'])) or 'row'}: {message}")


def printable(text: str) -> str:
    # Lone surrogates in an input cannot be encoded as UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()
