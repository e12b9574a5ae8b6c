"""How much is stored, and how much arrived in each hour."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from app.api.access import needs
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.store.arrivals import MOST_HOURS
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


class TotalOut(BaseModel):
    n: int = Field(examples=[100_836])
    counted_at: datetime = Field(
        description="When all rows were counted last; what came and went since is added",
        examples=["2024-03-01T20:15:00Z"],
    )


class TotalsOut(BaseModel):
    ratings: TotalOut
    events: TotalOut
    users: TotalOut
    items: TotalOut = Field(description="Bare items included")


class HourOfArrivalsOut(BaseModel):
    """What was stored newly in an hour; what replaced something is not counted, and deletions take nothing away."""

    hour: datetime = Field(description="The time at which it begins", examples=["2024-03-01T20:00:00Z"])
    ratings: int
    events: int
    users: int
    items: int


class ArrivalsOut(BaseModel):
    totals: TotalsOut
    hours: list[HourOfArrivalsOut] = Field(description="Oldest first; the last one is the current hour")


@router.get(
    "/arrivals",
    summary="Get totals and what arrived by the hour",
    responses=responses(422, 503),
    openapi_extra=needs("console"),
)
def get_arrivals(
    request: Request,
    hours: Annotated[int, Query(ge=1, le=MOST_HOURS, description="How many hours, the current one included")] = 168,
) -> ArrivalsOut:
    """Fast however much is stored, unlike `GET /counts`. What was stored within the last ten seconds may be missing. So
    may be what a crashed process had not added yet, until the next training run counts all rows. The hours are those
    of arrival, not of `rated_at` or `at`.
    """
    arrivals = service_of(request).store.arrivals
    totals = {kind: TotalOut(**asdict(total)) for kind, total in arrivals.totals().items()}
    return ArrivalsOut(
        totals=TotalsOut(**totals),
        hours=[HourOfArrivalsOut(**asdict(each)) for each in arrivals.by_hour(hours)],
    )
