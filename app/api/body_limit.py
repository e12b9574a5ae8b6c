"""Refuses a body that is too large, after reading no more of it than the limit.

Our own because the framework's limit answers in plain text, and replaces a problem document by it.
"""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOO_LARGE = 413


class BodyLimit:
    """ASGI middleware; counts what arrives, since a declared length may be absent or false."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        config = next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message: Message = {} if config > self._max_bytes else await receive()
            received += len(message.get("body", b""))
            if max(received, config) > self._max_bytes:
                raise HTTPException(TOO_LARGE, f"a body has at most {self._max_bytes} bytes")
            return message

        await self._app(scope, receive_limited, send)
