"""An example of every error response in the OpenAPI document: the problem document that the operation really answers.

`faulty` derives it from the operation: it changes its example request in one place, for instance leaves out a required
field, and tells the answer. A test sends these requests and compares. An error that depends on what is stored is
declared with the operation, see `app.api.problems.responses`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from app.api.body_limit import too_large
from app.api.examples import Schema, resolved
from app.api.problems import (
    EXAMPLE_REQUEST_ID,
    MEDIA_TYPE,
    PREFIX,
    Problem,
    http_problem,
    malformed_problem,
    problem_of,
)
from app.api.routing import NotJsonError
from app.errors import NotFoundError, StorageFullError, UnavailableError
from app.intake.json_limits import MAX_BODY_BYTES
from app.intake.value_types import ID_PATTERN

NOT_FOUND: Mapping[str, tuple[str, str]] = {
    "user_id": ("user", "no-such-user"),
    "item_id": ("item", "no-such-item"),
    "erasure_id": ("erasure", "no-such-erasure"),
    "job_id": ("training job", "no-such-job"),
    "import_id": ("import", "no-such-import"),
    "version": ("snapshot", "999999"),
    "name": ("placement", "no-such-placement"),
    "number": ("placement version", "999999"),
    "key_id": ("API key", "000000000000"),
}
"""Path parameter -> what it names, and an id that does not exist."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """A request that fails, as differences from the example of its operation, and the answer.

    `cause`: the difference, in words. `path`, `query`: other values of parameters; of the query no others are sent.
    `body`: another body; None for that of the example. `content`: bytes that are sent as the body.
    """

    cause: str
    problem: Problem
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content: bytes | None = None


WRONG_TYPE = {"string": "string", "integer": "integer", "number": "number", "object": "dictionary"}
"""JSON type -> what Pydantic calls it when it gets a list instead."""

ANYWHERE: Mapping[int, Faulty] = {
    400: Faulty("the body is not UTF-8", http_problem(400, "There was an error parsing the body"), content=b"\xff"),
    413: Faulty(
        "the body is too large", http_problem(413, too_large(MAX_BODY_BYTES)), content=b" " * (MAX_BODY_BYTES + 1)
    ),
    415: Faulty("the content type is not JSON", problem_of(NotJsonError())),
    503: Faulty("the database does not answer", problem_of(UnavailableError("the database does not answer"))),
    507: Faulty("the disk is full", problem_of(StorageFullError("the database has no room left"))),
}
"""Errors that are the same for every operation, by status."""


def complete(document: Schema) -> None:
    """Add an example to every error response that has none. Changes nothing a second time."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get(MEDIA_TYPE)
                if content is None or "examples" in content:
                    continue
                fault = faulty(operation, int(status), document["components"]["schemas"])
                problem = fault.problem.model_copy(update={"request_id": EXAMPLE_REQUEST_ID})
                name = problem.type.removeprefix(PREFIX)
                content["examples"] = {name: {"summary": fault.cause, "value": problem.document}}


def faulty(operation: Schema, status: int, components: Schema) -> Faulty:
    """Return a request for the operation that is answered with this status."""
    match status:
        case HTTPStatus.NOT_FOUND if names := _named(operation):
            return _not_found(operation, names[-1], components)
        case HTTPStatus.UNPROCESSABLE_ENTITY:
            return _malformed(operation, components)
        case _:
            phrase = HTTPStatus(status).phrase
            return ANYWHERE.get(status, Faulty(phrase, http_problem(status, phrase)))


def _named(operation: Schema) -> list[str]:
    """Return the path parameters that name something."""
    parameters = operation.get("parameters", ())
    return [each["name"] for each in parameters if each["in"] == "path" and each["name"] in NOT_FOUND]


def _not_found(operation: Schema, name: str, components: Schema) -> Faulty:
    kind, identifier = NOT_FOUND[name]
    # Optional fields may replace what the path names.
    required = _required(operation, components) or None
    error = NotFoundError(kind, identifier)
    return Faulty(f"`{name}` is `{identifier}`", problem_of(error), path={name: identifier}, body=required)


def _required(operation: Schema, components: Schema) -> Schema:
    """Return the required fields of the example body; empty if there are none."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        required = resolved(content["schema"], components).get("required", ())
        return {name: each for name, each in content["example"].items() if name in required}
    return {}


def _malformed(operation: Schema, components: Schema) -> Faulty:
    """Return the first of: a field missing, a number too small, a field of another type, no id, one thing too many."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema, example = resolved(content["schema"], components), content["example"]
        for name in schema.get("required", ()):
            body = {other: each for other, each in example.items() if other != name}
            return Faulty(f"`{name}` is missing", _fault("body", name, "Field required"), body=body)
        for name in example:
            kind = resolved(schema["properties"][name], components).get("type")
            if kind in WRONG_TYPE:
                problem = _fault("body", name, f"Input should be a valid {WRONG_TYPE[kind]}")
                return Faulty(f"`{name}` is `[]`", problem, body=example | {name: []})
    parameters = [(each["name"], each["in"], each["schema"]) for each in operation.get("parameters", ())]
    for name, place, schema in parameters:
        if schema.get("type") == "integer" and "minimum" in schema:
            least = schema["minimum"]
            problem = _fault(place, name, f"Input should be greater than or equal to {least}")
            changed = {name: str(least - 1)}
            path, query = (changed, {}) if place == "path" else ({}, changed)
            return Faulty(f"`{name}={least - 1}`", problem, path, query)
    for name, place, schema in parameters:
        if schema.get("pattern") == ID_PATTERN:
            problem = _fault(place, name, "an id must not contain '/', begin or end with a space, or be '.' or '..'")
            return Faulty(f"`{name}` begins with a space", problem, path={name: " 1"})
    queries = sorted(name for name, place, _ in parameters if place == "query")
    takes = f"this path takes {', '.join(queries)}" if queries else "this path takes none"
    problem = _fault("query", "colour", f"unknown parameter; {takes}")
    return Faulty("`colour=blue`", problem, query={"colour": "blue"})


def _fault(place: str, name: str, message: str) -> Problem:
    return malformed_problem([{"loc": (place, name), "msg": message}])
