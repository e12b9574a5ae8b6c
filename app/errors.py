"""Errors that a caller can act on. Each carries a stable `type`, a status and a text that is safe to show.

A door (API, command line) catches `ReckonError` and shows it; every other exception is a defect and shows nothing of
itself. Subclasses take typed data and write their own text.
"""

from typing import ClassVar


class ReckonError(Exception):
    """Base of all expected errors.

    `type` becomes the last part of the problem type (RFC 9457), `status` the HTTP status, `field` names the part of the
    input at fault, where there is one.
    """

    type: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong"
    status: ClassVar[int] = 500

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class InvalidInputError(ReckonError):
    """A value that is malformed: nothing was stored."""

    type = "invalid-input"
    title = "The request is malformed"
    status = 422


class NotFoundError(ReckonError):
    """A named user, item, job or snapshot does not exist."""

    type = "not-found"
    title = "There is no such thing"
    status = 404

    def __init__(self, kind: str, identifier: str) -> None:
        super().__init__(f"there is no {kind} {identifier!r}")
        self.kind = kind
        self.identifier = identifier


class ConflictError(ReckonError):
    """The request is well formed but contradicts what is stored."""

    type = "conflict"
    title = "The request contradicts what is stored"
    status = 409


class UnavailableError(ReckonError):
    """A part that the request needs does not answer now; trying again may help."""

    type = "unavailable"
    title = "The service cannot answer this now"
    status = 503


class StorageFullError(ReckonError):
    """There is no room left to store anything; reading still works."""

    type = "storage-full"
    title = "There is no room left to store this"
    status = 507
