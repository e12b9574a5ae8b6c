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


def holds(request: Request, entity_tag: str) -> bool:
    """Whether the caller has this answer already (RFC 9110, `If-None-Match`)."""
    held = request.headers.get("if-none-match")
    return held is not None and (held == "*" or entity_tag in {tag.strip() for tag in held.split(",")})


def answered(body: bytes, entity_tag: str) -> Response:
    return Response(body, media_type=JSON, headers={"etag": entity_tag, "cache-control": PRIVATE})


def unchanged(entity_tag: str) -> Response:
    return Response(status_code=304, headers={"etag": entity_tag, "cache-control": PRIVATE})
