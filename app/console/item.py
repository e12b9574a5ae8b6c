"""An item: what is stored and learned of it, what is like it, and how its lists use it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import numpy as np
from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from app.console.covers import Cover, cover_of
from app.console.item_form import ATTRIBUTE_KINDS, ItemForm, form_of, read_form
from app.console.plots import Plot, bars
from app.console.prepared import prepared_page
from app.console.rendering import link, page
from app.console.routing import changes, console_router, service_of
from app.console.timelines import by_period, over_time
from app.entities import EventType, Item, Patch, clean_id
from app.errors import InvalidInputError, NotFoundError
from app.serving.data_quality import ratings_by_value
from app.serving.query import DEFAULT_PLACEMENT, ListOptions, SimilarItem
from app.serving.query import Query as ListQuery
from app.serving.serving_state import ServingState
from app.serving.similar import BLEND, SimilarKind
from app.store.events import MAX_COUNTED, ItemEvents
from app.wiring import Service

router = console_router()

N_SIMILAR = 10
N_SAMPLED, N_LISTS, LIST_LENGTH = 500, 8, 20
SIMILAR_KINDS: Mapping[SimilarKind, str] = {
    "blend": "All that is known",
    "taste": "By taste",
    "together": "Chosen together",
    "next": "Chosen next",
}
SOURCES = {
    "learned": "Its place is learned from what users chose.",
    "features": "No user had chosen it when the snapshot was made. Its place follows from its categories, attributes"
    " and creator.",
    "nothing": "No user had chosen it, and its fields say nothing. It is placed like any unknown item. Give it"
    " categories or attributes.",
    "popularity": "Nothing is learned yet: lists hold popular items. Start a training run.",
}
SOURCE_NAMES = {"learned": "learned", "features": "from features", "nothing": "nothing known", "popularity": "not yet"}


@dataclass(frozen=True, slots=True)
class LearnedOf:
    """What the snapshot knows. `n_choices`, `n_likes`: numbers of users, None for an item newer than it.

    `source`: of `SOURCES`.
    """

    snapshot_version: int | None
    n_choices: int | None
    n_likes: int | None
    mean_rating: float | None
    source: str
    histogram: Plot
    by_time: Plot

    @property
    def source_name(self) -> str:
        return SOURCE_NAMES[self.source]

    @property
    def meaning(self) -> str:
        return SOURCES[self.source]


@dataclass(frozen=True, slots=True)
class PlacementUse:
    """`placement`: None for events that no list led to."""

    placement: str | None
    n_shown: int
    n_chosen: int

    @property
    def rate(self) -> float | None:
        return self.n_chosen / self.n_shown if self.n_shown else None


@dataclass(frozen=True, slots=True)
class ItemUse:
    """Events: how often the item was shown, and chosen after it. `exposures`: the names of the types that show."""

    n_shown: int
    n_chosen: int
    by_placement: tuple[PlacementUse, ...]
    exposures: tuple[str, ...]
    is_complete: bool
    n_counted: int = MAX_COUNTED

    @property
    def of_events(self) -> str:
        """Of which events these are counts."""
        return "events" if self.is_complete else f"of the first {self.n_counted:,} events"

    @property
    def rate(self) -> float | None:
        return self.n_chosen / self.n_shown if self.n_shown else None


@dataclass(frozen=True, slots=True)
class SimilarList:
    kind: SimilarKind
    kinds: Mapping[SimilarKind, str]
    items: tuple[SimilarItem, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListPlace:
    """Where the item stands for a user. `rules`: those that moved it, with the ranks before and after."""

    user_id: str
    stage: str
    detail: str
    rank: int | None
    rank_by_score: int | None
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampleLists:
    placement: str
    places: tuple[ListPlace, ...]
    length: int = LIST_LENGTH

    @property
    def n_shown(self) -> int:
        return sum(each.stage == "shown" for each in self.places)


@dataclass(frozen=True, slots=True)
class ItemView:
    item: Item
    title: str
    cover: Cover
    url: str | None
    learned: LearnedOf
    use: ItemUse
    similar: SimilarList
    lists: SampleLists | None
    placements: tuple[str, ...]
    form: ItemForm
    attribute_kinds: tuple[str, ...] = ATTRIBUTE_KINDS


@router.get("/console/items/{item_id}")
async def show(
    request: Request,
    item_id: str,
    kind: SimilarKind = BLEND,
    lists: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """`lists`: the placement of which sample lists are made; none without it, because they take a while."""
    make = partial(item_view, service_of(request), item_id, kind=kind, lists=lists)
    if lists is None:
        return page(request, "item.html", await make())
    return await prepared_page(request, "item.html", make, title=f"Lists with {item_id}", part="lists")


@router.post("/console/items/{item_id}")
@changes("items.patch")
async def save(request: Request, item_id: str) -> Response:
    service, form = service_of(request), await request.form()
    item_id = clean_id(item_id)
    item = await run_in_threadpool(service.store.items.get, item_id)
    if item is None:
        raise NotFoundError("item", item_id)
    typed, patch = read_form(item, form)
    try:
        if typed.is_valid:
            return await _patched(service, item_id, patch)
    except InvalidInputError as error:
        if not typed.attributes:
            raise
        typed = replace(typed, attributes=(*typed.attributes[:-1], replace(typed.attributes[-1], problem=error.detail)))
    view = replace(await item_view(service, item_id), form=_with_new_row(typed))
    return page(request, "item.html", view, status=422)


@router.post("/console/items/{item_id}/availability")
@changes("items.patch")
async def save_availability(request: Request, item_id: str) -> Response:
    form = await request.form()
    if form.get("is_available") not in {"yes", "no"}:
        raise InvalidInputError("is_available is yes or no", field="is_available")
    patch = Patch(clean_id(item_id), {"is_available": form["is_available"] == "yes"})
    return await _patched(service_of(request), item_id, patch)


async def _patched(service: Service, item_id: str, patch: Patch) -> Response:
    is_empty = not patch.fields and not patch.attributes
    if await run_in_threadpool(service.store.items.patch_stored, patch, field="form") is None:
        raise NotFoundError("item", item_id)
    said = "unchanged" if is_empty else "saved"
    return RedirectResponse(link("/console/items", item_id, said=said), status_code=303)


def _with_new_row(form: ItemForm) -> ItemForm:
    """With an empty last row of attributes."""
    if form.attributes and not form.attributes[-1].name:
        return form
    return replace(form, attributes=(*form.attributes, *form_of(Item("")).attributes))


async def item_view(service: Service, item_id: str, *, kind: SimilarKind = BLEND, lists: str | None = None) -> ItemView:
    """Raises `NotFoundError`, and `UnknownPlacementError` for `lists`."""
    item_id = clean_id(item_id)
    item = await run_in_threadpool(service.store.items.get, item_id)
    if item is None:
        raise NotFoundError("item", item_id)
    state = await service.request_states.read("")
    row = state.serving.catalogue.row_of_id(item_id)
    if row is None:
        raise NotFoundError("item", item_id)
    query = ListQuery(None, ListOptions(limit=N_SIMILAR))
    similar = await service.similar_items.similar_items(item_id, kind, query, state)
    types = await run_in_threadpool(service.store.events.types)
    events = await run_in_threadpool(service.store.events.of_item, item_id)
    title = item.title or item_id
    return ItemView(
        item=item,
        title=title,
        cover=cover_of(title, item.categories, item.image_url),
        # A link that the rules for URLs refuse today may have been stored by an earlier release.
        url=item.url if item.url and item.url.lower().startswith(("http://", "https://")) else None,
        learned=await run_in_threadpool(learned_of, row, state.serving),
        use=use_of(events, {each.name: each for each in types.values()}),
        similar=SimilarList(kind, SIMILAR_KINDS, tuple(similar.items), tuple(similar.notes)),
        lists=None if lists is None else await sample_lists(service, item_id, row, lists),
        placements=tuple(sorted(state.config.placements, key=lambda name: (name != DEFAULT_PLACEMENT, name))),
        form=form_of(item),
    )


def learned_of(row: int, serving: ServingState) -> LearnedOf:
    scorer = serving.scorer
    is_held = row < scorer.n_items
    values, times = scorer.ratings_of(row) if is_held and scorer.is_learned else (np.empty(0), np.empty(0, np.int64))
    as_of = f"As of snapshot {scorer.version}." if scorer.is_learned else "Counted once a snapshot is trained."
    if not scorer.has_all_users:
        as_of += " Counted over the users that it holds, a share of all."
    return LearnedOf(
        snapshot_version=scorer.version,
        n_choices=int(scorer.arrays.item_counts[row]) if is_held else None,
        n_likes=int(scorer.arrays.like_counts[row]) if is_held else None,
        mean_rating=float(values.mean()) if len(values) and scorer.scale.is_graded else None,
        source=_source(row, serving),
        histogram=_histogram(values, as_of),
        by_time=_by_time(times, as_of),
    )


def _source(row: int, serving: ServingState) -> str:
    scorer = serving.scorer
    if not scorer.is_learned:
        return "popularity"
    if row < scorer.n_items and scorer.arrays.item_counts[row]:
        return "learned"
    vector = serving.vectors_of(np.array([row]))[0]
    return "nothing" if np.allclose(vector, scorer.arrays.unrated_item, atol=1e-6) else "features"


def _histogram(values: NDArray[np.floating], as_of: str) -> Plot:
    rows = ratings_by_value(values)
    return Plot(
        "Ratings by value",
        f"How many users gave each rating. {as_of}",
        ("rating", "users"),
        rows,
        # In the order of the rows: names of ranges do not sort by themselves.
        bars("rating", "users", sort=[name for name, _ in rows]),
        empty="No ratings are known of this item.",
    )


def _by_time(times: NDArray[np.int64], as_of: str) -> Plot:
    unit, counted = by_period({"ratings": times})
    rows = [(at, n) for at, _, n in counted]
    return Plot(
        "Ratings over time",
        f"Ratings in each {unit}; those without a time are left out. {as_of}",
        (unit, "ratings"),
        rows,
        over_time(unit, "ratings", len(rows)),
        empty="No times of ratings are known of this item.",
    )


def use_of(events: ItemEvents, types: Mapping[str, EventType]) -> ItemUse:
    """Shown: events of types that show an item. Chosen: of other types with a positive weight."""
    shown: dict[str | None, int] = {}
    chosen: dict[str | None, int] = {}
    for (name, placement), n in events.counts.items():
        declared = types.get(name)
        if declared is None:
            continue
        if declared.is_exposure:
            shown[placement] = shown.get(placement, 0) + n
        elif declared.weight > 0:
            chosen[placement] = chosen.get(placement, 0) + n
    placements = sorted({*shown, *chosen}, key=lambda name: (name is None, name or ""))
    return ItemUse(
        sum(shown.values()),
        sum(chosen.values()),
        tuple(PlacementUse(each, shown.get(each, 0), chosen.get(each, 0)) for each in placements),
        tuple(name for name, each in types.items() if each.is_exposure),
        events.is_complete,
    )


async def sample_lists(service: Service, item_id: str, row: int, placement: str) -> SampleLists:
    """The lists of users for whom the item scores highest among a sample, without those who have rated it."""
    state = await service.request_states.read("")
    keys = await run_in_threadpool(_nearest_users, row, state.serving)
    ids = await run_in_threadpool(service.store.users.ids_of, keys)
    places = [await _place(service, item_id, ids[key], placement) for key in keys if key in ids][:N_LISTS]
    state.config.placement(placement)  # raises, also where there is no user
    return SampleLists(placement, tuple(places))


def _nearest_users(row: int, serving: ServingState) -> list[int]:
    """The keys of up to `N_LISTS` users, the one with the highest score first."""
    scorer = serving.scorer
    n_users = len(scorer.arrays.user_keys)
    if not scorer.is_learned or not n_users:
        return []
    sampled = np.unique(np.linspace(0, n_users - 1, N_SAMPLED).astype(np.int64))
    scores = scorer.user_vectors[sampled] @ serving.vectors_of(np.array([row]))[0]
    ordered = sampled[np.argsort(-scores, kind="stable")].tolist()
    likely = [each for each in ordered[: 5 * N_LISTS] if row not in scorer.arrays.history(each)[0]]
    return [int(scorer.arrays.user_keys[each]) for each in likely[:N_LISTS]]


async def _place(service: Service, item_id: str, user_id: str, placement: str) -> ListPlace:
    query = ListQuery(user_id, ListOptions(limit=LIST_LENGTH, placement=placement, explain=True))
    state = await service.request_states.read(user_id)
    why = await service.exclusion.explain(item_id, query, state)
    rules: tuple[str, ...] = (why.rule,) if why.rule else ()
    if why.stage == "shown":
        answer = await service.unseen_recommender.recommend(query, state)
        reasons = next((getattr(each, "reasons", None) for each in answer.items if each.item_id == item_id), None)
        moves = [] if reasons is None else reasons.rules
        rules = tuple(
            f"{move.rule}: {'brought in' if move.rank_before is None else move.rank_before} → {move.rank_after}"
            for move in moves
        )
    return ListPlace(user_id, why.stage, why.detail, why.rank, why.rank_by_score, rules)
