"""What is not available, or no longer, is not recommended."""

from typing import ClassVar

from app.serving.context import Context


class Available:
    name: ClassVar[str] = "available"

    def restrict(self, context: Context) -> None:
        context.eligible.keep(context.serving.catalogue.available())
