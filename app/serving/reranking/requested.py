"""What the request itself rules out: items of earlier pages, excluded items, other categories."""

from app.serving.parts import Context, Restriction


class Requested(Restriction):
    name = "requested"
    holds_in_search = True
    request_options = ("returned_keys", "exclude", "categories")
    is_on = False

    def restrict(self, context: Context) -> None:
        catalogue, options = context.serving.catalogue, context.options
        if len(context.query.returned_keys):
            # Cursors hold keys: rows change with the snapshot, and the next page may be of another one.
            returned = catalogue.rows_of_keys(context.query.returned_keys)
            context.eligible.drop(returned[returned >= 0])
        if options.exclude:
            context.eligible.drop(catalogue.rows_of_ids(options.exclude))
        if options.categories:
            context.eligible.keep(catalogue.in_any_category(options.categories))
