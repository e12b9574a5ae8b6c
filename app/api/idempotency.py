"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-06): a POST that is sent again acts once.

Every POST that writes takes the header, but for those whose answers hold secrets. Its answer is stored with its effect,
in one transaction, and is returned byte for byte to the same request with the same key, by any process. What fails
stores neither.

A handler that is not `async` runs inside that transaction as it is. An `async` one, which shares its commit with other
callers, passes `keeping(request, answer)` on to the write.

A request without the header costs the look for it.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from app.auth.key_ring import Caller
from app.errors import ReckonError
from app.store import Store
from app.store.kept_answers import ANY_USER, GONE, Answer, Keep, KeptAnswer, KeptAnswers, KeyedRequest

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY_LENGTH = 255
KEY = rf"[!-~]{{1,{MAX_KEY_LENGTH}}}"
RAW_HEADER = HEADER.lower().encode()

PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": (
        "A new random text for each request, such as a UUID, sent again with each repetition of it. The request is then"
        f" carried out once: a repetition within 24 hours gets the first answer, with the header `{REPLAYED}: true`. 1"
        f" to {MAX_KEY_LENGTH} visible ASCII characters"
    ),
    "schema": {"type": "string", "pattern": f"^{KEY}$", "minLength": 1, "maxLength": MAX_KEY_LENGTH},
}

T = TypeVar("T")
Handler = TypeVar("Handler", bound=Callable[..., Any])


class KeyReusedError(ReckonError):
    type = "idempotency-key-reused"
    title = "The Idempotency-Key belongs to another request"
    status = 422

    def __init__(self) -> None:
        super().__init__(
            "another request was sent with this key; a repetition has the same path, query and body, byte for byte",
            field=f"header.{HEADER}",
        )


class AnswerGoneError(ReckonError):
    type = "answer-gone"
    title = "The request was carried out before, and its answer is gone"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            "this request was carried out before; its answer is not kept, because it is too large or because it names"
            " a user who was deleted since"
        )


@dataclass(slots=True)
class Once:
    """One keyed request, and the answer that is kept for it once it is carried out."""

    request: KeyedRequest
    kept_answers: KeptAnswers
    answer: Answer | None = None


def acts_once(handler: Handler) -> Handler:
    """Mark the handler of a POST that writes: its operation takes the header."""
    handler.__dict__["acts_once"] = True
    return handler


def writes_nothing(handler: Handler) -> Handler:
    """Mark the handler of a POST that only reads: to repeat it is harmless."""
    handler.__dict__["acts_once"] = False
    return handler


def answers_a_secret(handler: Handler) -> Handler:
    """Mark the handler of a POST whose answer holds a secret, which must not be stored: a repetition acts again."""
    handler.__dict__["acts_once"] = False
    return handler


def is_acting_once(handler: Callable[..., Any]) -> bool:
    """Raise `TypeError` for a handler of a POST without a mark."""
    mark = handler.__dict__.get("acts_once")
    if mark is None:
        raise TypeError(
            f"{handler.__qualname__} handles POST: mark it with @acts_once, @writes_nothing or @answers_a_secret"
        )
    return bool(mark)


def joined_to_answer(handler: Callable[..., BaseModel], status: int) -> Callable[..., BaseModel]:
    """Return the handler, which is not `async`, as one that stores the answer to a keyed request with its effect."""

    @wraps(handler)
    def handle(request: Request, **arguments: Any) -> BaseModel:
        once: Once | None = getattr(request.state, "once", None)
        if once is None:
            return handler(request=request, **arguments)
        answered: list[BaseModel] = []

        def act() -> Answer:
            answered.append(handler(request=request, **arguments))
            once.answer = _answer(status, answered[0])
            return once.answer

        once.kept_answers.carry_out(once.request, act)
        return answered[0]

    return handle


def keeping(request: Request, answer: Callable[[T], tuple[int, BaseModel]]) -> Keep[T] | None:
    """Return what a write needs to keep the status and body that `answer` makes of its outcome; None without a key."""
    once: Once | None = getattr(request.state, "once", None)
    if once is None:
        return None

    def kept(outcome: T) -> Answer:
        once.answer = _answer(*answer(outcome))
        return once.answer

    return Keep(once.request, kept)


def is_keyed(request: Request) -> bool:
    return any(name == RAW_HEADER for name, _ in request.scope["headers"])


def once_of(request: Request, body: bytes, caller: Caller, store: Store) -> Once:
    """Note at the request that it acts once. Raises `RequestValidationError` for a malformed key.

    Each caller has keys of its own, so that no other one can ask for the answers, or take the keys.
    """
    keys = request.headers.getlist(HEADER)
    if len(keys) > 1 or not re.fullmatch(KEY, keys[0]):
        message = f"one key of 1 to {MAX_KEY_LENGTH} visible ASCII characters is expected"
        raise RequestValidationError([{"loc": ("header", HEADER), "msg": message}])
    content = (request.method, request.scope["path"], request.scope["query_string"], body)
    secret = store.instance.token_key
    key = _digest(secret, caller.key_id or "", caller.user_id or "", keys[0])
    request.state.once = once = Once(KeyedRequest(key, _digest(secret, *content)), store.kept_answers)
    return once


def replayed(once: Once, kept: KeptAnswer) -> Response:
    """Raise `KeyReusedError` if the answer is of another request, `AnswerGoneError` if it is there no longer."""
    if kept.fingerprint not in {once.request.fingerprint, GONE}:
        raise KeyReusedError
    if kept.body is None:
        raise AnswerGoneError
    return _response(kept.status, kept.body, {REPLAYED: "true"})


def first(answer: Answer) -> Response:
    return _response(answer.status, answer.body)


def _response(status: int, body: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")


def _answer(status: int, model: BaseModel) -> Answer:
    # By these attributes an answer tells whom it names, and that it quotes rows which were refused.
    user_id = ANY_USER if getattr(model, "rejected", 0) else getattr(model, "user_id", None)
    return Answer(status, model.model_dump_json().encode(), user_id)


def _digest(secret: bytes, *parts: str | bytes) -> str:
    # Keyed: a short text, such as the id of a user, could be found from its plain hash by trying all.
    digest = hashlib.blake2b(key=secret[: hashlib.blake2b.MAX_KEY_SIZE], digest_size=32)
    for part in parts:
        encoded = part.encode() if isinstance(part, str) else part
        # With the lengths, so that no two lists of parts are joined to the same bytes.
        digest.update(len(encoded).to_bytes(8) + encoded)
    return digest.hexdigest()
