"""The base class of request bodies, and the rows of a batch."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from app.api.problems import fault_of

Entity = TypeVar("Entity")


class Body(BaseModel):
    # An unknown field is an error: a misspelt optional field would otherwise be ignored silently.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


Row = TypeVar("Row", bound=BaseModel)


def read_rows(rows: Iterable[Any], kind: type[Row], convert: Callable[[Row], Entity]) -> list[Entity | str]:
    """Return each row of a batch validated as `kind` and converted, or the text of its first error."""
    return [_read(row, kind, convert) for row in rows]


def _read(row: Any, kind: type[Row], convert: Callable[[Row], Entity]) -> Entity | str:
    try:
        return convert(kind.model_validate(row))
    except ValidationError as error:
        return fault_of(error)
