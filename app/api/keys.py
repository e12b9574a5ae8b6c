"""API keys, and the user tokens with which browser keys ask for one user."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from app.api.access import caller_of, needs
from app.api.idempotency import answers_a_secret
from app.api.problems import responses
from app.api.routing import StrictRoute, control_of
from app.api.schemas.keys import KeyIn, KeyOut, KeysOut, NewKeyOut, UserTokenIn, UserTokenOut
from app.auth.keys import new_key
from app.errors import ConflictError, NotFoundError

FIRST_KEY = ConflictError("the first key is made on the command line: `reckon keys create --scope admin`")
KeyId = Annotated[str, Path(pattern="^[0-9a-f]{12}$", examples=["4f1d09c2ab77"])]

router = APIRouter(tags=["keys"], route_class=StrictRoute)


@router.get("/keys", summary="List the API keys", responses=responses(422, 503), openapi_extra=needs("admin"))
def get_keys(request: Request) -> KeysOut:
    """Lists what is stored of the keys for the same catalogue as the caller's."""
    tenant = caller_of(request).tenant
    stored = control_of(request).store.api_keys.read().keys
    return KeysOut(keys=[KeyOut.from_key(key) for key in stored if key.tenant == tenant])


@router.post(
    "/keys",
    summary="Create an API key",
    status_code=201,
    responses=responses(
        400, 409, 413, 422, 503, 507, errors={"there is no key yet, so that anyone could make one": FIRST_KEY}
    ),
    openapi_extra=needs("admin", audit="keys.create"),
)
@answers_a_secret
def post_key(request: Request, body: KeyIn) -> NewKeyOut:
    """Makes a key for the same catalogue as the caller's. The answer alone holds the key itself.

    With `origins` it is a browser key: public, and only for the user of the token that is sent with it.
    """
    control, caller = control_of(request), caller_of(request)
    # Otherwise any page that reaches an open service could close it for its owner.
    if caller.key_id is None:
        raise FIRST_KEY
    text, key = new_key(
        scopes=body.scopes,
        created_at=control.store.api_keys.now(),
        note=body.note,
        origins=body.origins,
        rate_limit=body.rate_limit,
        lifetime=None if body.expires_in is None else timedelta(seconds=body.expires_in),
        tenant=caller.tenant,
    )
    control.store.api_keys.add(key, creator_id=caller.key_id)
    request.state.audited = key.key_id
    control.keys.refresh_after_change()
    return NewKeyOut.from_key(key, key=text)


@router.delete(
    "/keys/{key_id}",
    summary="Revoke an API key",
    status_code=204,
    responses=responses(404, 422, 503, 507),
    openapi_extra=needs("admin", audit="keys.revoke"),
)
def delete_key(request: Request, key_id: KeyId) -> Response:
    """Every process refuses the key within 5 seconds. A key that is revoked already stays so."""
    control = control_of(request)
    # A key of another catalogue is as good as none.
    if control.store.api_keys.get(key_id).tenant != caller_of(request).tenant:
        raise NotFoundError("API key", key_id)
    control.store.api_keys.revoke(key_id)
    control.keys.refresh_after_change()
    return Response(status_code=204)


@router.post(
    "/tokens",
    summary="Make a user token",
    status_code=201,
    responses=responses(400, 413, 422),
    openapi_extra=needs("recommendations:read", "ratings:write"),
)
@answers_a_secret
async def post_token(request: Request, body: UserTokenIn) -> UserTokenOut:
    """Makes a token with which a page may ask for this user alone, by a browser key. Nothing is stored.

    The token allows reading lists, writing ratings and events, or both, as the key that makes it does. It ends with
    that key, too.
    """
    text, end = control_of(request).user_tokens.make(caller_of(request), body.user_id, body.expires_in)
    return UserTokenOut(user_token=text, expires_at=datetime.fromtimestamp(end, UTC))
