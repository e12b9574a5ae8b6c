"""A route that refuses query parameters it does not know, and does not ask the framework for what is there already."""

from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from app.api.query_string import names

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A misspelt query parameter is refused instead of ignored."""

    def get_route_handler(self) -> Handler:
        handle = self._direct() if self._takes_path_alone else super().get_route_handler()
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

    @property
    def _takes_path_alone(self) -> bool:
        """Whether the operation takes nothing but parts of the path and the request, and makes its response itself."""
        takes = self.dependant
        by_framework = (
            takes.query_params,
            takes.header_params,
            takes.cookie_params,
            takes.body_params,
            takes.dependencies,
            takes.response_param_name,
            takes.background_tasks_param_name,
            takes.http_connection_param_name,
            takes.security_scopes_param_name,
        )
        answers_itself = self.response_field is None and iscoroutinefunction(self.endpoint)
        return answers_itself and takes.request_param_name is not None and not any(by_framework)

    def _direct(self) -> Handler:
        """The operation called by us: looking for all that it might take costs the framework a fifth of an answer."""
        fields, request_name, operation = self.dependant.path_params, self.dependant.request_param_name, self.endpoint

        async def handle(request: Request) -> Response:
            given: dict[str, Any] = {str(request_name): request}
            faults: list[Any] = []
            for field in fields:
                given[field.name], found = field.validate(
                    request.path_params[field.alias], {}, loc=("path", field.alias)
                )
                faults += found
            if faults:
                raise RequestValidationError(faults)
            response: Response = await operation(**given)
            return response

        return handle
