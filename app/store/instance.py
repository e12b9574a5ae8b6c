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
from app.store.trends import recount_all


class Instance:
    def __init__(self, database: Database) -> None:
        self._database = database
        # Neither changes during the life of a database, so they are read once, and again after a restore.
        self.database_id: str
        self.token_key: bytes
        self.reload()

    def reload(self) -> None:
        """Read again what is kept here, because another database may have been put in place."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(instance.c.database_id, instance.c.token_key)).one()
        self.database_id, self.token_key = row.database_id, bytes(row.token_key)

    def scale(self) -> RatingScale:
        """The rating scale, for threads; on the event loop `ServingReads.scale` is the same."""
        return RatingScale(*self._database.hot_row(SCALE.statement, INSTANCE_ID) or ())

    def recipe(self) -> dict[str, Any] | None:
        """The document of the recipe for jobs that name none; None: the default recipe."""
        with self._database.reading() as connection:
            recipe: dict[str, Any] | None = connection.execute(sa.select(instance.c.recipe)).scalar_one()
        return recipe

    def set_recipe(self, recipe: Mapping[str, Any] | None) -> None:
        with self._database.writing() as connection:
            connection.execute(sa.update(instance).values(recipe=None if recipe is None else dict(recipe)))

    def is_scale_open(self) -> bool:
        """Whether an import may detect the scale: none was declared."""
        with self._database.reading() as connection:
            return not connection.execute(sa.select(instance.c.is_scale_declared)).scalar_one()

    def declare_scale(self) -> None:
        """Keep the current scale as if the user had stated it: later imports do not detect another."""
        with self._database.writing() as connection:
            connection.execute(sa.update(instance).values(is_scale_declared=True))

    def n_off(self, scale: RatingScale) -> int:
        """The number of stored ratings that are not on `scale`."""
        with self._database.reading() as connection:
            return int(connection.execute(_count_off(scale)).scalar_one())

    def set_scale(self, scale: RatingScale, *, is_declared: bool = True) -> None:
        """Sets the scale and its kind, and enqueues training if it differs; stored ratings are never rescaled.

        `is_declared`: whether the scale is stated by the user, so that imports keep it; otherwise it was detected.

        Raises `ConflictError` while a stored rating would fall outside, or between two steps; to `pairs`, while one is
        stored with another value than 1.
        """
        with self._database.writing() as connection:
            # Before all reads: writers of ratings hold this lock too, so none writes by the old scale meanwhile.
            self._database.dialect.lock_table(connection, "trends", "EXCLUSIVE")
            n_outside = connection.execute(_count_off(scale)).scalar_one()
            if n_outside:
                message = f"{n_outside} stored ratings lie outside {scale}; nothing was changed"
                raise ConflictError(message, field="scale")
            has_ratings = (
                connection.execute(sa.select(ratings.c.user_key).where(_IS_STORED).limit(1)).first() is not None
            )
            c = instance.c
            current = sa.select(c.scale_minimum, c.scale_maximum, c.scale_step, c.value_kind)
            is_new = RatingScale(*connection.execute(current).one()) != scale
            connection.execute(
                sa.update(instance).values(
                    scale_minimum=scale.minimum,
                    scale_maximum=scale.maximum,
                    scale_step=scale.step,
                    value_kind=scale.kind,
                    is_scale_declared=is_declared,
                )
            )
            # In the same transaction: a changed scale without a training job would leave stale predictions live.
            if is_new and has_ratings:
                recount_all(self._database, connection)
                add_job(connection, trigger="scale", now=self._database.dialect.now(connection))


# A deleted rating has no value.
_IS_STORED = ratings.c.value.is_not(None)


def _count_off(scale: RatingScale) -> sa.Select[int]:
    return sa.select(sa.func.count()).select_from(ratings).where(_IS_STORED & ~_is_on(scale))


def _is_on(scale: RatingScale) -> sa.ColumnElement[bool]:
    inside = ratings.c.value.between(scale.minimum, scale.maximum)
    if scale.step is None:
        return inside
    # |(value - minimum) / step - nearest integer| < tolerance
    steps = (ratings.c.value - scale.minimum) / scale.step
    return inside & (sa.func.abs(steps - sa.func.round(steps)) < STEP_TOLERANCE)
