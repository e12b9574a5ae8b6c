"""A check for schemathesis, which loads this module: what follows the document is accepted.

The tool's own check counts every 422 to a request that fits the schema. A schema cannot say everything.
"""

from typing import Any
from urllib.parse import urlencode

import schemathesis

from app.api.address_check import MAX_ADDRESS

REFUSED_TYPES = frozenset(
    {
        "token-invalid",  # a cursor or recommendation_id that was never issued
        "unknown-placement",
        "idempotency-key-reused",
    }
)
REFUSED_FIELDS = frozenset(
    {
        *("filter", "boost", "promote", "demote"),  # expressions, which have a grammar
        "value",  # off the rating scale, which each service has its own of
        *("rated_at", "at"),  # ahead of the server's clock
        *("type", "portion"),  # of event types that are not declared, or are no consumption
        *("body", "recipe", "guest_id", "placement"),  # of fields that exclude each other, or repeat the path
        "scopes",  # of a key with origins, which may have few of them
    }
)
"""The last part of the field at fault."""


@schemathesis.hook
def filter_headers(_context: Any, headers: Any) -> bool:
    """Without values that are no HTTP, which the server refuses before it knows the operation."""
    return all(isinstance(value, str) and value.isascii() and value.isprintable() for value in (headers or {}).values())


@schemathesis.hook
def filter_query(_context: Any, query: Any) -> bool:
    """Without addresses that are too long, which is refused before the operation is known, too."""
    return len(urlencode(query or {}, doseq=True, errors="replace")) < MAX_ADDRESS // 2


@schemathesis.check
def valid_is_accepted(_ctx: Any, response: Any, case: Any) -> None:
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if not is_valid or response.status_code not in {400, 405, 413, 414, 415, 422}:
        return
    problem = response.json()
    kind = problem["type"].rpartition(":")[2]
    # The place in a list, or the name of an attribute, is no field.
    field = last_name(problem.get("field") or "")
    if kind not in REFUSED_TYPES and field not in REFUSED_FIELDS and not ends_a_line(case.body, problem):
        sent = ascii(value_at(case.body, problem.get("field") or ""))[:100]
        raise AssertionError(f"valid, but refused: {kind} {problem.get('field')} {sent}: {problem['detail'][:200]}")


def ends_a_line(body: Any, problem: Any) -> bool:
    """Whether a text is refused for its pattern and ends with a line break.

    The tool matches patterns by the rules of Python, by which `$` also stands before a last line break. By those of
    JSON Schema (ECMA 262) it does not.
    """
    value = value_at(body, problem.get("field") or "")
    return isinstance(value, str) and value.endswith("\n") and "pattern" in problem["detail"]


def value_at(body: Any, field: str) -> Any:
    """What the body holds at `body.origins.0`; None where there is nothing."""
    value = body
    for part in field.split(".")[1:]:
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            return None
    return value


def last_name(field: str) -> str:
    """`value` of `body.ratings.0.value`."""
    names = [part for part in field.split(".") if part and not part.isdigit()]
    return names[-1] if names else "body"
