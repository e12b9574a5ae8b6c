"""Receipts of erasures of users."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from app.api.access import needs
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.api.schemas.erasures import ErasureOut
from app.erasure.receipt import receipt_of
from app.intake.value_types import Id

LATEST = "latest"

router = APIRouter(tags=["users"], route_class=StrictRoute)


@router.get(
    "/erasures/{erasure_id}",
    summary="Get the receipt of an erasure",
    response_model=ErasureOut,
    responses=responses(404, 422, 503),
    openapi_extra=needs("ratings:write"),
)
def get_erasure(
    request: Request,
    erasure_id: Annotated[
        Id, Path(description="From the header `Location` of `DELETE /users/{user_id}`; `latest`: the newest erasure")
    ],
) -> JSONResponse:
    """Pending until nothing is left of the user in snapshots, the database and files; then completed and signed."""
    store = service_of(request).store
    # Ids of erasures are hexadecimal, so none of them is `latest`.
    newest = store.erasures.latest(limit=1) if erasure_id == LATEST else []
    erasure = newest[0] if newest else store.erasures.get(erasure_id)
    # The document itself, because the signature is over its very values.
    return JSONResponse(receipt_of(erasure, store.instance.database_id, store.instance.token_key))
