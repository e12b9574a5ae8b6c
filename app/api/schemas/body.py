"""Merge patches, and the answers to batches."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Self, get_args

from pydantic import BaseModel

from app.intake.recording import RowOutcome, Status


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
