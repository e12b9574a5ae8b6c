"""Refuses an address that is too long or no UTF-8, with a problem document that says what to do.

The server and the framework replace what they cannot decode, so that ids in another encoding would all become one.
"""

from urllib.parse import unquote_to_bytes

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import response_to
from app.errors import InvalidInputError, ReckonError

MAX_ADDRESS = 60_000
"""Bytes of the path and the query string. The parser of the HTTP server stops at 65,535."""


class AddressTooLongError(ReckonError):
    type = "address-too-long"
    title = "The address is too long"
    status = 414

    def __init__(self) -> None:
        super().__init__(
            f"an address has at most {MAX_ADDRESS:,} bytes: send long filters and lists of ids in the body of"
            " POST /recommendations"
        )


class AddressCheck:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, query = scope["raw_path"], scope["query_string"]
            # Nearly all addresses are short and without escapes.
            if len(path) + len(query) >= MAX_ADDRESS or b"%" in path or b"%" in query:
                error = _error_of(path, query)
                if error is not None:
                    response = await response_to(Request(scope), error)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _error_of(path: bytes, query: bytes) -> ReckonError | None:
    if len(path) + len(query) >= MAX_ADDRESS:
        return AddressTooLongError()
    for field, raw in (("path", path), ("query", query)):
        try:
            unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            return InvalidInputError(f"the escapes in the {field} are not UTF-8", field=field)
    return None
