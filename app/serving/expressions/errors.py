"""The error of an expression, with its position."""

from app.errors import InvalidInputError

EXCERPT = 24


class ExpressionError(InvalidInputError):
    """`position`: the character at fault, counted from 0; the length of the text if its end is at fault.

    `described`: the detail, with the field before it, for texts that do not name the field otherwise.
    """

    def __init__(self, reason: str, text: str, position: int, *, field: str | None = None) -> None:
        near = text[position : position + EXCERPT]
        more = "..." if len(text) > position + EXCERPT else ""
        place = f"at character {position}, {near + more!r}" if near else f"at character {position}, the end"
        super().__init__(f"{place}: {reason}", field=field)
        self.reason = reason
        self.described = f"{field}, {self.detail}" if field else self.detail
        self.position = position
