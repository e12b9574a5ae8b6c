"""The errors of the client, one class for each thing a caller may want to handle; all are `ReckonError`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

PROBLEM = "application/problem+json"
PREFIX = "urn:reckon:problem:"


class ReckonError(Exception):
    """Base of all errors of this client."""


class ConnectionFailedError(ReckonError):
    """The service could not be reached, or the connection broke before the whole answer had arrived."""


class TimedOutError(ReckonError):
    """No answer came within the time allowed. A write may have been stored nevertheless."""


class UnreadableAnswerError(ReckonError):
    """The answer is not one of this service: the address is wrong, a proxy answered, or the versions do not match."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of the input. `field`: its place, as `body.value` or `query.limit`."""

    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """The content of an error (RFC 9457).

    `type`: a stable identifier; programs may depend on it.
    `detail`: for people; may change.
    `field`: the part of the input at fault.
    `errors`: all faults, where there are several.
    `request_id`: identifies the request in the service's logs; None where the request never left this client.
    `retry_after_seconds`: how long the service asks to wait.
    `current_version`: of what is stored, where the caller has seen another version.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    errors: tuple[FieldError, ...] = ()
    request_id: str | None = None
    retry_after_seconds: float | None = None
    current_version: int | None = None


class ProblemError(ReckonError):
    """The service answered with an error. The fields of `problem` are attributes of the error too."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)  # the only argument, so that the error can be pickled
        self.problem = problem
        self.type = problem.type
        self.title = problem.title
        self.status = problem.status
        self.detail = problem.detail
        self.field = problem.field
        self.errors = problem.errors
        self.request_id = problem.request_id
        self.retry_after_seconds = problem.retry_after_seconds
        self.current_version = problem.current_version

    def __str__(self) -> str:
        where = f", field {self.field}" if self.field else ""
        which = f", request {self.request_id}" if self.request_id else ""
        return f"{self.detail} ({self.status} {self.type.removeprefix(PREFIX)}{where}{which})"


class InvalidInputError(ProblemError):
    """400, 415, 422: the request is malformed; nothing was stored. `field` names the part at fault."""


class UnauthorizedError(ProblemError):
    """401: no API key was sent, or one that is not valid; or the user token of a browser key is not valid."""


class ForbiddenError(ProblemError):
    """403: the API key does not allow this operation."""


class NotFoundError(ProblemError):
    """404: there is no such user, item, placement, job or snapshot."""


class ConflictError(ProblemError):
    """409: the request contradicts what is stored."""


class ChangedMeanwhileError(ProblemError):
    """412: another version is stored than the one that the caller has seen; nothing was changed. `current_version`."""


class TooLargeError(ProblemError):
    """413: the body is too large."""


class UnavailableError(ProblemError):
    """502, 503, 504: the service cannot answer now; a later attempt may succeed."""


class RateLimitedError(UnavailableError):
    """429: the API key has made too many requests; `retry_after_seconds` says when the next one is allowed."""


class StorageFullError(ProblemError):
    """507: the storage is full; reading still works."""


# Other statuses are a plain `ProblemError`: a caller has nothing to do about 500 but to report it.
BY_STATUS: dict[int, type[ProblemError]] = {
    400: InvalidInputError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: ChangedMeanwhileError,
    413: TooLargeError,
    415: InvalidInputError,
    422: InvalidInputError,
    429: RateLimitedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
    507: StorageFullError,
}


def invalid(field: str, detail: str) -> InvalidInputError:
    """The error that the service would answer, for a request that cannot be sent at all."""
    return InvalidInputError(Problem(PREFIX + "invalid-input", "The request is malformed", 422, detail, field))


def problem_of(response: httpx.Response) -> ProblemError:
    """The error of a response with an error status. A proxy's response, which is no problem document, has one."""
    status = response.status_code
    document = _document(response)
    # Each part has a fallback: a proxy may answer with a page of its own, or with nothing.
    phrase = response.reason_phrase or "Error"
    problem = Problem(
        type=str(document.get("type", "about:blank")),
        title=str(document.get("title", phrase)),
        status=status,
        detail=str(document.get("detail", response.text[:200].strip() or phrase)),
        field=document.get("field"),
        errors=_field_errors(document.get("errors")),
        request_id=document.get("request_id") or response.headers.get("x-request-id"),
        retry_after_seconds=retry_after_seconds(response),
        current_version=document.get("current_version"),
    )
    return BY_STATUS.get(status, ProblemError)(problem)


def retry_after_seconds(response: httpx.Response) -> float | None:
    """The header `Retry-After`, which holds seconds or a date; None where it is absent or neither of them."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    # `isdecimal` and not `float`: the header allows whole seconds alone, and a date is tried next.
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _field_errors(errors: Any) -> tuple[FieldError, ...]:
    if not isinstance(errors, list):
        return ()
    return tuple(
        FieldError(str(each.get("field", "")), str(each.get("detail", ""))) for each in errors if isinstance(each, dict)
    )


def _document(response: httpx.Response) -> dict[str, Any]:
    # A proxy may answer with JSON of its own, so only the media type of a problem document counts.
    if response.headers.get("content-type", "").split(";")[0] != PROBLEM:
        return {}
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
