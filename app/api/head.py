"""Answers HEAD for every path with GET (RFC 9110, 9.3.2): the status and headers of the GET, without its body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """ASGI middleware that passes HEAD on as GET, so that no route declares HEAD and the OpenAPI document has none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            # The server checks the body against `content-length` unless the method is HEAD.
            scope["method"] = "HEAD"
            if message["type"] != "http.response.start":
                message = {"type": "http.response.body", "more_body": message.get("more_body", False)}
            await send(message)

        # The scope is changed and not copied, because the router adds the route to it, which the metrics need.
        scope["method"] = "GET"
        try:
            await self._app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"
