"""What is wrong with an expression, and where."""

from app.errors import InvalidInputError

EXCERPT = 24


class ExpressionError(InvalidInputError):
    """`position`: the character of the expression at fault, from 0; its length at the end."""

    def __init__(self, reason: str, text: str, position: int, *, field: str | None = None) -> None:
        near = text[position : position + EXCERPT]
        more = "..." if len(text) > position + EXCERPT else ""
        place = f"at character {position}, {near + more!r}" if near else f"at character {position}, the end"
        super().__init__(f"{place}: {reason}", field=field)
        self.reason = reason
        self.position = position
