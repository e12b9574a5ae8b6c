"""The base class of request bodies, merge patches, and the rows of a batch."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar, get_args

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

from app.api.problems import fault_of
from app.intake.recording import RowOutcome, Status

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


def merge_patch(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the body of a PATCH for its `openapi_extra`, which FastAPI would describe as application/json alone."""
    schema = {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}
    return {"requestBody": {"content": {"application/merge-patch+json": schema}}}


class RowOutcomes(BaseModel):
    """The answer to a batch: `results` in the order of the rows, and a field for each status that a row may have."""

    @classmethod
    def from_outcomes(cls, outcomes: Sequence[RowOutcome]) -> Self:
        counts = Counter(outcome.status for outcome in outcomes)
        return cls(results=outcomes, **{name: counts[name] for name in get_args(Status) if name in cls.model_fields})


class BatchOutcome(RowOutcomes):
    """What became of the rows of a batch, in their order."""

    stored: int
    replaced: int
    unchanged: int
    rejected: int
    results: list[RowOutcome]


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
