"""What the user made is not recommended to its maker."""

from typing import ClassVar

from app.serving.context import Context


class OwnItems:
    name: ClassVar[str] = "own_items"

    def restrict(self, context: Context) -> None:
        user_id = context.query.user_id
        if user_id is not None and not context.placement.settings.own_items:
            context.eligible.drop(context.serving.catalogue.rows_created_by(user_id))
