"""What the request itself rules out: earlier pages, excluded items, other categories."""

from typing import ClassVar

from app.serving.context import Context


class Requested:
    name: ClassVar[str] = "requested"

    def restrict(self, context: Context) -> None:
        catalogue, options = context.serving.catalogue, context.options
        if len(context.query.returned_keys):
            returned = catalogue.rows_of_keys(context.query.returned_keys)
            context.eligible.drop(returned[returned >= 0])
        if options.exclude:
            context.eligible.drop(catalogue.rows_of_ids(options.exclude))
        if options.category is not None:
            context.eligible.keep(catalogue.in_category(options.category))
