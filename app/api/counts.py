"""How much is stored."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.api.access import needs
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.store.counts import read_counts

router = APIRouter(tags=["operation"], route_class=StrictRoute)


class CountsOut(BaseModel):
    users: int
    items: int = Field(description="All items, bare ones included")
    bare_items: int = Field(description="Items known only from ratings and events: neither put nor imported")
    ratings: int
    events: int


@router.get("/counts", summary="Count what is stored", responses=responses(422, 503), openapi_extra=needs("console"))
def get_counts(request: Request) -> CountsOut:
    """Counts rows of the database, so it takes longer where more is stored: about a second for 10 million ratings."""
    return CountsOut(**asdict(read_counts(service_of(request).store.database)))
