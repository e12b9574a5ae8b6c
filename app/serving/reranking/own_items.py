"""Items that the user created are not recommended to that user."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app.serving.parts import Context, Restriction


@dataclass(kw_only=True)
class OwnItems(Restriction):
    name = "own_items"
    meaning = "Items that a user created are not recommended to this user, unless this is allowed."

    own_items: Annotated[
        bool, Field(strict=True, description="Items that the user made (`created_by`) may be shown")
    ] = False

    @property
    def is_on(self) -> bool:
        return not self.own_items

    def restrict(self, context: Context) -> None:
        if context.query.user_id is not None:  # a guest has made nothing
            context.eligible.drop(context.serving.catalogue.rows_created_by(context.query.user_id))
