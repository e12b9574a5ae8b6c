"""Refuses a body that is too large, and reads no more of it than the limit.

The limit of the framework is not used because it answers in plain text instead of a problem document.
"""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOO_LARGE = 413
MAX_BODY_BYTES = 1 << 20


def too_large(max_bytes: int) -> str:
    return f"a body has at most {max_bytes} bytes"


class BodyLimit:
    """ASGI middleware. It counts the bytes that arrive, since a declared length may be absent or wrong."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        # A declared length over the limit is refused without reading the body at all.
        declared = next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message: Message = {} if declared > self._max_bytes else await receive()
            received += len(message.get("body", b""))
            if max(received, declared) > self._max_bytes:
                raise HTTPException(TOO_LARGE, too_large(self._max_bytes))
            return message

        await self._app(scope, receive_limited, send)
