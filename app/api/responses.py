"""HTTP responses of lists: the JSON, the entity tag, and 304 if the client has the list already."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any, get_args

from fastapi import Request, Response
from pydantic import TypeAdapter
from pydantic_core import to_json

from app.serving.charts import Chart, NewItem, PopularItem, TrendingItem
from app.serving.home import Home
from app.serving.item_details import ANSWER_FIELDS, ItemSelection, read_details, remembered_details
from app.serving.mixes import Mixes
from app.serving.query import (
    ExplainedItem,
    ExplainedRecommendations,
    FoundItem,
    Recommendations,
    RecommendedItem,
    SearchResults,
    SimilarItem,
    SimilarItems,
)
from app.serving.rankings import ExplainedRanking, Ranking
from app.serving.request_state import RequestState
from app.store.serving_reads import ServingReads

JSON = "application/json"
PRIVATE = "private, no-cache"
"""A cache may store the list for one user only, and must validate it before every use."""

NOT_STORED = {"cache-control": "no-store"}

AnyList = (
    Recommendations
    | ExplainedRecommendations
    | SearchResults
    | SimilarItems
    | Ranking
    | ExplainedRanking
    | Home
    | Mixes
    | Chart
)
"""Every answer that lists items, in `items` or, of several lists, in the parts that `PARTS` names."""

# One adapter for each class: a union would try all of them for every answer.
ADAPTERS: Mapping[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in get_args(AnyList)}
ITEMS: Mapping[type, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind)
    for kind in (RecommendedItem, ExplainedItem, FoundItem, SimilarItem, PopularItem, TrendingItem, NewItem)
}
PARTS: Mapping[type, str] = {Home: "rows", Mixes: "mixes"}

SELECTABLE = frozenset((*ANSWER_FIELDS, *(each.name for each in fields(SimilarItem))))
"""Fields of an item that are returned by choice, where an answer has them; its other fields always are."""


async def as_bytes(
    answer: AnyList, selection: ItemSelection, reads: ServingReads, request_state: RequestState
) -> bytes:
    """Return the answer as JSON, with the selected fields of its items, or the default fields if none are selected.

    Marks it if `request_state`, from which it was made, is degraded.
    """
    answer.degraded = request_state.is_degraded
    # The framework would validate the answer before it serialises it, which doubles the cost.
    if selection.is_everything_default:
        return ADAPTERS[type(answer)].dump_json(answer)
    parts = PARTS.get(type(answer))
    lists: list[Any] = [answer] if parts is None else getattr(answer, parts)
    shown = [item for each in lists for item in each.items]
    # Columns of stored items are not part of the answer's class, and popular items are shown again and again. So the
    # JSON of these columns is kept, and put behind that of the answer's own fields.
    ends = await _fragments([item.item_id for item in shown], selection, reads, request_state)
    own = _own_fields(shown, selection.answer_fields)
    items = iter([start + end for start, end in zip(own, ends, strict=True)])
    written = [_joined(each, "items", islice(items, len(each.items))) for each in lists]
    return written[0] if parts is None else _joined(answer, parts, written)


async def _fragments(
    item_ids: list[str], selection: ItemSelection, reads: ServingReads, request_state: RequestState
) -> list[bytes]:
    """For each item the end of its JSON: the selected columns behind a comma, and the closing brace."""
    if not selection.columns_to_read:
        return [b"}"] * len(item_ids)
    catalogue, chosen = request_state.serving.catalogue, (selection.columns, selection.attributes)
    if request_state.is_degraded:
        known = catalogue.fragments.last_known(chosen)
        unknown = [item_id for item_id in item_ids if item_id not in known]
        # These are not kept: they may lack what the database holds.
        made = dict(zip(unknown, map(_fragment, remembered_details(unknown, selection, catalogue)), strict=True))
        return [made.get(item_id) or known[item_id] for item_id in item_ids]
    kept = catalogue.fragments.of(chosen)
    missing = [item_id for item_id in item_ids if item_id not in kept]
    if missing:
        details = await read_details(missing, selection, reads, catalogue)
        for item_id, columns in zip(missing, details, strict=True):
            catalogue.fragments.keep(kept, item_id, _fragment(columns))
    return [kept[item_id] for item_id in item_ids]


def _fragment(columns: Mapping[str, Any]) -> bytes:
    return b"," + to_json(columns)[1:]


def _joined(value: Any, name: str, elements: Iterable[bytes]) -> bytes:
    """The JSON of a dataclass, with elements that are JSON already in place of its field `name`."""
    left_out = {name} if getattr(value, "degraded", True) else {name, "degraded"}
    others = {each.name: getattr(value, each.name) for each in fields(value) if each.name not in left_out}
    return b'%b,"%b":[%b]}' % (to_json(others)[:-1], name.encode(), b",".join(elements))


def _own_fields(items: Sequence[Any], selected: frozenset[str]) -> list[bytes]:
    """The JSON of the selected fields of items of one class, each without the closing brace."""
    if not items:
        return []
    kind = type(items[0])
    returned = {each.name for each in fields(kind) if _is_returned(each.name, selected)}
    serializer = ITEMS[kind].serializer
    return [serializer.to_json(item, include=returned)[:-1] for item in items]


async def as_response(
    answer: AnyList, selection: ItemSelection, reads: ServingReads, request_state: RequestState
) -> Response:
    """As `as_bytes`."""
    body = await as_bytes(answer, selection, reads, request_state)
    return json_response(body, is_degraded=request_state.is_degraded)


def json_response(body: bytes, *, is_degraded: bool) -> Response:
    """Return the JSON, without an entity tag; not to be stored by a cache if it was made from a degraded state."""
    return Response(body, media_type=JSON, headers=NOT_STORED if is_degraded else None)


def _is_returned(name: str, selected: frozenset[str]) -> bool:
    return name == "item_id" or name in selected or name not in SELECTABLE


def with_ignored(answer: bytes, item_ids: list[str]) -> bytes:
    """Return the JSON object `answer` with the field `ignored_items`, which only answers to guests have."""
    return b'%b,"ignored_items":%b}' % (answer[:-1], to_json(item_ids))


def held_by(request: Request) -> str | None:
    """Return the header `If-None-Match` (RFC 9110): entity tags of lists that the client has, or `*`."""
    return request.headers.get("if-none-match")


def is_among(entity_tag: str, held: str | None) -> bool:
    # Tags never contain a comma, so the header can be split at commas.
    return held is not None and entity_tag in {tag.strip() for tag in held.split(",")}


def answered(body: bytes, entity_tag: str, held: str | None) -> Response:
    """Return the list, or 304 for `If-None-Match: *`."""
    # `*` matches any current representation. A request without one has failed before this point.
    if held == "*":
        return unchanged(entity_tag)
    return Response(body, media_type=JSON, headers={"etag": entity_tag, "cache-control": PRIVATE})


def unchanged(entity_tag: str) -> Response:
    return Response(status_code=304, headers={"etag": entity_tag, "cache-control": PRIVATE})
