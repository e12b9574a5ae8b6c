"""The HTTP answer of a list: its bytes, its entity tag, and 304 if the caller has it already."""

from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter

from app.serving.query import ExplainedRecommendations, Recommendations

JSON = "application/json"
PRIVATE = "private, no-cache"
"""A cache may keep the answer for this user alone, and validates it before every use."""

PLAIN: TypeAdapter[Recommendations] = TypeAdapter(Recommendations)
EXPLAINED: TypeAdapter[ExplainedRecommendations] = TypeAdapter(ExplainedRecommendations)


def as_bytes(answer: Recommendations | ExplainedRecommendations, fields: Sequence[str] = ()) -> bytes:
    """The answer as JSON. If `fields` are named, items have only these and their ids.

    Serialised here because the framework would validate the answer first, which doubles the cost.
    """
    include: Any = None
    if fields:
        whole = ("recommendation_id", "snapshot_version", "strategy", "next_cursor")
        include = dict.fromkeys(whole, True) | {"items": {"__all__": {"item_id", *fields}}}
    if isinstance(answer, ExplainedRecommendations):
        return EXPLAINED.dump_json(answer, include=include)
    return PLAIN.dump_json(answer, include=include)


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
