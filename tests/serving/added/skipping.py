"""A restriction that a test adds to the registry: the first rows of the catalogue are not shown."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from app.serving.parts import Context, Restriction


@dataclass(kw_only=True)
class Skipping(Restriction):
    name = "skipping"

    skipped: Annotated[int, Field(strict=True, ge=0, le=1_000, description="Rows that are not shown")] = 0

    @property
    def is_on(self) -> bool:
        return self.skipped > 0

    def restrict(self, context: Context) -> None:
        context.eligible.drop(np.arange(self.skipped))
