"""HTTP responses of lists: the JSON, the entity tag, and 304 if the client has the list already."""

from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter
from pydantic_core import to_json

from app.serving.item_details import ItemSelection, read_details
from app.serving.query import ExplainedRecommendations, Recommendations
from app.store.serving_reads import ServingReads

JSON = "application/json"
PRIVATE = "private, no-cache"
"""A cache may store the list for one user only, and must validate it before every use."""

PLAIN: TypeAdapter[Recommendations] = TypeAdapter(Recommendations)
EXPLAINED: TypeAdapter[ExplainedRecommendations] = TypeAdapter(ExplainedRecommendations)


async def as_bytes(
    answer: Recommendations | ExplainedRecommendations, selection: ItemSelection, reads: ServingReads
) -> bytes:
    """Return the answer as JSON, with the selected fields of its items, or the default fields if none are selected."""
    # The framework would validate the answer before it serialises it, which doubles the cost.
    adapter: TypeAdapter[Any] = EXPLAINED if isinstance(answer, ExplainedRecommendations) else PLAIN
    if selection.is_everything_default:
        return adapter.dump_json(answer)
    whole = ("recommendation_id", "snapshot_version", "strategy", "next_cursor")
    include: Any = dict.fromkeys(whole, True) | {"items": {"__all__": {"item_id", *selection.answer_fields}}}
    if not selection.columns_to_read:
        return adapter.dump_json(answer, include=include)
    # Columns of stored items are not part of the answer's class, so they are added to the document.
    document = adapter.dump_python(answer, include=include)
    details = await read_details([item.item_id for item in answer.items], selection, reads)
    for item, columns in zip(document["items"], details, strict=True):
        item.update(columns)
    return to_json(document)


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
