"""Items: the catalogue, found by title and by the filter language."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.console.covers import Cover, cover_of
from app.console.prepared import being_made_page, prepared
from app.console.rendering import link, page
from app.console.routing import console_router, service_of
from app.errors import InvalidInputError
from app.serving.expressions import ExpressionError, parse_filter
from app.serving.expressions.fields import FIELDS
from app.serving.item_details import ItemSelection, read_details
from app.serving.item_list import ORDERS, ItemList, ItemOrder, list_items
from app.serving.request_state import RequestState
from app.serving.serving_state import ServingState
from app.wiring import Service

router = console_router()

PAGE = 48
MAX_PAGES = 100_000
MAX_TEXT = 200
MAX_NAMES = 200
"""Attributes and categories that are offered while a filter is typed."""

SHOWN = ItemSelection(columns=("categories", "year", "image_url", "is_available"))
ORDER_NAMES = {"popular": "Most liked first", "unpopular": "Least liked first", "newest": "Newest first"}


@dataclass(frozen=True, slots=True)
class ItemRow:
    """`n_choices`: users who chose it, None for an item newer than the snapshot."""

    item_id: str
    title: str
    categories: tuple[str, ...]
    year: int | None
    is_available: bool
    n_choices: int | None
    cover: Cover


@dataclass(frozen=True, slots=True)
class FilterFault:
    """Why a filter is refused. The text is split at the character at fault; `at` is empty at the end."""

    reason: str
    position: int | None
    before: str = ""
    at: str = ""
    after: str = ""

    @classmethod
    def of(cls, error: InvalidInputError, text: str) -> "FilterFault":
        if not isinstance(error, ExpressionError):
            return cls(error.detail, None)
        place = error.position
        return cls(error.reason, place, text[:place][-60:], text[place : place + 1], text[place + 1 :][:60])


@dataclass(frozen=True, slots=True)
class FilterNames:
    """What an expression may name: fields with their kinds, attributes, and the categories of most items."""

    fields: tuple[tuple[str, str], ...]
    attributes: tuple[str, ...]
    categories: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """What is offered while an expression is typed, as it is written there."""
        plain = [name for name, _ in self.fields]
        attributes = [name if name.isidentifier() else f"`{name}`" for name in self.attributes if "`" not in name]
        return [*plain, *attributes, *(f'"{each}"' for each in self.categories if '"' not in each and "\\" not in each)]


@dataclass(frozen=True, slots=True)
class ItemsView:
    """`n_stored`: all items. `snapshot_version`: whose choices are counted."""

    q: str
    filter: str
    order: str
    orders: dict[str, str]
    fault: FilterFault | None
    items: tuple[ItemRow, ...]
    n_found: int
    n_stored: int
    is_near: bool
    snapshot_version: int | None
    first: str
    next: str
    names: FilterNames


@router.get("/console/items")
async def show(
    request: Request,
    q: Annotated[str, Query(max_length=MAX_TEXT)] = "",
    filter: Annotated[str, Query(max_length=6_000)] = "",  # noqa: A002  the name in the address
    order: ItemOrder = "popular",
    page_number: Annotated[int, Query(alias="page", ge=1, le=MAX_PAGES)] = 1,
) -> Response:
    service = service_of(request)
    make = partial(items_view, service, q=q.strip(), filter_text=filter.strip(), order=order, page_number=page_number)
    # The first search since the catalogue changed goes through all titles.
    view = await prepared(request, make)
    if view is None:
        return being_made_page(request, "Items", "found")
    # htmx shows what it gets for a status of success alone.
    is_refused = view.fault is not None and "hx-request" not in request.headers
    return page(request, "items.html", view, status=422 if is_refused else 200)


async def items_view(
    service: Service, *, q: str = "", filter_text: str = "", order: ItemOrder = "popular", page_number: int = 1
) -> ItemsView:
    state = await service.request_states.read("")
    fault, found = None, ItemList(state.serving.catalogue.keys[:0], 0, is_near=False)
    try:
        found = await run_in_threadpool(_found, state, q, filter_text, order, (page_number - 1) * PAGE)
    except InvalidInputError as error:
        fault = FilterFault.of(error, filter_text)
    # The parameters of the pages before and after.
    same = {"q": q or None, "filter": filter_text or None, "order": None if order == ORDERS[0] else order}
    has_more = page_number * PAGE < found.n_found
    return ItemsView(
        q=q,
        filter=filter_text,
        order=order,
        orders=ORDER_NAMES,
        fault=fault,
        items=await listed(service, state.serving, found),
        n_found=found.n_found,
        n_stored=int(state.serving.catalogue.stored().sum()),
        is_near=found.is_near,
        snapshot_version=state.serving.version,
        first=link("/console/items", **same) if page_number > 1 else "",
        next=link("/console/items", **same, page=page_number + 1) if has_more else "",
        names=await run_in_threadpool(filter_names, state.serving),
    )


def _found(state: RequestState, q: str, filter_text: str, order: ItemOrder, start: int) -> ItemList:
    catalogue = state.serving.catalogue
    parsed = parse_filter(filter_text) if filter_text else None
    if parsed is not None:
        for name in parsed.unknown_names(catalogue):
            raise name.error(catalogue)
    return list_items(state.serving, text=q, filter_=parsed, order=order, now=state.now, start=start, limit=PAGE)


async def listed(service: Service, serving: ServingState, found: ItemList) -> tuple[ItemRow, ...]:
    catalogue, counts = serving.catalogue, serving.scorer.arrays.item_counts
    rows = found.rows.tolist()
    item_ids = [catalogue.item_ids[row] for row in rows]
    details = await read_details(item_ids, SHOWN, service.store.reads)
    return tuple(
        ItemRow(
            item_id=item_id,
            title=catalogue.titles[row] or item_id,
            categories=tuple(detail["categories"]),
            year=detail["year"],
            is_available=detail["is_available"],
            n_choices=int(counts[row]) if row < len(counts) else None,
            cover=cover_of(catalogue.titles[row] or item_id, detail["categories"], detail["image_url"]),
        )
        for row, item_id, detail in zip(rows, item_ids, details, strict=True)
    )


def filter_names(serving: ServingState) -> FilterNames:
    catalogue = serving.catalogue
    names = catalogue.category_names
    # Counted over popular items alone: a count over all of them would say the same.
    counts = catalogue.category_counts(serving.popular_rows[:10_000])
    most = sorted(range(1, min(len(names), len(counts))), key=lambda code: -counts[code])[:MAX_NAMES]
    return FilterNames(
        tuple(FIELDS.items()), tuple(sorted(catalogue.attributes)[:MAX_NAMES]), tuple(names[code] for code in most)
    )
