"""Examples in the OpenAPI document, which `/docs` shows and fills in when an operation is tried out.

Every parameter, request body and field has one, but for `NOT_FILLED_IN`. A declaration that has an example of its own
keeps it. The others get the example of their name from `BY_NAME`: the same name means the same thing everywhere in the
API. All ids exist in the data of `reckon demo`, MovieLens and the generated catalogue alike, so every operation
succeeds as it is filled in.
"""

from typing import Any

Schema = dict[str, Any]

BY_NAME: dict[str, Any] = {
    # Ids and keys
    "user_id": "1",
    "guest_id": "610",
    "item_id": "318",
    "event_id": "e-1",
    "job_id": "latest",
    "erasure_id": "latest",
    "import_id": "latest",
    "version": 1,
    "snapshot_version": 1,
    "recommendation_id": "AAAAAAAAAAEAAAAAAAAAAQAF9jQ2YQYAaG9tZWpi5c-mzn9Di-EU27Ee0RU",
    "user_ids": ["1", "2"],
    "item_ids": ["318", "1", "260"],
    "exclude": ["2"],
    "unknown": ["no-such-item"],
    "ignored_items": ["no-such-item"],
    "created_by": "1",
    "next_cursor": "cDsBAAAUqOr97tFYxVlGvrut-5fE",
    # Parameters
    "chart": "popular",
    "category": "Drama",
    "country": "US",
    "filter": 'year >= 1990 and "Drama" in categories',
    "boost": '"Drama" in categories -> 1.5',
    "min_predicted_rating": 3.0,
    "placement": "home",
    "q": "the",
    # Ratings, events and what follows from them
    "value": 5.0,
    "rating": 5.0,
    "rated_at": "2024-03-01T20:15:00Z",
    "at": "2024-03-01T20:15:00Z",
    "added_at": "2024-03-01T20:15:00Z",
    "available_until": "2040-01-01T00:00:00Z",
    "created_at": "2024-03-01T20:15:00Z",
    "started_at": "2024-03-01T20:15:01Z",
    "finished_at": "2024-03-01T20:15:31Z",
    "type": "clicked",
    "portion": 0.8,
    "position": 0,
    "weight": 2.0,
    "stored": 1,
    "replaced": 0,
    "unchanged": 0,
    "rejected": 0,
    "ratings": 317,
    "likes": 274,
    "events": 3,
    "users": 610,
    "items": 9_742,
    "bare_items": 18,
    "index": 0,
    "problem": "value: Input should be a valid number",
    # Items, users and what lists say of them
    "title": "The Shawshank Redemption",
    "name": "home",
    "categories": ["Crime", "Drama"],
    "year": 1994,
    "attributes": {"minutes": 142},
    "is_available": True,
    "description": "Two men make friends in prison.",
    "url": "https://example.com/films/318",
    "image_url": "https://example.com/films/318.jpg",
    "score": 3.0517,
    "predicted_rating": 4.61,
    "uncertainty": 0.87,
    "similarity": 0.8951,
    "contributions": {"together": 0.31, "taste": 0.42, "features": 0.11, "titles": 0.0551},
    "text_score": 0.92,
    "category_share": 0.95,
    "sources": ["nearest", "popular"],
    "item": "known",
    "strategy": "personalized",
    "kind": "blend",
    "rank": 1,
    "rank_by_score": 1,
    "rank_before": 3,
    "rank_after": 1,
    "heat": 12.5,
    "share_percent": 36.0,
    "segment": "item_item",
    "rule": "promoted",
    "row_id": "picked",
    "because": ["318"],
    "stage": "outranked",
    "detail": "it was proposed, but others score higher",
    "score_needed": 5.8318,
    # Settings of placements
    "demote": "year < 1950",
    "promote": "added_at > now - 30 days",
    "category_cap": 5,
    "min_predicted_rating_above_mean": -0.5,
    "notes": ["no item has the category 'Dramma'; did you mean 'Drama'?"],
    # Training and operation
    "seed": 0,
    "trigger": "request",
    "reason": "lists are not better than those of popular items",
    "progress": 1.0,
    "attempts": 1,
    "card": {"rating_scale": "0.5:5:0.5", "metrics": {"snapshot": {"ndcg@10": 0.1281, "rmse": 0.8412}}},
    "fallback_reason": "lists are not better than those of popular items",
    "advice": "import more ratings, then run `reckon train`",
    "fallback_advice": "import more ratings, then run `reckon train`",
}

NOT_FILLED_IN = frozenset({"cursor", "Idempotency-Key", "If-Match"})
"""A cursor is signed by one database and names the items already returned, so no other request can use it. A key
belongs to one request, and an entity tag to what is stored now.
"""

TO_DELETE: dict[str, Any] = {"user_id": "609", "item_id": "996"}
"""What DELETE is filled in with. No other example needs them, so the operations can be tried in any order."""


def complete(document: Schema) -> None:
    """Add the examples that are missing to request bodies, fields and parameters. Changes nothing a second time."""
    components = document["components"]["schemas"]
    operations = [(method, each) for path in document["paths"].values() for method, each in path.items()]
    # Before the fields, because a body is filled in with the optional fields that are declared with an example.
    for _, operation in operations:
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content.setdefault("example", _of_body(content["schema"], components))
    for schema in components.values():
        for name, field in schema.get("properties", {}).items():
            if "examples" not in field and (found := _of_field(name, field)) is not None:
                field["examples"] = [found]
    for method, operation in operations:
        for parameter in operation.get("parameters", ()):
            if "example" not in parameter and (found := _of_parameter(parameter, method)) is not None:
                parameter["example"] = found


def _of_body(schema: Schema, components: Schema) -> Any:
    """Return the example of the body's class, or of its fields that are required or declared with an example."""
    described = resolved(schema, components)
    if "examples" in described:
        return described["examples"][0]
    required = described.get("required", ())
    return {
        name: field["examples"][0] if "examples" in field else _of_field(name, field)
        for name, field in described.get("properties", {}).items()
        if "examples" in field or name in required
    }


def resolved(schema: Schema, components: Schema) -> Schema:
    """Return the schema behind references, and the first alternative that is not null."""
    if "$ref" in schema:
        return resolved(components[schema["$ref"].rpartition("/")[2]], components)
    if "anyOf" in schema:
        first = next(each for each in schema["anyOf"] if each.get("type") != "null")
        return {**resolved(first, components), **{name: each for name, each in schema.items() if name != "anyOf"}}
    return schema


def _of_parameter(parameter: Schema, method: str) -> Any:
    if method == "delete" and parameter["name"] in TO_DELETE:
        return TO_DELETE[parameter["name"]]
    schema = parameter["schema"]
    if "examples" in schema:
        return schema["examples"][0]
    if schema.get("default") not in (None, []):
        return schema["default"]
    return _of_field(parameter["name"], schema)


def _of_field(name: str, schema: Schema) -> Any:
    for one in (schema, *schema.get("anyOf", ())):
        if "const" in one:
            return one["const"]
        if "enum" in one:
            return one["enum"][0]
    if name in BY_NAME and not _is_composite(schema):
        return BY_NAME[name]
    if schema.get("default") is not None:
        return schema["default"]
    return False if schema.get("type") == "boolean" else None


def _is_composite(schema: Schema) -> bool:
    """Whether the schema refers to components, which have the examples."""
    inner = [schema["items"]] if "items" in schema else schema.get("anyOf", ())
    return "$ref" in schema or any(map(_is_composite, inner))
