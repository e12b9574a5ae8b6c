"""The map of the items of a snapshot: what the same users like lies close together."""

from dataclasses import dataclass
from functools import partial

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from app.console.item_lists import shortened
from app.console.learning_snapshot import SNAPSHOTS, SnapshotGoneError, Version
from app.console.plots import Plot, Spec
from app.console.prepared import prepared_page
from app.console.rendering import link, percent
from app.console.routing import console_router, service_of
from app.errors import NotFoundError
from app.serving.item_map import ItemPlaces, item_places
from app.wiring import Service

router = console_router()

N_CATEGORIES = 6
"""Colours on the map; the other categories share one."""


@dataclass(frozen=True, slots=True)
class MapView:
    """`n_left_out`: items with a taste that are not on the map, since fewer users chose them."""

    version: int
    href: str
    plot: Plot
    n_shown: int
    n_left_out: int


def map_view(service: Service, version: int) -> MapView:
    """Opens the snapshot unless it is live. Raises `SnapshotGoneError`, and `SnapshotError` if it cannot be opened."""
    try:
        places = item_places(service.published.open(version, service.serving.current.scorer))
    except NotFoundError as error:
        raise SnapshotGoneError(version) from error
    return MapView(
        version=version,
        href=link(SNAPSHOTS, version),
        plot=map_plot(service, places),
        n_shown=len(places.item_keys),
        n_left_out=places.n_left_out,
    )


def map_plot(service: Service, places: ItemPlaces) -> Plot:
    keys = places.item_keys.tolist()
    items = service.store.items.of_keys(keys)
    firsts = [items[key].categories[0] for key in keys if key in items and items[key].categories]
    counts: dict[str, int] = {}
    for name in firsts:
        counts[name] = counts.get(name, 0) + 1
    coloured = sorted(counts, key=lambda name: -counts[name])[:N_CATEGORIES]
    rows = []
    for key, (x, y), n_chosen in zip(keys, places.places.tolist(), places.n_chosen.tolist(), strict=True):
        # An item that was deleted since is left out.
        if (item := items.get(key)) is None:
            continue
        category = item.categories[0] if item.categories else "none"
        shown = category if category in coloured or category == "none" else "another"
        title = shortened(item.title or item.item_id)
        rows.append((title, shortened(item.item_id), shown, n_chosen, round(x, 4), round(y, 4)))
    return Plot(
        "Map of the items",
        f"The most chosen items in the plane: what the same users like lies close together. The two axes show "
        f"{percent(places.explained, 0)} of how the items differ. Larger dots were chosen by more users. Drag to move, "
        "scroll to zoom, and type to search.",
        ("Title", "Item", "Category", "Users", "x", "y"),
        rows,
        _map_marks(),
        "There are too few items with a taste for a map: it takes three that users have rated.",
        height=520,
    )


def _map_marks() -> Spec:
    found = "search == '' || indexof(lower(datum.Title + ' ' + datum.Item), lower(search)) >= 0"
    is_found = {"and": [{"param": "category"}, found]}
    axis = {"labels": False, "ticks": False, "title": None, "grid": False, "domain": False}
    return {
        "params": [
            {"name": "view", "select": {"type": "interval"}, "bind": "scales"},
            {
                "name": "search",
                "value": "",
                "bind": {"input": "search", "name": "Search titles and ids: ", "debounce": 150},
            },
            {"name": "category", "select": {"type": "point", "fields": ["Category"]}, "bind": "legend"},
        ],
        "mark": {"type": "circle", "stroke": None},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "axis": axis},
            "y": {"field": "y", "type": "quantitative", "axis": axis},
            "size": {"field": "Users", "type": "quantitative", "scale": {"range": [12, 220]}, "legend": None},
            "color": {"field": "Category", "type": "nominal", "legend": {"orient": "bottom", "columns": 4}},
            "opacity": {
                "condition": {"test": is_found, "value": 0.8},
                "value": 0.06,
            },
            "tooltip": [
                {"field": "Title", "type": "nominal"},
                {"field": "Item", "type": "nominal"},
                {"field": "Category", "type": "nominal"},
                {"field": "Users", "type": "quantitative"},
            ],
        },
    }


@router.get(f"{SNAPSHOTS}/{{version}}/map")
async def show_map(request: Request, version: Version) -> Response:
    make = partial(run_in_threadpool, map_view, service_of(request), version)
    title = f"Map of the items of snapshot {version}"
    return await prepared_page(request, "learning_map.html", make, title=title, part="map")
