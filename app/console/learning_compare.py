"""Two snapshots side by side: figures, weights, choices, lists of the same users, and how often items are shown."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.console.item_lists import shortened
from app.console.learning import LEARNING, Gate, Measured
from app.console.learning_snapshot import METRICS, SNAPSHOTS
from app.console.prepared import prepared_page
from app.console.rendering import link, page
from app.console.routing import console_router, service_of
from app.errors import InvalidInputError
from app.evaluation.metrics import Metric
from app.serving.snapshot_lists import ComparedLists, ExposureChange, ListsOfUser, compare_lists
from app.wiring import Service

router = console_router()

COMPARE = f"{LEARNING}/compare"
Version = Annotated[int, Query(ge=1, lt=2**63)]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two snapshots."""

    version: int
    href: str
    is_live: bool
    gate: Gate
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FigurePair:
    """`change`: b minus a; None where either is missing. `is_better`: None where they do not differ.

    `is_clear`: whether the 95 % intervals of the two do not overlap; None where there are none.
    """

    name: str
    meaning: str
    a: Measured
    b: Measured
    change: float | None
    is_better: bool | None
    is_clear: bool | None


@dataclass(frozen=True, slots=True)
class WeightPair:
    """The weights of a segment, and what it was learned by; None where the snapshot has no such segment."""

    name: str
    a: float | None
    b: float | None
    learned_by: str


@dataclass(frozen=True, slots=True)
class CompareView:
    a: Side
    b: Side
    figures: list[FigurePair]
    bestsellers: list[FigurePair]
    weights: list[WeightPair]
    only_a: list[str]
    only_b: list[str]
    n_same: int
    counts: list[tuple[str, int | None, int | None]]
    lists_href: str
    swap_href: str


def compare_view(service: Service, a: int, b: int) -> CompareView:
    """Raises `NotFoundError` for a version that is not registered, and `InvalidInputError` for one with itself."""
    if a == b:
        raise InvalidInputError("choose two different snapshots to compare", field="b")
    entries = [service.store.snapshots.get(version) for version in (a, b)]
    of_a, of_b = (entry.card for entry in entries)
    sides = [
        Side(each.version, link(SNAPSHOTS, each.version), each.is_live, Gate.of(each.card), each.created_at)
        for each in entries
    ]
    choices_a, choices_b = (list(card.get("choices", [])) for card in (of_a, of_b))
    return CompareView(
        a=sides[0],
        b=sides[1],
        figures=figure_pairs(of_a, of_b, "snapshot"),
        bestsellers=figure_pairs(of_a, of_b, "bestsellers"),
        weights=weight_pairs(of_a, of_b),
        only_a=[each for each in choices_a if each not in choices_b],
        only_b=[each for each in choices_b if each not in choices_a],
        n_same=sum(each in choices_b for each in choices_a),
        counts=[
            (name, of_a.get("counts", {}).get(name), of_b.get("counts", {}).get(name))
            for name in ("ratings", "users", "items", "labels")
        ],
        lists_href=link(f"{COMPARE}/lists", a=a, b=b),
        swap_href=link(COMPARE, a=b, b=a),
    )


def figure_pairs(of_a: dict[str, Any], of_b: dict[str, Any], name: str) -> list[FigurePair]:
    """`name`: whose figures, such as `snapshot`."""
    pairs = []
    for metric, (shown, meaning) in METRICS.items():
        a, b = Measured.of(of_a, name, metric), Measured.of(of_b, name, metric)
        if a.value is None and b.value is None:
            continue
        change = None if a.value is None or b.value is None else b.value - a.value
        is_lower_better = Metric.parse(metric).is_lower_better
        pairs.append(
            FigurePair(
                name=shown,
                meaning=meaning,
                a=a,
                b=b,
                change=change,
                is_better=None if not change else (change < 0) == is_lower_better,
                is_clear=_are_apart(a, b),
            )
        )
    return pairs


def _are_apart(a: Measured, b: Measured) -> bool | None:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None
    return a.high < b.low or b.high < a.low


def weight_pairs(of_a: dict[str, Any], of_b: dict[str, Any]) -> list[WeightPair]:
    a, b = ({each["name"]: each for each in card.get("segments", [])} for card in (of_a, of_b))
    pairs = []
    for name in [*a, *(each for each in b if each not in a)]:
        algorithms = [each[name]["algorithm"] for each in (a, b) if name in each]
        pairs.append(
            WeightPair(
                name=name,
                a=a[name]["weight"] if name in a else None,
                b=b[name]["weight"] if name in b else None,
                learned_by=" / ".join(dict.fromkeys(algorithms)),
            )
        )
    return pairs


@dataclass(frozen=True, slots=True)
class ShownItem:
    """`is_common`: the other list has it as well."""

    title: str
    href: str
    is_common: bool


@dataclass(frozen=True, slots=True)
class UserPair:
    user_id: str
    href: str
    n_common: int
    a: list[ShownItem]
    b: list[ShownItem]


@dataclass(frozen=True, slots=True)
class MovedRow:
    title: str
    href: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class ListsView:
    """`n_users`: whose lists were counted, of the `n_common` whom both snapshots know. See `ComparedLists`."""

    a: int
    b: int
    back_href: str
    users: list[UserPair]
    n_users: int
    n_common: int
    overlap: float | None
    gained: list[MovedRow]
    lost: list[MovedRow]


def lists_view(service: Service, a: int, b: int) -> ListsView:
    """Opens both snapshots. Raises `NotFoundError`, and `SnapshotError` where one cannot be opened."""
    if a == b:
        raise InvalidInputError("choose two different snapshots to compare", field="b")
    live = service.serving.current.scorer
    compared = compare_lists(service.published.open(a, live), service.published.open(b, live))
    titles = _titles(service, compared)
    ids = service.store.users.ids_of([each.user_key for each in compared.lists])
    return ListsView(
        a=a,
        b=b,
        back_href=link(COMPARE, a=a, b=b),
        # A user who was erased since is left out.
        users=[_user_pair(each, ids[each.user_key], titles) for each in compared.lists if each.user_key in ids],
        n_users=compared.n_users,
        n_common=compared.n_common,
        overlap=compared.overlap,
        gained=[_moved_row(each, titles) for each in compared.gained],
        lost=[_moved_row(each, titles) for each in compared.lost],
    )


Titles = dict[int, tuple[str, str]]
"""Item key -> title and address."""

GONE = ("an item that was deleted since", "")


def _titles(service: Service, compared: ComparedLists) -> Titles:
    keys = {key for each in compared.lists for key in (*each.of_a, *each.of_b)}
    keys |= {each.item_key for each in (*compared.gained, *compared.lost)}
    items = service.store.items.of_keys(sorted(keys))
    return {
        key: (shortened(item.title or item.item_id), link("/console/items", item.item_id))
        for key, item in items.items()
    }


def _user_pair(lists: ListsOfUser, user_id: str, titles: Titles) -> UserPair:
    of_a, of_b = lists.of_a, lists.of_b
    return UserPair(
        user_id=user_id,
        href=link("/console/users", user_id),
        n_common=len({*of_a} & {*of_b}),
        a=[ShownItem(*titles.get(key, GONE), key in of_b) for key in of_a],
        b=[ShownItem(*titles.get(key, GONE), key in of_a) for key in of_b],
    )


def _moved_row(moved: ExposureChange, titles: Titles) -> MovedRow:
    return MovedRow(*titles.get(moved.item_key, GONE), moved.before, moved.after)


@router.get(COMPARE)
async def show(request: Request, a: Version, b: Version) -> Response:
    return page(request, "learning_compare.html", await run_in_threadpool(compare_view, service_of(request), a, b))


@router.get(f"{COMPARE}/lists")
async def show_lists(request: Request, a: Version, b: Version) -> Response:
    make = partial(run_in_threadpool, lists_view, service_of(request), a, b)
    title = f"Lists of snapshots {a} and {b}"
    return await prepared_page(request, "learning_lists.html", make, title=title, part="lists")
