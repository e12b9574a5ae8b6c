"""The id of a request: in its answer, in every line that is logged meanwhile, and in its span."""

import re
import secrets
from contextvars import ContextVar
from typing import Any

HEADER = b"x-request-id"

ACCEPTED = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Ids of callers that are taken over: none can forge a line of a log or of a header."""

current: ContextVar[str] = ContextVar("request_id", default="")
"""Empty outside of requests. Each request runs in a context of its own; threads that work for it have a copy."""


def accepted_or_new(sent: bytes) -> str:
    """Return the id that the caller sent, where it is one; otherwise a new one."""
    return sent.decode() if ACCEPTED.fullmatch(sent) else secrets.token_hex(8)


def add_request_id(_logger: object, _method: str, event: Any) -> Any:
    """Add the id to a line of the log, as a processor of structlog."""
    if request_id := current.get():
        event["request_id"] = request_id
    return event
