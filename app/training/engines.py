"""Where a recipe is learned: by this process, or by Spark for the algorithms that Spark can learn."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np

from app.algorithms.progress import ProgressCallback
from app.algorithms.rating_matrix import RatingMatrix
from app.segments.base import LearnedSegment, SegmentRecipe
from app.training.spark_errors import SparkOptions

EngineName = Literal["local", "spark"]

LOCAL: EngineName = "local"
SPARK: EngineName = "spark"

LEARNED_BY_SPARK: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rating": ("als", "biases"),
        "taste": ("als_implicit",),
        "item_item": ("slim",),
        "transitions": ("sparse_transitions",),
        "popularity": ("popularity",),
    }
)
"""The algorithms of each segment that Spark learns. A segment that is not listed is learned by this process."""


class Engine(Protocol):
    """Learns segments elsewhere."""

    def remark(self, names: Sequence[str]) -> str:
        """A sentence for the snapshot's card. `names`: of its segments that were learned by this engine."""
        ...

    def learn(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedSegment | None:
        """As `Segment.fit`, errors included; None where this process is to learn it."""
        ...


def allowed_by(engine: EngineName, segment: str) -> tuple[str, ...] | None:
    """The algorithms that a recipe with this engine may name for `segment`; None: all."""
    return LEARNED_BY_SPARK.get(segment) if engine == SPARK else None


@contextmanager
def open_engine(engine: EngineName, options: SparkOptions, data_dir: Path) -> Iterator[Engine | None]:
    """The engine of that name, None for this process; it ends with the context.

    Raises `TrainingFailedError` where it cannot be used, before anything is read.
    """
    if engine == LOCAL:
        yield None
        return
    options.check()
    # Spark is an extra.
    from app.training.spark_engine import SparkEngine

    with SparkEngine.opened(options, data_dir) as spark:
        yield spark
