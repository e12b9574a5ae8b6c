"""Items that a user's events count against are not shown to that user again, in any placement."""

from app.serving.parts import Context, Restriction


class Disliked(Restriction):
    """No setting turns it off. Being shown alone does not count against an item."""

    name = "disliked"
    needs_events = True

    def restrict(self, context: Context) -> None:
        if context.user.interactions is not None:
            context.eligible.drop(context.user.interactions.disliked_rows)
