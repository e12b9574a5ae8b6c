"""What the request itself rules out: earlier pages, excluded items, other categories."""

from typing import ClassVar

from app.serving.context import Context


class Requested:
    name: ClassVar[str] = "requested"

    def restrict(self, context: Context) -> None:
        catalogue, wishes = context.live.catalogue, context.wishes
        if len(context.query.returned_keys):
            returned = catalogue.rows_of_keys(context.query.returned_keys)
            context.eligible.drop(returned[returned >= 0])
        if wishes.exclude:
            context.eligible.drop(catalogue.rows_of_ids(wishes.exclude))
        if wishes.category is not None:
            context.eligible.keep(catalogue.in_category(wishes.category))
