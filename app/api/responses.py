"""The HTTP answer of a list: its bytes, its entity tag, and 304 if the caller has it already."""

from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter
from pydantic_core import to_json

from app.serving.item_details import ItemSelection, read_details
from app.serving.query import ExplainedRecommendations, Recommendations
from app.store.serving_reads import ServingReads

JSON = "application/json"
PRIVATE = "private, no-cache"
"""A cache may keep the answer for this user alone, and validates it before every use."""

PLAIN: TypeAdapter[Recommendations] = TypeAdapter(Recommendations)
EXPLAINED: TypeAdapter[ExplainedRecommendations] = TypeAdapter(ExplainedRecommendations)


async def as_bytes(
    answer: Recommendations | ExplainedRecommendations, selection: ItemSelection, reads: ServingReads
) -> bytes:
    """The answer as JSON; of its items the fields that are selected, where any are, and their ids.

    Serialised here because the framework would validate the answer first, which doubles the cost.
    """
    adapter: TypeAdapter[Any] = EXPLAINED if isinstance(answer, ExplainedRecommendations) else PLAIN
    if selection.is_everything_default:
        return adapter.dump_json(answer)
    whole = ("recommendation_id", "snapshot_version", "strategy", "next_cursor")
    include: Any = dict.fromkeys(whole, True) | {"items": {"__all__": {"item_id", *selection.answer_fields}}}
    if not selection.columns_to_read:
        return adapter.dump_json(answer, include=include)
    document = adapter.dump_python(answer, include=include)
    details = await read_details([item.item_id for item in answer.items], selection, reads)
    for item, columns in zip(document["items"], details, strict=True):
        item.update(columns)
    return to_json(document)


def held_by(request: Request) -> str | None:
    """The header `If-None-Match` (RFC 9110): entity tags of answers that the caller has, or `*`."""
    return request.headers.get("if-none-match")


def is_among(entity_tag: str, held: str | None) -> bool:
    return held is not None and entity_tag in {tag.strip() for tag in held.split(",")}


def answered(body: bytes, entity_tag: str, held: str | None) -> Response:
    """The answer; 304 for `If-None-Match: *`, which means any answer: a request without one has failed before."""
    if held == "*":
        return unchanged(entity_tag)
    return Response(body, media_type=JSON, headers={"etag": entity_tag, "cache-control": PRIVATE})


def unchanged(entity_tag: str) -> Response:
    return Response(status_code=304, headers={"etag": entity_tag, "cache-control": PRIVATE})
