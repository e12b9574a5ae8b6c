"""What the user has rated, watched or bought is not recommended again, unless the placement is made for that."""

from typing import ClassVar

from app.serving.context import Context
from app.serving.reranking.recurring import due_rows


class AlreadyConsumed:
    """The last of the restrictions: what is due again is remembered if nothing else speaks against it."""

    name: ClassVar[str] = "already_consumed"

    def restrict(self, context: Context) -> None:
        placement, user = context.placement.settings, context.user
        if placement.recurring:
            context.due_rows = context.eligible.among(due_rows(context))
        if placement.consume_again:
            return
        context.eligible.drop(user.rated_rows)
        if user.interactions is not None:
            context.eligible.drop(user.interactions.consumed.rows)
