"""Refuses a body that is too large or compressed, and reads no more of it than the limit.

The limit of the framework is not used because it answers in plain text instead of a problem document.
"""

from collections.abc import Iterable, Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOO_LARGE, CANNOT_DECODE, NOT_IMPLEMENTED = 413, 415, 501


def too_large(max_bytes: int) -> str:
    return f"a body has at most {max_bytes} bytes"


class BodyLimit:
    """ASGI middleware. It counts the bytes that arrive, since a declared length may be absent or wrong.

    A compressed body is refused, because its size would be known only after the work of unpacking it.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int] | None = None) -> None:
        """`larger`: other limits, by path."""
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # What the headers say is refused without reading the body at all.
        max_bytes = self._larger.get(scope["path"], self._max_bytes)
        refusal = _refusal_of(scope["headers"], max_bytes)
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            if refusal is not None:
                raise refusal
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise HTTPException(TOO_LARGE, too_large(max_bytes))
            return message

        await self._app(scope, receive_limited, send)


def _refusal_of(headers: Iterable[tuple[bytes, bytes]], max_bytes: int) -> HTTPException | None:
    for name, value in headers:
        if name == b"content-length" and int(value) > max_bytes:
            return HTTPException(TOO_LARGE, too_large(max_bytes))
        if name == b"content-encoding" and value.lower() != b"identity":
            return HTTPException(CANNOT_DECODE, "send the body without a content encoding")
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            return HTTPException(NOT_IMPLEMENTED, "the only transfer encoding is chunked")
    return None
