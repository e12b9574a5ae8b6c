"""Items that are unavailable or have expired are not recommended."""

from app.serving.parts import Context, Restriction


class Available(Restriction):
    """Its clock is in the entity tag already: the time at which the next item expires."""

    name = "available"
    holds_in_search = True

    def restrict(self, context: Context) -> None:
        context.eligible.keep(context.serving.catalogue.available(context.now))
