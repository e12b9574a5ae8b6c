"""Errors that a caller can act on. Each has a stable `type`, an HTTP status and a text that is safe to show.

The API and the command line catch `ReckonError` and show its text. Any other exception is a defect, and its text is
only logged, because it may hold SQL, paths or data of users.
"""

from collections.abc import Mapping
from typing import ClassVar


class ReckonError(Exception):
    """Base of all expected errors.

    `type`: last part of the problem type (RFC 9457).
    `title`: the same text for all errors of the type.
    `status`: HTTP status.
    `detail`: what is wrong in this case.
    `field`: the part of the input at fault, such as `body.value`; None where no single part is.
    `current_version`: of what is stored, where the caller has seen another version.
    """

    type: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong"
    status: ClassVar[int] = 500
    current_version: int | None = None

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer that belong to the error."""
        return {}


class InvalidInputError(ReckonError):
    """A value of the input is not valid. Nothing was stored."""

    type = "invalid-input"
    title = "The request is malformed"
    status = 422


class NotFoundError(ReckonError):
    """The user, item, job, snapshot or other resource that the request names does not exist."""

    type = "not-found"
    title = "There is no such thing"
    status = 404

    def __init__(self, kind: str, identifier: str) -> None:
        super().__init__(f"there is no {kind} {identifier!r}")
        self.kind = kind
        self.identifier = identifier


class ConflictError(ReckonError):
    """The request is valid but conflicts with the stored state."""

    type = "conflict"
    title = "The request contradicts what is stored"
    status = 409


class ChangedMeanwhileError(ReckonError):
    """The caller has seen another version of what is to be changed. Nothing was changed."""

    type = "changed-meanwhile"
    title = "It was changed meanwhile"
    status = 412

    def __init__(self, detail: str, current_version: int) -> None:
        super().__init__(detail)
        self.current_version = current_version

    @property
    def headers(self) -> Mapping[str, str]:
        return {"ETag": f'"{self.current_version}"'}


class UnavailableError(ReckonError):
    """A component that the request needs does not answer now. A later attempt may succeed."""

    type = "unavailable"
    title = "The service cannot answer this now"
    status = 503

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class StorageUnavailableError(UnavailableError):
    """The database cannot be reached or does not answer in time."""


class OverloadedError(UnavailableError):
    """More requests wait than can be answered soon. Nothing was done."""

    type = "overloaded"
    title = "The service has more requests than it can answer"

    def __init__(self) -> None:
        super().__init__("too many requests are waiting; try again")


class StorageFullError(ReckonError):
    """The storage is full. Reading still works."""

    type = "storage-full"
    title = "There is no room left to store this"
    status = 507
