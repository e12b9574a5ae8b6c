"""Errors as RFC 9457 `application/problem+json`: a stable type, the field at fault and a request id, no internals."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from app.errors import InvalidInputError, ReckonError
from app.intake.rows import printable

PREFIX = "urn:reckon:problem:"
MEDIA_TYPE = "application/problem+json"
# A body of 1,000 faulty ids would make an answer that is larger than the request.
MAX_ERRORS = 20
EXAMPLE_REQUEST_ID = "0f6d2c3a9b7e4d51"


class FieldError(BaseModel):
    field: str = Field(
        description="The part of the input: `body.value`, `query.limit`, `path.user_id`", examples=["body.value"]
    )
    detail: str = Field(examples=["Input should be a finite number"])


class Problem(BaseModel):
    """The answer to every request that fails (RFC 9457)."""

    type: str = Field(description="Stable; programs may rely on it", examples=[PREFIX + "invalid-input"])
    title: str = Field(examples=["The request is malformed"])
    status: int = Field(examples=[422])
    detail: str = Field(description="Text for display; may change", examples=["7.5 is not on the rating scale 1:5"])
    field: str | None = Field(None, description="The part of the input that is wrong", examples=["body.value"])
    errors: list[FieldError] = Field(default_factory=list, description="All errors, if the input has several")
    current_version: int | None = Field(
        None, description="The version that is stored, if `If-Match` names another one", examples=[3]
    )
    request_id: str = Field(description="Identifies the request in the logs", examples=[EXAMPLE_REQUEST_ID])

    @property
    def name(self) -> str:
        """The end of `type`: a label of metrics."""
        return self.type.removeprefix(PREFIX)

    @property
    def document(self) -> dict[str, Any]:
        """The JSON of the answer, without fields that say nothing."""
        content = self.model_dump(exclude_none=True)
        # An empty list would say that there are no errors.
        if not self.errors:
            del content["errors"]
        return content


def problem_of(error: ReckonError) -> Problem:
    return Problem(
        type=PREFIX + error.type,
        title=error.title,
        status=error.status,
        detail=error.detail,
        field=error.field,
        current_version=error.current_version,
        request_id="",
    )


def http_problem(status: int, detail: str) -> Problem:
    """Return the problem document of an error of HTTP or of the framework."""
    phrase = HTTPStatus(status).phrase
    type_ = PREFIX + phrase.lower().replace(" ", "-")
    return Problem(type=type_, title=phrase, status=status, detail=detail, request_id="")


def malformed_problem(faults: Sequence[Mapping[str, Any]]) -> Problem:
    """Return the problem document of a request with these faults, as Pydantic and the framework report them."""
    errors = [_field_error(fault) for fault in faults[:MAX_ERRORS]]
    error = InvalidInputError(f"{errors[0].field}: {errors[0].detail}", field=errors[0].field)
    return problem_of(error).model_copy(update={"errors": errors})


def responses(
    *statuses: int,
    also: dict[int | str, dict[str, Any]] | None = None,
    errors: Mapping[str, ReckonError] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of an operation for OpenAPI.

    `also`: its other responses; a status that is among `statuses`, too, has the examples of both. `errors`: cause -> an
    error as the operation raises it, the example of its status. A status without one gets an example that is derived
    from the operation, see `app.api.error_examples`.
    """
    described: dict[int | str, dict[str, Any]] = {
        status: deepcopy((also or {}).get(status, {}))
        or {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
    for cause, error in (errors or {}).items():
        problem = problem_of(error).model_copy(update={"request_id": EXAMPLE_REQUEST_ID})
        content = described[error.status]["content"][MEDIA_TYPE]
        content.setdefault("examples", {})[error.type] = {"summary": cause, "value": problem.document}
    return (also or {}) | described


def install(app: FastAPI) -> None:
    """Install handlers that answer every error with a problem document, and add its schema to the OpenAPI document."""
    app.add_exception_handler(ReckonError, _expected)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        # The framework would describe the `model` of a response as application/json.
        reference = "#/components/schemas/{model}"
        _, schemas = models_json_schema([(Problem, "serialization")], ref_template=reference)
        document.setdefault("components", {}).setdefault("schemas", {}).update(schemas["$defs"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's own way to extend the document


def _answer(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    state = request.scope.setdefault("state", {})
    problem.request_id = state.get("request_id", "")
    state["problem"] = problem.name
    return JSONResponse(problem.document, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


# The framework types handlers as taking any exception; each of these is registered for one class.
async def _expected(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ReckonError):
        raise TypeError(error)
    return _answer(request, problem_of(error), dict(error.headers))


async def response_to(request: Request, error: ReckonError) -> JSONResponse:
    """Return the problem document of an error, for middleware, which stands outside of the handlers."""
    return await _expected(request, error)


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError(error)
    return _answer(request, malformed_problem(error.errors()))


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError(error)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed_methods(request)
    problem = http_problem(error.status_code, str(error.detail))
    return _answer(request, problem, headers)


def _allowed_methods(request: Request) -> str:
    """Return all methods of the path, for the header `Allow`."""
    # The framework names only those of the first route with this path, and none of a mount. `/items/batch` is the path
    # of an item as well.
    routes = [each for each in request.app.routes if isinstance(each, APIRoute) and each.include_in_schema]
    matching = [each for each in routes if each.path_regex.match(request.url.path)]
    # Paths that the document does not list are its own pages and files, which can only be read.
    methods = {method for each in matching for method in each.methods or ()} or {"GET"}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def defect_response(request: Request) -> JSONResponse:
    """Return the problem document of an unexpected error, whose text may hold SQL, paths or data of users."""
    problem = Problem(
        type=PREFIX + ReckonError.type,
        title=ReckonError.title,
        status=ReckonError.status,
        detail="look for the request id in the logs",
        request_id="",
    )
    return _answer(request, problem)


def tenant_in(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return `tenant` for the log, of a request with the key of a tenant."""
    caller = scope.get("state", {}).get("caller")
    return {} if caller is None or caller.tenant is None else {"tenant": caller.tenant}


def _field_error(fault: Mapping[str, Any]) -> FieldError:
    """Convert an error of Pydantic or the framework."""
    # The input itself is left out, because it may hold text that JSON cannot encode.
    if fault.get("type") == "json_invalid":
        return FieldError(field="body", detail=f"not JSON: {fault['ctx']['error']} at character {fault['loc'][-1]}")
    if fault.get("type") == "model_attributes_type":
        return FieldError(field=".".join(map(str, fault["loc"])), detail="it is not an object")
    # Of a parameter that may be repeated, the place of one value says nothing: the name tells which parameter it is.
    place = fault["loc"][:2] if fault["loc"][0] == "query" else fault["loc"]
    return FieldError(field=printable(".".join(map(str, place))), detail=printable(str(fault["msg"])))
