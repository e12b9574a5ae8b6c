"""What can go wrong, each in its own class; all are `ReckonError`."""

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
    """The service could not be reached, or broke off before it had answered."""


class TimedOutError(ReckonError):
    """No answer within the time allowed. A write may have been stored all the same."""


class UnreadableAnswerError(ReckonError):
    """Something answered, but not as this service does: a wrong address, a proxy's page, a much older version."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """`field`: where, as `body.value` or `query.limit`."""

    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error says (RFC 9457).

    `type` is stable: programs may depend on it. `detail` is for people. `field`: the part of the input at fault.
    `errors`: all faults found, where there are several. `request_id`: names the request in the service's logs; None
    where the request never left this client. `retry_after_seconds`: how long the service asks to be left alone.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    errors: tuple[FieldError, ...] = ()
    request_id: str | None = None
    retry_after_seconds: float | None = None


class ProblemError(ReckonError):
    """The service answered, and its answer is an error. Has the parts of the `problem` as attributes."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)  # the one argument: so it survives pickling between processes
        self.problem = problem
        self.type = problem.type
        self.title = problem.title
        self.status = problem.status
        self.detail = problem.detail
        self.field = problem.field
        self.errors = problem.errors
        self.request_id = problem.request_id
        self.retry_after_seconds = problem.retry_after_seconds

    def __str__(self) -> str:
        where = f", field {self.field}" if self.field else ""
        which = f", request {self.request_id}" if self.request_id else ""
        return f"{self.detail} ({self.status} {self.type.removeprefix(PREFIX)}{where}{which})"


class InvalidInputError(ProblemError):
    """400, 422: the request is malformed, and nothing was stored. `field` names the part at fault."""


class NotFoundError(ProblemError):
    """404: there is no such user, item, placement, job or snapshot."""


class ConflictError(ProblemError):
    """409: the request contradicts what is stored."""


class TooLargeError(ProblemError):
    """413: the body is too large."""


class UnavailableError(ProblemError):
    """429, 502, 503, 504: not now; trying again later may help."""


class StorageFullError(ProblemError):
    """507: there is no room left to store anything; reading still works."""


BY_STATUS: dict[int, type[ProblemError]] = {
    400: InvalidInputError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    422: InvalidInputError,
    429: UnavailableError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
    507: StorageFullError,
}


def invalid(field: str, detail: str) -> InvalidInputError:
    """As the service would answer, for what cannot even be sent."""
    return InvalidInputError(Problem(PREFIX + "invalid-input", "The request is malformed", 422, detail, field))


def problem_of(response: httpx.Response) -> ProblemError:
    """The error that an answer with an error status is; also of a proxy that knows nothing of problem documents."""
    status = response.status_code
    document = _document(response)
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
    )
    return BY_STATUS.get(status, ProblemError)(problem)


def retry_after_seconds(response: httpx.Response) -> float | None:
    """Of the header `Retry-After`, which holds seconds or a date; None where it is absent or neither."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _field_errors(found: Any) -> tuple[FieldError, ...]:
    if not isinstance(found, list):
        return ()
    return tuple(
        FieldError(str(each.get("field", "")), str(each.get("detail", ""))) for each in found if isinstance(each, dict)
    )


def _document(response: httpx.Response) -> dict[str, Any]:
    if response.headers.get("content-type", "").split(";")[0] != PROBLEM:
        return {}
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
