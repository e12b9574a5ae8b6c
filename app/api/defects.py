"""Answers requests that meet an unexpected error, inside of the middleware that completes the headers of all answers.

The framework would answer outside of it, without a request id and the headers that protect browsers. It would then
raise the error again, for the server to log it a second time, with the text of the exception.
"""

import structlog
from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import defect_response, tenant_in

log = structlog.get_logger()


class AnswerCutOffError(Exception):
    """An unexpected error came after the beginning of the answer; the server closes the connection."""


class Defects:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception:
            if scope["type"] != "http":
                raise
            # Only the log gets the error. The template of the path, because the path itself names users.
            log.exception("defect", path=getattr(scope.get("route"), "path", "unmatched"), **tenant_in(scope))
            if scope["state"].get("is_answered"):
                raise AnswerCutOffError from None
            response = defect_response(Request(scope))
            await response(scope, receive, send)
