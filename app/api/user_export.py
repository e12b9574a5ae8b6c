"""Everything that is stored of a user, for a person who asks for their data."""

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from app.api.access import needs
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.api.schemas.user_export import UserExportOut
from app.intake.user_export import FILE_NAME, user_document
from app.intake.value_types import Id

router = APIRouter(prefix="/users", tags=["users"], route_class=StrictRoute)


@router.get(
    "/{user_id}/export",
    summary="Export everything that is stored of a user",
    response_model=UserExportOut,
    responses=responses(404, 422, 503),
    openapi_extra=needs("admin", audit="users.export"),
)
def export_user(request: Request, user_id: Id) -> StreamingResponse:
    """For a person who asks for their data, in a form that programs read. Ratings and events are sent as they are read,
    so that any number of them is possible; what is written meanwhile may be missing.
    """
    document = user_document(user_id, service_of(request).store.user_data)
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{FILE_NAME}"'}
    return StreamingResponse(document, media_type="application/json", headers=headers)
