"""How good the data are that the live snapshot was learned from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from app.console.plots import Plot, bars, channel
from app.console.prepared import prepared_page
from app.console.routing import console_router, service_of
from app.serving.data_quality import N_GROUPS, DataQuality
from app.wiring import Service

router = console_router("/console/data")


@dataclass(frozen=True, slots=True)
class DataQualityView:
    """`quality`: None without ratings, or before anything is learned. `busiest`: ids of users and their ratings.
    `has_all_users`: whether all users are counted, or the share that the snapshot holds.
    """

    version: int | None
    quality: DataQuality | None
    plots: Sequence[Plot] = ()
    busiest: Sequence[tuple[str, int]] = ()
    has_all_users: bool = True


@router.get("/quality")
async def show(request: Request) -> Response:
    make = partial(run_in_threadpool, data_quality_view, service_of(request))
    return await prepared_page(request, "data_quality.html", make, title="Data quality", part="quality")


def data_quality_view(service: Service) -> DataQualityView:
    scorer = service.serving.current.scorer
    found = service.data_quality.of(scorer)
    if found is None:
        return DataQualityView(scorer.version, None)
    ids = service.store.users.ids_of([key for key, _ in found.busiest])
    # Users who were erased since have no id any more.
    busiest = [(ids[key], n) for key, n in found.busiest if key in ids]
    return DataQualityView(scorer.version, found, quality_plots(found), busiest, scorer.has_all_users)


def quality_plots(found: DataQuality) -> list[Plot]:
    density = [
        (user_group + 1, item_group + 1, round(100 * float(found.grid[user_group, item_group]), 3))
        for user_group in range(N_GROUPS)
        for item_group in range(N_GROUPS)
    ]
    names = ("tenth of the users", "tenth of the items", "rated, %")
    axes = [channel(names[1], "ordinal"), channel(names[0], "ordinal"), channel(names[2], "quantitative")]
    shaded = {
        "mark": {"type": "rect"},
        "encoding": {"x": axes[0], "y": axes[1], "color": axes[2], "tooltip": axes},
    }
    return [
        Plot(
            "Ratings by value",
            "How many ratings have each value. One value for nearly everything says little of tastes.",
            ("value", "ratings"),
            found.values,
            # In the order of the rows: names of ranges do not sort by themselves.
            bars("value", "ratings", sort=[name for name, _ in found.values]),
        ),
        Plot(
            "Ratings of a user",
            "How many users have up to so many ratings, and more than the number before.",
            ("ratings up to", "users"),
            found.per_user,
            bars("ratings up to", "users"),
        ),
        Plot(
            "Ratings of an item",
            "How many items have up to so many ratings, and more than the number before; 0: none.",
            ("ratings up to", "items"),
            found.per_item,
            bars("ratings up to", "items"),
        ),
        Plot(
            "Where the ratings are",
            "Users and items in tenths, those with the most ratings first: which share of their pairs has a rating."
            " What is pale is hard to learn.",
            names,
            density,
            shaded,
        ),
    ]
