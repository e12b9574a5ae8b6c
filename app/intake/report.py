"""What became of an import."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.entities import RatingScale
from app.intake.blocks import RejectedRow
from app.intake.columns import Kind
from app.store import REPLACED, STORED, UNCHANGED


@dataclass(slots=True)
class Counts:
    """Rows of one kind: `readable` ones were stored, replaced or left unchanged; in a dry run none of these."""

    readable: int = 0
    stored: int = 0
    replaced: int = 0
    unchanged: int = 0
    rejected: int = 0

    def add_statuses(self, statuses: Sequence[int] | NDArray[np.int8]) -> None:
        """As the store returns them, one a row."""
        counted = np.bincount(np.asarray(statuses, dtype=np.int64), minlength=3)
        self.stored += int(counted[STORED])
        self.replaced += int(counted[REPLACED])
        self.unchanged += int(counted[UNCHANGED])


@dataclass(slots=True)
class ImportReport:
    """`is_scale_detected`: from the ratings, in a first pass. `ignored`: names of files that were passed over.

    `rejected_path`: the file of rejected rows; None where there were none, and in a dry run. `first_rejected`: a few.
    """

    scale: RatingScale
    is_scale_detected: bool = False
    is_dry_run: bool = False
    items: Counts = field(default_factory=Counts)
    users: Counts = field(default_factory=Counts)
    ratings: Counts = field(default_factory=Counts)
    events: Counts = field(default_factory=Counts)
    event_types: Counts = field(default_factory=Counts)
    placements: Counts = field(default_factory=Counts)
    ignored: list[str] = field(default_factory=list)
    rejected_path: Path | None = None
    first_rejected: list[RejectedRow] = field(default_factory=list)
    seconds: float = 0.0

    def of(self, kind: Kind) -> Counts:
        counts: Counts = getattr(self, kind.value)
        return counts

    @property
    def n_rejected(self) -> int:
        return sum(self.of(kind).rejected for kind in Kind)

    @property
    def n_readable(self) -> int:
        return sum(self.of(kind).readable for kind in Kind)

    def as_json(self) -> dict[str, Any]:
        path = None if self.rejected_path is None else str(self.rejected_path)
        return asdict(self) | {"scale": str(self.scale), "rejected_path": path}
