"""Operations, each written once for both clients.

An operation is a function from arguments to a `Request`. Its decorator makes it an attribute that is a method with an
answer on a blocking client, and a method with an awaitable on an asynchronous one. Type checkers and editors see the
arguments, the docstring and the right kind of answer for either.

Rejected alternatives: a copy of every method for each client, and one copy from which a program generates the other.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from types import MethodType
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    get_args,
    get_type_hints,
    overload,
)

from .errors import ReckonError

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Method = Literal["GET", "PUT", "PATCH", "POST", "DELETE"]


@dataclass(frozen=True, slots=True)
class Route:
    """The address of an operation, and how it may be called.

    `path`: a template, as in the OpenAPI document.
    `changes`: the operation writes something.
    `is_repeatable`: sending it twice, with its Idempotency-Key if it is keyed, has the same effect as sending it once.
    """

    method: Method
    path: str
    changes: bool
    is_repeatable: bool

    @property
    def is_keyed(self) -> bool:
        """Whether an Idempotency-Key makes it repeatable."""
        # HTTP defines PUT and DELETE as idempotent, and so is a merge patch, which names the new values.
        return self.changes and self.method == "POST" and self.is_repeatable


@dataclass(frozen=True, slots=True)
class Request(Generic[T_co]):
    """What an operation makes of its arguments.

    `answer`: the type of the answer.
    `path`, `query`, `body`: the parameters by place; those that are None are not sent.
    `headers`: those of this operation alone.
    `sends_null`: sends what is None in the body as null, which clears a field in a merge patch.
    `read`: makes the answer of its JSON text, where `wire.decode` cannot.
    """

    answer: type[T_co]
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[bytes], T_co] | None = None
    sends_null: bool = False


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """A request to be sent: `reckon.send(Reckon.items.call(q="star"))` is `reckon.items(q="star")`."""

    route: Route
    request: Request[T_co]

    def after(self, cursor: str) -> Self:
        """The same call for the page after `cursor`."""
        request = self.request
        # A cursor goes where the other options are: into the body, or into the query if there is no body.
        if request.body is None:
            return replace(self, request=replace(request, query={**request.query, "cursor": cursor}))
        return replace(self, request=replace(request, body={**request.body, "cursor": cursor}))


class Page(Protocol[T_co]):
    """An answer that is one page of many; iterates over its entries."""

    @property
    def next_cursor(self) -> str | None: ...
    def __iter__(self) -> Iterator[T_co]: ...


Steps = Generator[Call[Any], Any, T]
"""Yields calls, receives their answers, and returns the result of all of them."""


# `Blocking` and `Awaiting` differ only in `await`. No Python function can be both, so each loop is written twice.
class Blocking(ABC):
    """A client whose calls return answers."""

    @abstractmethod
    def send(self, call: Call[T]) -> T:
        """Make a call that `Operation.call` prepared."""

    def pages(self, call: Call[Page[T]]) -> Iterator[T]:
        while True:
            page = self.send(call)
            yield from page
            if page.next_cursor is None:
                return
            call = call.after(page.next_cursor)

    def follow(self, steps: Steps[T]) -> T:
        resume = partial(next, steps)
        while True:
            try:
                call = resume()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # StopIteration is not generic in its value
            # Errors are raised inside the generator, so that the operation can add a note to them.
            try:
                resume = partial(steps.send, self.send(call))
            except ReckonError as error:
                resume = partial(steps.throw, error)


class Awaiting(ABC):
    """A client whose calls return awaitables."""

    @abstractmethod
    async def send(self, call: Call[T]) -> T:
        """Make a call that `Operation.call` prepared."""

    async def pages(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        while True:
            page = await self.send(call)
            for entry in page:
                yield entry
            if page.next_cursor is None:
                return
            call = call.after(page.next_cursor)

    async def follow(self, steps: Steps[T]) -> T:
        resume = partial(next, steps)
        while True:
            try:
                call = resume()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # StopIteration is not generic in its value
            try:
                resume = partial(steps.send, await self.send(call))
            except ReckonError as error:
                resume = partial(steps.throw, error)


class Operation(Generic[P, T]):
    """One operation of the service."""

    def __init__(self, route: Route, build: Callable[Concatenate[Any, P], Request[T]]) -> None:
        self.route = route
        self.build = build
        self.__doc__ = build.__doc__
        self._method = _method(build, lambda client, *given, **named: client.send(self.call(*given, **named)))

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """The call, not yet made."""
        return Call(self.route, self.build(None, *args, **kwargs))

    # The overloads are for type checkers: the kind of the client decides the kind of the answer.
    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self if client is None else MethodType(self._method, client)


class Iteration(Generic[P, T]):
    """All entries of an operation that answers in pages; each page is fetched when its first entry is needed."""

    def __init__(self, first: Callable[Concatenate[Any, P], Call[Page[T]]]) -> None:
        self.__doc__ = first.__doc__
        self._method = _method(first, lambda client, *given, **named: client.pages(first(None, *given, **named)))

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self if client is None else MethodType(self._method, client)


class Procedure(Generic[P, T]):
    """Several calls in sequence, and the result of all of them."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self.__doc__ = steps.__doc__
        self._method = _method(steps, lambda client, *given, **named: client.follow(steps(None, *given, **named)))

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self if client is None else MethodType(self._method, client)


def _method(described: Callable[..., Any], act: Callable[..., Any]) -> Callable[..., Any]:
    """`act` with the name, docstring and parameters of `described`, for `help()`; returns what the call answers."""
    signature = signature_of(described)
    # `wraps` copies the name and the docstring; `help()` takes the parameters from `__signature__`.
    method: Any = wraps(described)(act)
    method.__signature__ = signature.replace(return_annotation=get_args(signature.return_annotation)[-1])
    return method  # type: ignore[no-any-return]


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of an operation; `**options: Unpack[Options]` becomes one keyword argument an option.

    Type checkers read `Unpack` so; `inspect.signature` and `help()` do not. The default is `...`: the service's own.
    """
    signature = inspect.signature(function)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            parameters.append(parameter)
            continue
        # The annotation is `Unpack[Options]`, a generic alias of one argument.
        (options,) = get_args(parameter.annotation)
        parameters.extend(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=..., annotation=hint)
            for name, hint in get_type_hints(options).items()
        )
    return signature.replace(parameters=parameters)


def operation(
    method: Method, path: str, *, changes: bool | None = None, is_repeatable: bool = True
) -> Callable[[Callable[Concatenate[Any, P], Request[T]]], Operation[P, T]]:
    """Declares an operation. By default, everything but a GET writes."""
    changes = method != "GET" if changes is None else changes
    route = Route(method, path, changes=changes, is_repeatable=is_repeatable)
    return partial(Operation, route)
