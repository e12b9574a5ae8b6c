"""The one row of settings of a database: its identity, the key of signed tokens, the rating scale, the recipe."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from app.entities import STEP_TOLERANCE, RatingScale
from app.errors import ConflictError
from app.store.database import Database
from app.store.jobs import add_job
from app.store.schema import instance, ratings
from app.store.serving_reads import INSTANCE_ID, SCALE


class Instance:
    def __init__(self, database: Database) -> None:
        self._database = database
        # Neither changes during the life of a database, so they are read once.
        with database.reading() as connection:
            row = connection.execute(sa.select(instance.c.database_id, instance.c.token_key)).one()
        self.database_id: str = row.database_id
        self.token_key: bytes = bytes(row.token_key)

    def scale(self) -> RatingScale:
        """The rating scale, for threads; on the event loop `ServingReads.scale` is the same."""
        return RatingScale(*self._database.dialect.hot_row(SCALE.statement, INSTANCE_ID) or ())

    def recipe(self) -> dict[str, Any] | None:
        """The document of the recipe for jobs that name none; None: the default recipe."""
        with self._database.reading() as connection:
            recipe: dict[str, Any] | None = connection.execute(sa.select(instance.c.recipe)).scalar_one()
        return recipe

    def set_recipe(self, recipe: Mapping[str, Any] | None) -> None:
        with self._database.writing() as connection:
            connection.execute(sa.update(instance).values(recipe=None if recipe is None else dict(recipe)))

    def is_scale_open(self) -> bool:
        """Whether the first import may detect the scale: none was declared and there are no ratings."""
        with self._database.reading() as connection:
            is_declared = connection.execute(sa.select(instance.c.is_scale_declared)).scalar_one()
            return not is_declared and connection.execute(sa.select(ratings.c.user_key).limit(1)).first() is None

    def set_scale(self, scale: RatingScale) -> None:
        """Declares the scale and enqueues training if it differs; stored ratings are never rescaled.

        Raises `ConflictError` while a stored rating would fall outside, or between two steps.
        """
        with self._database.writing() as connection:
            stored = ratings.c.value.is_not(None)
            outside = stored & ~_is_on(scale)
            n_outside = connection.execute(sa.select(sa.func.count()).select_from(ratings).where(outside)).scalar_one()
            if n_outside:
                message = f"{n_outside} stored ratings lie outside {scale}; nothing was changed"
                raise ConflictError(message, field="scale")
            has_ratings = connection.execute(sa.select(ratings.c.user_key).where(stored).limit(1)).first() is not None
            current = sa.select(instance.c.scale_minimum, instance.c.scale_maximum, instance.c.scale_step)
            is_new = RatingScale(*connection.execute(current).one()) != scale
            connection.execute(
                sa.update(instance).values(
                    scale_minimum=scale.minimum,
                    scale_maximum=scale.maximum,
                    scale_step=scale.step,
                    is_scale_declared=True,
                )
            )
            # In the same transaction: a changed scale without a training job would leave stale predictions live.
            if is_new and has_ratings:
                add_job(connection, trigger="scale", now=self._database.dialect.now(connection))


def _is_on(scale: RatingScale) -> sa.ColumnElement[bool]:
    inside = ratings.c.value.between(scale.minimum, scale.maximum)
    if scale.step is None:
        return inside
    # |(value - minimum) / step - nearest integer| < tolerance
    steps = (ratings.c.value - scale.minimum) / scale.step
    return inside & (sa.func.abs(steps - sa.func.round(steps)) < STEP_TOLERANCE)
