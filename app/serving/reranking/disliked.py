"""What a user's events speak against is not shown to that user again, wherever the list stands."""

from typing import ClassVar

from app.serving.context import Context


class Disliked:
    """No setting turns it off: who says no to an item is not asked again. What was only shown is no matter of it."""

    name: ClassVar[str] = "disliked"

    def restrict(self, context: Context) -> None:
        if context.user.interactions is not None:
            context.eligible.drop(context.user.interactions.disliked_rows)
