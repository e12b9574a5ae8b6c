"""How a list becomes an answer: bytes made once, an entity tag, 304 where the caller has it already."""

from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter

from app.serving.query import ExplainedRecommendations, Recommendations

JSON = "application/json"
PRIVATE = "private, no-cache"
"""A cache may keep it, for this user alone, and asks every time whether it still holds."""

PLAIN: TypeAdapter[Recommendations] = TypeAdapter(Recommendations)
EXPLAINED: TypeAdapter[ExplainedRecommendations] = TypeAdapter(ExplainedRecommendations)


def as_bytes(answer: Recommendations | ExplainedRecommendations, fields: Sequence[str] = ()) -> bytes:
    """The answer as JSON; of its items only `fields`, where any are named, and their ids.

    Not by way of the framework, which would check what we have just made, at twice the cost.
    """
    include: Any = None
    if fields:
        whole = ("recommendation_id", "snapshot_version", "strategy", "next_cursor")
        include = dict.fromkeys(whole, True) | {"items": {"__all__": {"item_id", *fields}}}
    if isinstance(answer, ExplainedRecommendations):
        return EXPLAINED.dump_json(answer, include=include)
    return PLAIN.dump_json(answer, include=include)


def held_by(request: Request) -> str | None:
    """The entity tags of answers that the caller has already (RFC 9110, `If-None-Match`)."""
    return request.headers.get("if-none-match")


def is_among(entity_tag: str, held: str | None) -> bool:
    return held is not None and entity_tag in {tag.strip() for tag in held.split(",")}


def answered(body: bytes, entity_tag: str, held: str | None) -> Response:
    """Nothing to a caller who holds `*`, any answer, now that there is one: a question that has none was refused."""
    if held == "*":
        return unchanged(entity_tag)
    return Response(body, media_type=JSON, headers={"etag": entity_tag, "cache-control": PRIVATE})


def unchanged(entity_tag: str) -> Response:
    return Response(status_code=304, headers={"etag": entity_tag, "cache-control": PRIVATE})
