"""Gives every request an id, counts and times requests, and logs failed ones."""

import time
from typing import TYPE_CHECKING

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import tenant_in
from app.observability.metrics import Metrics
from app.observability.request_ids import HEADER, accepted_or_new, current
from app.observability.traces import fail, request_span

if TYPE_CHECKING:  # the package is an extra
    from opentelemetry.trace import Span

log = structlog.get_logger()

SERVER_ERROR = 500


class RequestMetrics:
    """ASGI middleware. The framework's base class for middleware would cost a task and a queue for each request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = b""
        for name, value in scope["headers"]:
            if name == HEADER:
                sent = value
                break
        request_id = accepted_or_new(sent)
        current.set(request_id)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        # The status of a request that fails before it has an answer.
        status = SERVER_ERROR
        since = time.perf_counter()

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                state["is_answered"] = True
                message["headers"].append((HEADER, request_id.encode()))
            await send(message)

        with request_span(request_id, scope["method"], scope["headers"]) as span:
            try:
                await self._app(scope, receive, send_observed)
            finally:
                self._ended(scope, status, time.perf_counter() - since, span)

    def _ended(self, scope: Scope, status: int, seconds: float, span: "Span | None") -> None:
        state = scope["state"]
        # The label is the template of the path. The path itself would make a time series for each id.
        is_refused = state.get("is_refused", False)
        path = "refused" if is_refused else getattr(scope.get("route"), "path", "unmatched")
        self._metrics.count_request(scope["method"], path, status, seconds)
        tenant = tenant_in(scope)
        if tenant:
            self._metrics.count_tenant_request(tenant["tenant"], status)
        problem = state.get("problem")
        if problem is not None:
            self._metrics.count_problem(problem)
        if span is not None:
            span.update_name(f"{scope['method']} {path}")
            span.set_attribute("http.route", path)
            span.set_attribute("http.response.status_code", status)
            if status >= SERVER_ERROR:
                fail(span, problem or str(status))
        if status >= SERVER_ERROR and not is_refused:  # `Admission` logs the number of those
            log.warning("request failed", method=scope["method"], path=path, status=status, **tenant)
