"""What the bodies of all requests, and the answers to all batches, have in common."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

Outcome = Literal["stored", "replaced", "unchanged", "rejected"]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(slots=True)
class RowOutcome:
    """A dataclass, not a Pydantic class: a thousand of them are made a request."""

    index: int
    status: Outcome
    problem: str | None = None
