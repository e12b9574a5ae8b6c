"""Items that the user has rated, watched or bought are not recommended again, unless the placement allows it."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app.serving.parts import Context, Restriction


@dataclass(kw_only=True)
class AlreadyConsumed(Restriction):
    name = "already_consumed"
    meaning = "Items that the user has rated, watched or bought are left out, unless this is allowed."

    consume_again: Annotated[bool, Field(strict=True, description="Rated, watched and bought items may come again")] = (
        False
    )

    @property
    def is_on(self) -> bool:
        return not self.consume_again

    def restrict(self, context: Context) -> None:
        # A rating says that the item was consumed, whichever value it has.
        context.eligible.drop(context.user.rated_rows)
        if context.user.interactions is not None:
            context.eligible.drop(context.user.interactions.consumed.rows)
