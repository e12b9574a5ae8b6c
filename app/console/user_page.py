"""The pages of one user: history beside the list, home rows and mixes, and the taste that was learned."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Annotated, Literal

import numpy as np
from fastapi import Query, Request, Response
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from app.console.item_lists import (
    SEGMENTS,
    STRATEGIES,
    ItemCard,
    ReasonsView,
    cards_of,
    reasons_view,
    shortened,
    value_text,
)
from app.console.plots import Plot
from app.console.prepared import prepared_page
from app.console.rendering import link, page, shown
from app.console.routing import console_router, service_of
from app.console.timelines import by_period, over_time
from app.entities import UNKNOWN_TIME, clean_id, from_microseconds, to_microseconds
from app.errors import NotFoundError
from app.scoring import Scorer
from app.serving.query import ListOptions, RecommendedItem
from app.serving.query import Query as ListQuery
from app.serving.request_state import RequestState
from app.serving.user_state import UserState, mapped_history
from app.store.events import MAX_COUNTED
from app.wiring import Service

PATH = "/console/users"
N_ENTRIES, N_LISTED, N_SIMILAR, N_CHANGED = 30, 20, 10, 20
N_ROWS, N_MIXES, N_IN_ROW = 6, 4, 8

router = console_router(PATH)


@dataclass(frozen=True, slots=True)
class UserHeading:
    """What all pages of a user say first. `version`: of the snapshot; None before the first."""

    user_id: str
    country: str
    attributes: str
    n_ratings: int
    n_events: int
    strategy: str
    meaning: str
    version: int | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A rating or an event. `what`: the type of an event, `rated` for a rating. `rank`: of the item in the list, None
    if it is not there. `explains`: ranks of the list that this item explains most.
    """

    card: ItemCard
    what: str
    value: str
    at: datetime | None
    rank: int | None
    explains: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UserListItem:
    """`is_known`: whether the item is on this page of the history."""

    card: ItemCard
    rank: int
    predicted: str
    reasons: ReasonsView
    is_known: bool


@dataclass(frozen=True, slots=True)
class UserView:
    """`next`, `first`: addresses of pages of the history; empty where there is none. `by_time`: on the first page."""

    heading: UserHeading
    history: tuple[HistoryEntry, ...]
    next: str
    first: str
    items: tuple[UserListItem, ...]
    by_time: Plot | None = None


@dataclass(frozen=True, slots=True)
class RowView:
    title: str
    note: str
    cards: tuple[ItemCard, ...]


@dataclass(frozen=True, slots=True)
class UserListsView:
    heading: UserHeading
    rows: tuple[RowView, ...]
    mixes: tuple[RowView, ...]


@dataclass(frozen=True, slots=True)
class NormView:
    """Of a segment of the user side, weighted. `share`: of the largest norm, 0 to 1. `at_snapshot`: None for a user
    who is newer.
    """

    segment: str
    meaning: str
    norm: float
    at_snapshot: float | None
    share: float


@dataclass(frozen=True, slots=True)
class ChangedRating:
    """`before`, `now`: as text; empty for none."""

    card: ItemCard
    before: str
    now: str


@dataclass(frozen=True, slots=True)
class NewEvents:
    """Events of one type with an item. `n`: of all of them. `at`: when the newest was."""

    card: ItemCard
    what: str
    n: int
    at: datetime


@dataclass(frozen=True, slots=True)
class SimilarView:
    user_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class TasteView:
    """`n_changed`: ratings that are new, different or removed since the snapshot; `changed` are some of them.
    `n_new`: pairs of an item and a type with events since the snapshot; `new` are the newest of them.
    `is_profile_changed`: whether attributes or events are not those that the snapshot knows.
    `is_newer`: whether the user came after the snapshot.
    """

    heading: UserHeading
    norms: tuple[NormView, ...]
    changed: tuple[ChangedRating, ...]
    n_changed: int
    new: tuple[NewEvents, ...]
    n_new: int
    is_profile_changed: bool
    is_newer: bool
    similar: tuple[SimilarView, ...]


@router.get("/{user_id}")
async def show(request: Request, user_id: str, cursor: Annotated[str | None, Query()] = None) -> Response:
    return page(request, "user.html", await user_view(service_of(request), clean_id(user_id), cursor))


@router.get("/{user_id}/lists")
async def show_lists(request: Request, user_id: str) -> Response:
    make = partial(lists_view, service_of(request), clean_id(user_id))
    return await prepared_page(request, "user_lists.html", make, title=f"Lists of {user_id}", part="lists")


@router.get("/{user_id}/taste")
async def show_taste(request: Request, user_id: str) -> Response:
    return page(request, "user_taste.html", await taste_view(service_of(request), clean_id(user_id)))


async def _read(service: Service, user_id: str) -> tuple[RequestState, UserState, UserHeading]:
    """Raises `NotFoundError` for an unknown user."""
    state = await service.request_states.read(user_id)
    if state.user.user_key is None:
        raise NotFoundError("user", user_id)
    user = await service.user_states.load(state.user, state.serving, state.config.event_types)
    counts = await run_in_threadpool(service.store.users.count_interactions, user_id)
    stored = await run_in_threadpool(service.store.users.get, user_id)
    heading = UserHeading(
        user_id,
        shown(None if stored is None else stored.country),
        shown(None if stored is None else stored.attributes),
        counts["ratings"],
        counts["events"],
        user.strategy,
        STRATEGIES[user.strategy],
        state.serving.version,
    )
    return state, user, heading


# History and list.


@dataclass(frozen=True, slots=True)
class Happened:
    """A rating or an event before it has a card. `at`: microseconds UTC, or `UNKNOWN_TIME`. `place`: after which the
    next page of its kind begins.
    """

    kind: Literal["rating", "event"]
    item_id: str
    what: str
    value: str
    at: int
    moment: datetime | None
    place: tuple[int, int] | tuple[int, str]


Places = tuple[tuple[int, int] | None, tuple[int, str] | None]
"""After which rating and after which event a page begins; None for the newest."""


async def user_view(service: Service, user_id: str, cursor: str | None = None) -> UserView:
    state, user, heading = await _read(service, user_id)
    listing = f"console history of {user_id}"
    places = (None, None) if cursor is None else read_places(service.tokens.read_moment(listing, cursor)[1])
    happened = await run_in_threadpool(history_after, service, user_id, places)
    entries, more = happened[:N_ENTRIES], len(happened) > N_ENTRIES
    options = ListOptions(limit=N_LISTED, explain=True)
    listed = (await service.unseen_recommender.recommend(ListQuery(user_id, options), state)).items
    scale = await service.request_states.scale(state)
    cards = await cards_of([each.item_id for each in (*entries, *listed)], service, state)
    ranks = {each.item_id: rank for rank, each in enumerate(listed, 1)}
    items = tuple(
        UserListItem(
            cards[each.item_id],
            ranks[each.item_id],
            predicted_text(each),
            reasons_view(getattr(each, "reasons", None), each.sources, scale),
            is_known=any(each.item_id == entry.item_id for entry in entries),
        )
        for each in listed
    )
    history = tuple(
        HistoryEntry(
            cards[each.item_id],
            each.what,
            each.value,
            each.moment,
            ranks.get(each.item_id),
            tuple(item.rank for item in items if each.item_id in {first.item_id for first in item.reasons.because[:1]}),
        )
        for each in entries
    )
    following = service.tokens.moment(listing, 0, written_places(entries, places)) if more else ""
    return UserView(
        heading,
        history,
        link(PATH, user_id, cursor=following) if more else "",
        "" if cursor is None else link(PATH, user_id),
        items,
        await run_in_threadpool(history_by_time, service, user_id, user) if cursor is None else None,
    )


def history_by_time(service: Service, user_id: str, user: UserState) -> Plot:
    """How many ratings and events there were by month; the ratings are those that lists are made of."""
    rated_at = np.empty(0, np.int64) if user.rated_at is None else np.asarray(user.rated_at, np.int64)
    acted_at = service.store.events.times_of_user(user_id)
    unit, rows = by_period({"ratings": rated_at, "events": acted_at})
    cut = f" Of the events, the newest {MAX_COUNTED:,} are counted." if len(acted_at) == MAX_COUNTED else ""
    return Plot(
        "History over time",
        f"Ratings and events in each {unit}; ratings without a time are left out.{cut}",
        (unit, "kind", "number"),
        rows,
        over_time(unit, "number", len(rows) // 2, series="kind"),
        empty="No times of ratings or events are known.",
        height=140,
    )


def predicted_text(item: RecommendedItem) -> str:
    return "" if item.predicted_rating is None else f"{item.predicted_rating:.1f}"


def history_after(service: Service, user_id: str, places: Places) -> list[Happened]:
    """Ratings and events together, newest first, those without a time last; one more than a page, if there are more."""
    after_rating, after_event = places
    rated = service.store.ratings.newest_page(user_id, before=after_rating, limit=N_ENTRIES + 1)
    before = None if after_event is None else (*after_event, user_id)
    events = service.store.events.page(user_id, before=before, limit=N_ENTRIES + 1)
    happened = [
        Happened("rating", each.item_id, "rated", value_text(each.value), place[0], each.rated_at, place)
        for place, each in rated
    ]
    happened += [
        Happened(
            "event",
            each.item_id,
            each.type,
            "" if each.portion is None else f"{100 * each.portion:.0f} %",
            to_microseconds(each.at),
            each.at,
            (to_microseconds(each.at), each.event_id),
        )
        for each in events
    ]
    # Stable: each kind keeps the order in which its pages go on.
    return sorted(happened, key=attrgetter("at"), reverse=True)[: N_ENTRIES + 1]


def written_places(entries: Sequence[Happened], before: Places) -> str:
    """The places after the page of the entries, as text."""
    last = [
        next((each.place for each in reversed(entries) if each.kind == kind), place)
        for kind, place in zip(("rating", "event"), before, strict=True)
    ]
    return json.dumps(last)


def read_places(text: str) -> Places:
    """Inverse of `written_places`, for a text that this service has signed."""
    rating, event = json.loads(text)
    return None if rating is None else (rating[0], rating[1]), None if event is None else (event[0], event[1])


# Home rows and mixes.


async def lists_view(service: Service, user_id: str) -> UserListsView:
    state, _, heading = await _read(service, user_id)
    query = ListQuery(user_id, ListOptions(limit=N_IN_ROW))
    home = (await service.home_page.home(N_ROWS, query, state)).rows
    mixes = (await service.mixer.mixes(N_MIXES, query, state)).mixes
    rows = [(shortened(row.title), "", row.items) for row in home]
    mixed = [(mix.name, f"of {', '.join(mix.categories)}" if mix.categories else "", mix.items) for mix in mixes]
    cards = await cards_of([each.item_id for _, _, items in (*rows, *mixed) for each in items], service, state)

    def views(lists: Sequence[tuple[str, str, list[RecommendedItem]]]) -> tuple[RowView, ...]:
        return tuple(RowView(title, note, tuple(cards[each.item_id] for each in items)) for title, note, items in lists)

    return UserListsView(heading, views(rows), views(mixed))


# What was learned of the user.


async def taste_view(service: Service, user_id: str) -> TasteView:
    state, user, heading = await _read(service, user_id)
    similar = (await service.similar_users.similar_users(user_id, N_SIMILAR, state)).users
    scorer, key = state.serving.scorer, state.user.user_key
    row = None if key is None else scorer.user_row(key)
    changed, n_changed = await run_in_threadpool(changes_since, user, state)
    is_profile_changed = is_learned_otherwise(row, state)
    since = await run_in_threadpool(began_at, service, scorer) if row is not None else int(UNKNOWN_TIME)
    new, n_new = events_since(since, user, state) if is_profile_changed else ([], 0)
    item_ids = [item_id for item_id, _, _ in changed] + [item_id for item_id, *_ in new]
    cards = await cards_of(item_ids, service, state)
    return TasteView(
        heading=heading,
        norms=norms_of(user, row, scorer),
        changed=tuple(ChangedRating(cards[item_id], before, now) for item_id, before, now in changed),
        n_changed=n_changed,
        new=tuple(NewEvents(cards[item_id], what, n, at) for item_id, what, n, at in new),
        n_new=n_new,
        is_profile_changed=is_profile_changed,
        is_newer=scorer.is_learned and scorer.has_all_users and row is None,
        similar=tuple(SimilarView(each.user_id, each.similarity) for each in similar),
    )


def norms_of(user: UserState, row: int | None, scorer: Scorer) -> tuple[NormView, ...]:
    """Of each segment the norm of the user's part, now and at the snapshot; of a sparse one that of its scores."""
    published = None if row is None else scorer.user_side(row)
    now = {block.entry.name: float(np.linalg.norm(user.side.vector[block.slice])) for block in scorer.blocks}
    now |= {name: float(np.linalg.norm(scores)) for name, scores in user.side.tables.items()}
    before: dict[str, float] = {}
    if published is not None:
        before = {block.entry.name: float(np.linalg.norm(published.vector[block.slice])) for block in scorer.blocks}
        before |= {name: float(np.linalg.norm(scores)) for name, scores in published.tables.items()}
    largest = max(now.values(), default=0.0) or 1.0
    return tuple(
        NormView(name, SEGMENTS.get(name, name), norm, before.get(name), norm / largest) for name, norm in now.items()
    )


def changes_since(user: UserState, state: RequestState) -> tuple[list[tuple[str, str, str]], int]:
    """(item id, value at the snapshot, value now) of up to `N_CHANGED` ratings that differ; and how many do.

    Newest first, removed ones last.
    """
    catalogue, scorer, key = state.serving.catalogue, state.serving.scorer, user.user_key
    if key is None or not scorer.is_learned:
        return [], 0
    learned = mapped_history(key, scorer)
    before = dict(zip(catalogue.rows_of_keys(learned.item_key).tolist(), _rounded(learned.value), strict=True))
    before.pop(-1, None)  # deleted items
    now = dict(zip(user.rated_rows.tolist(), _rounded(user.values), strict=True))
    changed = [row for row, value in now.items() if before.get(row) != value]
    changed += [row for row in before if row not in now]
    return [
        (catalogue.item_ids[row], _text_of(before.get(row)), _text_of(now.get(row))) for row in changed[:N_CHANGED]
    ], len(changed)


def _rounded(values: NDArray[np.floating]) -> list[float]:
    # Values that come from the snapshot are in single precision.
    rounded: list[float] = np.round(values.astype(np.float64), 4).tolist()
    return rounded


def _text_of(value: float | None) -> str:
    return "" if value is None else value_text(value)


def is_learned_otherwise(row: int | None, state: RequestState) -> bool:
    """Whether the snapshot knows other events or attributes of the user than there are now."""
    scorer = state.serving.scorer
    if not scorer.is_learned:
        return False
    known = 0 if row is None else int(scorer.arrays.user_profile_versions[row])
    return known != state.user.profile_version


def began_at(service: Service, scorer: Scorer) -> int:
    """When the run began that made the snapshot, in microseconds UTC: it may not know what came later."""
    entry = next((each for each in service.store.snapshots.entries() if each.version == scorer.version), None)
    if entry is None:
        return int(UNKNOWN_TIME)
    return to_microseconds(entry.created_at - timedelta(seconds=sum(entry.card.get("phase_seconds", {}).values())))


def events_since(since: int, user: UserState, state: RequestState) -> tuple[list[tuple[str, str, int, datetime]], int]:
    """(item id, type, number, time) of events of a type with an item, the newest of which is after `since`.

    Newest first, up to `N_CHANGED`; and how many there are.
    """
    if user.interactions is None:
        return [], 0
    stored, rows = user.interactions.interactions, user.interactions.rows
    newer = np.flatnonzero((rows >= 0) & (stored.last_at > since))
    newer = newer[np.argsort(-stored.last_at[newer], kind="stable")]
    names = {key: name for name, (key, _) in user.interactions.event_types.by_name.items()}
    return [
        (
            state.serving.catalogue.item_ids[rows[place]],
            names.get(int(stored.type_key[place]), "chosen"),
            int(stored.count[place]),
            from_microseconds(int(stored.last_at[place])),
        )
        for place in newer[:N_CHANGED].tolist()
    ], len(newer)
