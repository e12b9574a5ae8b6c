"""How handlers are called, and how they get the objects of the service.

Before a handler is called, its route checks the key of the caller, the content type and the structure of the body, and
the names of the query parameters. It carries out a repeated POST once, and records acts of administrators.

Handlers are module-level functions. They get the objects of the process by `service_of(request)`. A FastAPI dependency
for that would cost 30 us per request, a tenth of the time of a list.

All routes override `get_route_handler`, the documented way to extend a route, and read nothing of the framework but
the signature of the handler.
"""

import re
from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from typing import Any, get_type_hints

from fastapi import Request, Response, params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.api import idempotency
from app.api.access import Access, caller_of, check_body
from app.api.json_request import JsonRequest
from app.api.problems import responses
from app.api.query_string import names, refuse_repeated, refuse_unknown, takes_several
from app.auth.errors import ForbiddenError
from app.auth.refusals import acts_in
from app.errors import InvalidInputError, ReckonError, StorageUnavailableError
from app.intake.json_limits import check_json
from app.store.audit import ANY_CALLER, SUCCEEDED
from app.store.kept_answers import AlreadyAnsweredError
from app.wiring import Control, Service

BAD_REQUEST = 400

JSON_TYPE = re.compile(r"\s*application/(?:[\w.-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class NotJsonError(ReckonError):
    type = "not-json"
    title = "The content type is not JSON"
    status = 415

    def __init__(self) -> None:
        super().__init__("the request needs the header `Content-Type: application/json`")


def service_of(request: Request) -> Service:
    """Return the objects of the catalogue that the key of the caller selects; without a key, of the main one."""
    state = request.scope["state"]
    caller = state.get("caller")
    service: Service = (
        # A request of a tenant for which `TenantService` has leased nothing must fail: never the main catalogue.
        request.app.state.service if caller is None or caller.tenant is None else state["service"]
    )
    return service


def control_of(request: Request) -> Control:
    """Return the keys and what else belongs to the deployment, whichever catalogue the request is for."""
    control: Control = request.app.state.control
    return control


class CheckedRoute(APIRoute):
    """Checks the key of the caller against what the operation declares (`app.api.access`)."""

    access: Access

    def get_route_handler(self) -> Handler:
        self.access = Access.declared(self.openapi_extra, f"{self.name} ({self.path})")
        return super().get_route_handler()


class StrictRoute(CheckedRoute):
    """Answers 422 to a query parameter that the operation does not have, which FastAPI would ignore, and to one that is
    given twice and can be given once, of which FastAPI would take the last. Reads bodies in bounded time.

    A handler marks each query parameter with `Query`, or describes those it reads itself in `openapi_extra`. That of a
    POST is marked with `acts_once` or its alternatives, see `app.api.idempotency`.

    An operation that takes a body answers 415 unless the content type is JSON, even if the body is empty: a web page
    may send any other content type to another site without asking it first. No operation takes any other content type.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.acts_once = "POST" in (options.get("methods") or ()) and idempotency.is_acting_once(endpoint)
        if self.acts_once:
            if not iscoroutinefunction(endpoint):
                endpoint = idempotency.joined_to_answer(endpoint, options.get("status_code") or 200)
            extra = options.get("openapi_extra") or {}
            parameters = [idempotency.PARAMETER, *extra.get("parameters", ())]
            options["openapi_extra"] = extra | {"parameters": parameters}
            answer_gone = {"the answer is no longer there": idempotency.AnswerGoneError()}
            options["responses"] = responses(409, also=options.get("responses"), errors=answer_gone)
        super().__init__(path, endpoint, **options)
        if self.body_field is not None:
            self.responses = responses(NotJsonError.status) | self.responses

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        access = self.access
        if access.audit is not None:
            handle = _audited(access.audit, handle)
        if self.acts_once:
            # Outside: a repetition is no act.
            handle = _once(handle)
        hints = get_type_hints(self.endpoint, include_extras=True)
        known = {name for name, hint in hints.items() if any(isinstance(each, params.Query) for each in _marks(hint))}
        repeatable = {name for name in known if takes_several(hints[name])}
        # Handlers that read the query string themselves declare the parameters in `openapi_extra`. They check which of
        # them are repeated.
        described = (self.openapi_extra or {}).get("parameters", ())
        own = {each["name"] for each in described if each["in"] == "query"}
        known, repeatable = known | own, repeatable | own
        takes_body = self.body_field is not None
        changes = self.methods != {"GET"}

        async def handle_known(request: Request) -> Response:
            try:
                user_id = access.check(request)
            except ForbiddenError as error:
                if access.audit is not None:
                    await _record_refusal(request, access.audit, error)
                raise
            if changes:
                content_type = request.headers.get("content-type")
                if takes_body if content_type is None else not JSON_TYPE.fullmatch(content_type):
                    raise NotJsonError
            if takes_body:
                request = await _with_body(request, access, user_id)
            query_string = request.scope["query_string"]
            if query_string:
                given = names(query_string)
                refuse_unknown(given, known)
                refuse_repeated(given, repeatable)
            return await handle(request)

        return handle_known


class AnswerRoute(StrictRoute):
    """For answers that can be made from memory: where the database stops answering while one is made, it is made again.

    The first attempt has reported the failure, so the second one is made from what is remembered.
    """

    def get_route_handler(self) -> Handler:
        answer = _answering(super().get_route_handler())

        async def handle_json(request: Request) -> Response:
            # Made once, because it keeps the body, which cannot be received again for the second attempt.
            return await answer(JsonRequest(request.scope, request.receive))

        return handle_json


def _once(handle: Handler) -> Handler:
    """Return the handler of a POST that writes, which carries out requests with one Idempotency-Key once."""

    async def handle_once(request: Request) -> Response:
        if not idempotency.is_keyed(request):
            return await handle(request)
        kept_answers = service_of(request).store.kept_answers
        once = idempotency.once_of(request, await _body_of(request), caller_of(request), service_of(request).store)
        if (kept := await kept_answers.find(once.request.key)) is not None:
            return idempotency.replayed(once, kept)
        try:
            response = await handle(request)
        except (AlreadyAnsweredError, ReckonError):
            # Carried out meanwhile, by a request that this one waited for; what that one did may be why this one fails,
            # as when a guest is merged and gone.
            if (kept := await kept_answers.find(once.request.key)) is None:
                raise
            return idempotency.replayed(once, kept)
        return response if once.answer is None else idempotency.first(once.answer)

    return handle_once


def _audited(action: str, handle: Handler) -> Handler:
    """Return the handler of an administrative act, which records in the audit log what came of it.

    The object of the act is the part of the path that names it, or `request.state.audited` where the handler sets it.
    """

    async def handle_audited(request: Request) -> Response:
        outcome: str | None = "internal-error"
        try:
            response = await handle(request)
            outcome = SUCCEEDED
        except ReckonError as error:
            outcome = error.type
            raise
        except RequestValidationError:
            outcome = InvalidInputError.type
            raise
        except AlreadyAnsweredError:
            outcome = None  # the other request with this key has acted
            raise
        finally:
            if outcome is not None:
                target = getattr(request.state, "audited", _target_of(request))
                actor = caller_of(request).key_id or ANY_CALLER
                # In the database of the caller's catalogue: targets are names of its objects.
                await run_in_threadpool(service_of(request).store.audit.record, actor, action, target, outcome)
        return response

    return handle_audited


async def _record_refusal(request: Request, action: str, error: ForbiddenError) -> None:
    caller = caller_of(request)
    actor = caller.key_id or ANY_CALLER
    # The entry is in the database of the caller's catalogue.
    n_left_out = control_of(request).refusals.left_out_before(acts_in(caller.tenant), actor, action, error.type)
    if n_left_out is not None:
        audit = service_of(request).store.audit
        target = _target_of(request)
        await run_in_threadpool(audit.record_refusal, actor, action, target, error.type, n_left_out=n_left_out)


def _target_of(request: Request) -> str:
    """The parts of the path that name the object of an act. Ids of users are left out: the log would keep them."""
    return "/".join(str(value) for name, value in request.path_params.items() if name != "user_id")


class DirectRoute(CheckedRoute):
    """As `AnswerRoute`, and calls the handler directly, for the two most frequent reads.

    FastAPI would look for headers, cookies, bodies and dependencies that they do not have, which takes 45 of the 300 us
    of a list.

    The handler is `async`, takes `request` and parts of the path, and makes its response. It reads its query string by
    `query_string.parameters`, which refuses unknown parameters.
    """

    def get_route_handler(self) -> Handler:
        super().get_route_handler()
        access, handler = self.access, self.endpoint
        hints = get_type_hints(handler, include_extras=True)
        parts = {name: TypeAdapter(hint) for name, hint in hints.items() if name not in {"request", "return"}}

        async def handle(request: Request) -> Response:
            access.check(request)
            values: dict[str, Any] = {}
            faults: list[Any] = []
            for name, adapter in parts.items():
                try:
                    values[name] = adapter.validate_python(request.path_params[name])
                except ValidationError as error:
                    faults += [fault | {"loc": ("path", name)} for fault in error.errors(include_url=False)]
            # All parts are checked before the first error is raised, so that the answer names every fault.
            if faults:
                raise RequestValidationError(faults)
            response: Response = await handler(request=request, **values)
            return response

        return _answering(handle)


def _answering(handle: Handler) -> Handler:
    async def handle_twice(request: Request) -> Response:
        try:
            return await handle(request)
        except StorageUnavailableError:
            return await handle(request)

    return handle_twice


async def _with_body(request: Request, access: Access, user_id: str | None) -> JsonRequest:
    """Receive the body and check it. `user_id`: the only user whom it may name."""
    received = request if isinstance(request, JsonRequest) else JsonRequest(request.scope, request.receive)
    check_json(await _body_of(received))
    if access.scopes:
        # A body may take a minute to arrive, and the key may be revoked meanwhile.
        control_of(request).keys.check(caller_of(request).key_id)
    if user_id is not None:
        await check_body(received, user_id)
    return received


async def _body_of(request: Request) -> bytes:
    """The whole body, which the request keeps for the framework."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise HTTPException(BAD_REQUEST, "the body is not complete") from None


def _marks(hint: Any) -> tuple[Any, ...]:
    """Return the metadata of an `Annotated` type; empty for a plain type."""
    marks: tuple[Any, ...] = getattr(hint, "__metadata__", ())
    return marks
