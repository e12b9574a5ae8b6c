"""Leases the service of the caller's tenant for the time of a request."""

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from app.api.problems import response_to
from app.errors import ReckonError
from app.tenancy.open_services import OpenServices


class TenantService:
    """ASGI middleware, inside of `Admission`: requests that wait for the opening of a tenant are limited in number."""

    def __init__(self, app: ASGIApp, tenants: OpenServices) -> None:
        self._app = app
        self._tenants = tenants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope["state"].get("caller") if scope["type"] == "http" else None
        if caller is None or caller.tenant is None:
            await self._app(scope, receive, send)
            return
        try:
            lease, service = await self._tenants.lease(caller.tenant)
        except ReckonError as error:
            response = await response_to(Request(scope), error)
            await response(scope, receive, send)
            return
        scope["state"]["service"] = service
        try:
            with bound_contextvars(tenant=caller.tenant):
                await self._app(scope, receive, send)
        finally:
            lease.give_back()
