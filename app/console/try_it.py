"""Try it: rate some items, and see at once how the list changes and why."""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from fastapi import Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from app.console.item_lists import (
    STRATEGIES,
    ItemCard,
    ReasonsView,
    cards_of,
    reasons_view,
    value_text,
)
from app.console.prepared import views_of
from app.console.rating_inputs import RatingInput, rating_input
from app.console.rendering import link, page
from app.console.routing import caller_of, changes, console_router, lease_of, service_of
from app.entities import Rating, clean_id
from app.errors import InvalidInputError, ReckonError, StorageUnavailableError, UnavailableError
from app.serving.exclusion import WhyNot
from app.serving.query import ListOptions, SearchResults
from app.serving.query import Query as ListQuery
from app.serving.request_state import RequestState
from app.serving.user_state import UserState
from app.wiring import Service

PATH = "/console/try"
N_LISTED, N_FOUND, N_RATED, N_GUEST, N_SAMPLES = 24, 8, 12, 12, 5
MAX_QUERY = 200
NO_RECOMMENDATION = ListOptions(limit=N_LISTED, explain=True)
SEPARATOR = "/"
"""Between the ids of the list before: no id contains it."""

RULES = {
    "already_consumed": "the user has rated or consumed it",
    "available": "it is not available",
    "disliked": "the user disliked it",
    "filter": "the filter of the placement leaves it out",
    "own_items": "the user made it",
    "min_predicted_rating": "its predicted rating is too low",
    "requested": "the request leaves it out",
}
"""Why a rule drops an item; others are named."""

router = console_router(PATH)


@dataclass(frozen=True, slots=True)
class Movement:
    """Of an item since the last rating. `text`: as a reader says it."""

    kind: Literal["up", "down", "new", "same"]
    n_ranks: int
    text: str


@dataclass(frozen=True, slots=True)
class ListedItem:
    """`predicted`: the predicted rating as text, empty without one. `movement`: None where nothing was compared."""

    card: ItemCard
    rank: int
    predicted: str
    movement: Movement | None
    reasons: ReasonsView


@dataclass(frozen=True, slots=True)
class FoundView:
    """`value`: the user's rating as text, empty without one. `rank`: in the list; None if it is not there."""

    card: ItemCard
    value: str
    rank: int | None


@dataclass(frozen=True, slots=True)
class RatedView:
    card: ItemCard
    value: str


@dataclass(frozen=True, slots=True)
class GuestView:
    """`rank`: of the item in the user's own list; None if it is not there."""

    card: ItemCard
    rank: int | None


@dataclass(frozen=True, slots=True)
class ChangeView:
    """What the last rating, or its removal, changed. `value`: empty if it was removed. `gone`: what left the list."""

    card: ItemCard
    value: str
    n_up: int
    n_down: int
    n_new: int
    gone: tuple[ItemCard, ...]


@dataclass(frozen=True, slots=True)
class WhyNotView:
    """`score`, `score_needed`: None where they are not known."""

    card: ItemCard
    text: str
    rank_by_score: int | None
    score: float | None
    score_needed: float | None


@dataclass(frozen=True, slots=True)
class Fault:
    """What was wrong with a form. `form`: `user`, `search`, or `rate` for that of the item `item_id`."""

    form: Literal["user", "search", "rate"]
    message: str
    value: str = ""
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class TryView:
    """`user_id`: of the user who is tried; `is_stored`: whether anything is stored of the user. `strategy`: its name
    and meaning. `n_rated`: all ratings of the user, of which `rated` are the newest. `is_indexing`: whether nothing is
    found yet since the titles are being indexed.
    """

    user_id: str
    is_stored: bool
    samples: tuple[str, ...]
    scale: str
    rating: RatingInput
    is_graded: bool
    strategy: str
    meaning: str
    snapshot_version: int | None
    n_items: int
    words: str
    found: tuple[FoundView, ...]
    rated: tuple[RatedView, ...]
    n_rated: int
    items: tuple[ListedItem, ...]
    guest: tuple[GuestView, ...]
    change: ChangeView | None
    why_not: WhyNotView | None
    fault: Fault | None
    is_degraded: bool
    is_indexing: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for besides the user. `before`: the ids of the list before the item `rated` was rated."""

    words: str = ""
    why: str = ""
    rated: str = ""
    before: tuple[str, ...] = ()


@router.get("")
async def show(
    request: Request,
    user: Annotated[str, Query()] = "",
    q: Annotated[str, Query()] = "",
    why: Annotated[str, Query()] = "",
    rated: Annotated[str, Query()] = "",
    before: Annotated[str, Query()] = "",
) -> Response:
    service = service_of(request)
    if not user:
        visitor = await run_in_threadpool(new_visitor, service)
        return RedirectResponse(link(PATH, user=visitor), status_code=303)
    fault = None
    try:
        user_id = clean_id(user)
    except InvalidInputError as error:
        user_id = await run_in_threadpool(new_visitor, service)
        fault = Fault("user", sentence(error), user)
    asked = Asked(q.strip(), why, rated, tuple(filter(None, before.split(SEPARATOR)))[:N_LISTED])
    is_indexed = await titles_indexed(request, is_wanted=bool(asked.words))
    view = await try_view(service, user_id, asked, fault, is_indexed=is_indexed)
    return page(request, "try.html", view, status=200 if view.fault is None else 422)


@router.post("/ratings")
@changes("ratings.put")
async def rate(
    request: Request,
    user: Annotated[str, Form()],
    item: Annotated[str, Form()],
    value: Annotated[str, Form()] = "",
    q: Annotated[str, Form()] = "",
) -> Response:
    request.state.audited = item
    service = service_of(request)
    user_id = clean_id(user, "user")
    before = await listed_ids(service, user_id)
    try:
        await store_rating(service, user_id, item, value)
    except InvalidInputError as error:
        view = await try_view(service, user_id, Asked(q.strip()), Fault("rate", sentence(error), value, item))
        return page(request, "try.html", view, status=error.status)
    return _to_list(user_id, item, q, before)


@router.post("/ratings/delete")
@changes("ratings.delete")
async def remove(
    request: Request,
    user: Annotated[str, Form()],
    item: Annotated[str, Form()],
    q: Annotated[str, Form()] = "",
) -> Response:
    request.state.audited = item
    service = service_of(request)
    user_id, item_id = clean_id(user, "user"), clean_id(item, "item")
    before = await listed_ids(service, user_id)
    await run_in_threadpool(service.rating_recorder.remove, user_id, item_id)
    return _to_list(user_id, item_id, q, before)


def _to_list(user_id: str, item_id: str, words: str, before: Sequence[str]) -> Response:
    address = link(PATH, user=user_id, q=words, rated=item_id, before=SEPARATOR.join(before))
    return RedirectResponse(address, status_code=303)


def sentence(error: ReckonError) -> str:
    return error.detail[:1].upper() + error.detail[1:] + "."


async def titles_indexed(request: Request, *, is_wanted: bool) -> bool:
    """Whether a search is answered at once; if not, the titles are being indexed from now on."""
    catalogue, views = service_of(request).serving.current.catalogue, views_of(request)
    if not catalogue.needs_title_index:
        return True
    key, make = (
        (caller_of(request).tenant, "titles", id(catalogue)),
        partial(run_in_threadpool, catalogue.prepare_titles),
    )
    if is_wanted:
        await views.get(key, make, lease_of(request))
    else:
        with suppress(UnavailableError):  # nobody waits for it, so the search will begin it
            views.start(key, make, lease_of(request))
    return not catalogue.needs_title_index


def new_visitor(service: Service) -> str:
    """An id that no stored user has."""
    for n_bytes in (2, 2, 4, 8):
        user_id = f"visitor-{secrets.token_hex(n_bytes)}"
        if service.store.users.get(user_id) is None:
            break
    return user_id


async def store_rating(service: Service, user_id: str, item_id: str, value: str) -> None:
    """Raises `InvalidInputError` for a value that the scale does not have, and for an item that does not exist."""
    try:
        number = float(value)
    except ValueError:
        problem = "choose a value first" if not value.strip() else f"{value[:100]!r} is not a number"
        raise InvalidInputError(problem, field="value") from None
    state = await service.request_states.read(user_id)
    # The API would make a bare item of it; here it can only be a mistake.
    if state.serving.catalogue.row_of_id(item_id) is None:
        raise InvalidInputError(f"there is no item {item_id[:200]!r} any more", field="item")
    stored = await service.rating_recorder.record(Rating(user_id, item_id, number), "form")
    service.metrics.count_ratings(stored.status)


async def listed_ids(service: Service, user_id: str) -> list[str]:
    """The ids of the list as it is now."""
    state = await service.request_states.read(user_id)
    query = ListQuery(user_id, ListOptions(limit=N_LISTED))
    return [each.item_id for each in (await service.unseen_recommender.recommend(query, state)).items]


async def try_view(
    service: Service, user_id: str, asked: Asked, fault: Fault | None = None, *, is_indexed: bool = True
) -> TryView:
    """`is_indexed`: whether titles can be searched; if not, nothing is found yet."""
    state = await service.request_states.read(user_id)
    scale = await service.request_states.scale(state)
    user = await service.user_states.load(state.user, state.serving, state.config.event_types)
    listed = await service.unseen_recommender.recommend(ListQuery(user_id, NO_RECOMMENDATION), state)
    guest = await service.unseen_recommender.recommend(ListQuery(None, ListOptions(limit=N_GUEST)), state)
    found, fault = await _search(service, user_id, asked.words if is_indexed else "", state, fault)
    why = await _why_not(service, user_id, asked.why, state)

    catalogue = state.serving.catalogue
    values = rated_values(user, state)
    rated = [(item_id, values[item_id]) for item_id in list(values)[:N_RATED]]
    ranks = {each.item_id: rank for rank, each in enumerate(listed.items, 1)}
    names = [*ranks, *(each.item_id for each in guest.items), *(item_id for item_id, _ in rated)]
    names += [] if found is None else [each.item_id for each in found.items]
    names += [each for each in (*asked.before, asked.rated, asked.why) if catalogue.row_of_id(each) is not None]
    cards = await cards_of(names, service, state)
    ranks_before = {item_id: rank for rank, item_id in enumerate(asked.before, 1)}
    items = tuple(
        ListedItem(
            cards[each.item_id],
            rank,
            "" if each.predicted_rating is None else f"{each.predicted_rating:.1f}",
            movement(ranks_before.get(each.item_id), rank) if ranks_before else None,
            reasons_view(getattr(each, "reasons", None), each.sources, scale),
        )
        for rank, each in enumerate(listed.items, 1)
    )
    return TryView(
        user_id=user_id,
        is_stored=state.user.user_key is not None,
        samples=tuple(await run_in_threadpool(sample_users, service)),
        scale=str(scale),
        rating=rating_input(scale),
        is_graded=scale.is_graded,
        strategy=listed.strategy,
        meaning=STRATEGIES.get(listed.strategy, ""),
        snapshot_version=listed.snapshot_version,
        n_items=len(catalogue),
        words=asked.words,
        found=()
        if found is None
        else tuple(
            FoundView(cards[each.item_id], _value_of(each.item_id, values), ranks.get(each.item_id))
            for each in found.items
        ),
        rated=tuple(RatedView(cards[item_id], _value_of(item_id, values)) for item_id, _ in rated),
        n_rated=len(values),
        items=items,
        guest=tuple(GuestView(cards[each.item_id], ranks.get(each.item_id)) for each in guest.items),
        change=_change(asked, items, cards, values),
        why_not=None if why is None else why_not_view(why, cards[why.item_id]),
        fault=fault,
        is_degraded=state.is_degraded,
        is_indexing=bool(asked.words) and not is_indexed,
    )


async def _search(
    service: Service, user_id: str, words: str, state: RequestState, fault: Fault | None
) -> tuple[SearchResults | None, Fault | None]:
    """What is found; None without words, or where these are too many, which the fault says then."""
    if not words:
        return None, fault
    if len(words) > MAX_QUERY:
        return None, Fault("search", f"Search for at most {MAX_QUERY} characters.", words)
    query = ListQuery(user_id, ListOptions(limit=N_FOUND))
    try:
        return await service.searcher.search(words, query, state), fault
    except InvalidInputError as error:
        return None, Fault("search", sentence(error), words)


async def _why_not(service: Service, user_id: str, item_id: str, state: RequestState) -> WhyNot | None:
    if state.serving.catalogue.row_of_id(item_id) is None:
        return None
    return await service.exclusion.explain(item_id, ListQuery(user_id, ListOptions(limit=N_LISTED)), state)


def rated_values(user: UserState, state: RequestState) -> dict[str, float]:
    """The user's ratings by item id, newest first."""
    ids = state.serving.catalogue.item_ids
    return {ids[row]: float(value) for row, value in zip(user.rated_rows.tolist(), user.values, strict=True)}


def sample_users(service: Service) -> list[str]:
    """Ids of some users to begin with."""
    try:
        return [user.user_id for _, user in service.store.users.page(limit=N_SAMPLES)]
    except StorageUnavailableError:  # the list is made from memory, and says so
        return []


def _value_of(item_id: str, values: dict[str, float]) -> str:
    # A value that comes from the snapshot is in single precision.
    return value_text(round(values[item_id], 4)) if item_id in values else ""


def movement(before: int | None, now: int) -> Movement:
    """`before`, `now`: ranks from 1; `before` None for an item that was not in the list."""
    if before is None:
        return Movement("new", 0, "new in the list")
    if now < before:
        return Movement("up", before - now, f"up {before - now} from rank {before}")
    if now > before:
        return Movement("down", now - before, f"down {now - before} from rank {before}")
    return Movement("same", 0, "at the same rank")


def _change(
    asked: Asked, items: Sequence[ListedItem], cards: dict[str, ItemCard], values: dict[str, float]
) -> ChangeView | None:
    card = cards.get(asked.rated)
    if card is None or not asked.before:
        return None
    kinds = [each.movement.kind for each in items if each.movement is not None]
    now = {each.card.item_id for each in items}
    gone = (item_id for item_id in asked.before if item_id not in now and item_id != asked.rated)
    return ChangeView(
        card=card,
        value=_value_of(asked.rated, values),
        n_up=kinds.count("up"),
        n_down=kinds.count("down"),
        n_new=kinds.count("new"),
        gone=tuple(cards[item_id] for item_id in gone if item_id in cards),
    )


def why_not_view(why: WhyNot, card: ItemCard) -> WhyNotView:
    return WhyNotView(card, why_text(why), why.rank_by_score, why.score, why.score_needed)


def why_text(why: WhyNot) -> str:
    """The stage at which the item dropped out, as a sentence."""
    rule = "" if why.rule is None else RULES.get(why.rule, f"the rule {why.rule} leaves it out")
    match why.stage:
        case "shown":
            return f"It is in the list, at rank {why.rank}."
        case "restricted":
            return f"It is left out: {rule}."
        case "not_proposed" | "outranked":
            return "Other items score higher for this user."
        case "moved_down":
            return f"By its score it would be in the list, but the rule {why.rule} moved it down."
        case _:
            return "There is no such item."
