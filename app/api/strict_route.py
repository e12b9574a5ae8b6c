"""A route that refuses query parameters it does not know, instead of ignoring a misspelt one."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from app.api.query_string import names


class StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        described = (self.openapi_extra or {}).get("parameters", ())  # of what a handler reads by itself
        known = {field.alias for field in self.dependant.query_params} | {each["name"] for each in described}

        async def refuse_unknown(request: Request) -> Response:
            unknown = names(request.scope["query_string"]) - known
            if unknown:
                takes = f"this path takes {', '.join(sorted(known))}" if known else "this path takes none"
                raise RequestValidationError(
                    [{"loc": ("query", name), "msg": f"unknown parameter; {takes}"} for name in sorted(unknown)]
                )
            return await handle(request)

        return refuse_unknown
