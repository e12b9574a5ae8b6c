"""Why a request is refused."""

import math
from collections.abc import Iterable, Mapping

from app.errors import ReckonError


class UnauthorizedError(ReckonError):
    """The same answer for every key that is not valid: it does not tell whether it was unknown, expired or revoked."""

    type = "unauthorized"
    title = "A valid API key is needed"
    status = 401

    def __init__(self, detail: str = "send a valid API key as `Authorization: Bearer KEY`") -> None:
        super().__init__(detail)

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="Reckon"'}


class UserTokenError(UnauthorizedError):
    """The browser key is valid, and public. What is wrong with the user token is told, so that the page renews it."""

    type = "user-token-invalid"
    title = "A valid user token is needed"

    def __init__(self) -> None:
        super().__init__("with a browser key, send a valid user token as `X-User-Token`: POST /tokens makes one")


class ForbiddenError(ReckonError):
    """The key is valid and does not allow this request."""

    type = "forbidden"
    title = "The API key does not allow this"
    status = 403


class MissingScopeError(ForbiddenError):
    type = "missing-scope"

    def __init__(self, needed: Iterable[str]) -> None:
        super().__init__(f"this operation needs a key with the scope {' or '.join(needed)}")


class WrongOriginError(ForbiddenError):
    type = "wrong-origin"

    def __init__(self) -> None:
        super().__init__(
            "a browser key answers only to the pages of its origins, by the header `Origin`, or `Sec-Fetch-Site:"
            " same-origin` with the name of the origin in `Host`"
        )


class OtherUserError(ForbiddenError):
    type = "other-user"

    def __init__(self) -> None:
        super().__init__("the user token is of another user than this request")


class TenantSuspendedError(ReckonError):
    """The key is valid, and the catalogue that it selects is suspended."""

    type = "tenant-suspended"
    title = "The catalogue is suspended"
    status = 403

    def __init__(self) -> None:
        super().__init__("the catalogue of this API key is suspended; the operator of the service can resume it")


class RateLimitedError(ReckonError):
    """`seconds`: until a request is allowed again."""

    type = "rate-limited"
    title = "Too many requests"
    status = 429

    def __init__(self, detail: str, seconds: float) -> None:
        super().__init__(detail)
        self.retry_after = max(1, math.ceil(seconds))

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after)}
