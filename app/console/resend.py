"""Keeps what an operator has typed into a form whose session ended meanwhile.

The fields come back in a page, with a button that sends them once more. They are stored nowhere but in that page.
"""

from dataclasses import dataclass

from fastapi import Request, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from app.console.rendering import page

FORM_TYPE = "application/x-www-form-urlencoded"
FORM_TOKEN, CATALOGUE = "form_token", "catalogue"
"""The names of fields that every form has."""

MAX_BYTES = 1 << 18
"""Of a form that is kept. The longest one is that of a placement, with some kilobytes."""


@dataclass(frozen=True, slots=True)
class ResendView:
    """`action`: the address that the form was sent to. `fields`: name and value of each, without the token."""

    action: str
    fields: tuple[tuple[str, str], ...]
    is_logged_in: bool


async def resend_page(request: Request, *, is_logged_in: bool, status: int) -> Response | None:
    """The page from which the form is sent once more.

    None where it cannot be kept: it is too large, or holds a file.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = request.headers.get("content-length", "")
    if request.method != "POST" or content_type != FORM_TYPE:
        return None
    if not (length.isascii() and length.isdigit() and int(length) <= MAX_BYTES):
        return None
    try:
        form = await request.form()
    except HTTPException:  # no form
        return None
    fields = tuple(
        (name, value)
        for name, value in form.multi_items()
        # The catalogue stays that of the form. This type of body has no files.
        if name != FORM_TOKEN and not isinstance(value, UploadFile)
    )
    action = address_of(request)
    return page(request, "resend.html", ResendView(action, fields, is_logged_in), status=status)


def address_of(request: Request) -> str:
    """The path and the query string as they were sent: escaped, so that they lead to the same page again."""
    path = request.scope["raw_path"].decode("latin-1")
    return f"{path}?{request.url.query}" if request.url.query else path
