"""One operation, written once, for both clients.

An operation is a function from arguments to a `Request`; decorated, it is an attribute that a blocking client offers
as a method with an answer, and an asynchronous one as a method with an awaitable. Type checkers and editors see the
arguments, the text and the right kind of answer of either. Refused: two copies of every method, and one copy with a
program that writes the other.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from types import MethodType
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, Self, TypeVar, get_args, overload

from .errors import ReckonError

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Method = Literal["GET", "PUT", "POST", "DELETE"]


@dataclass(frozen=True, slots=True)
class Route:
    """`path`: a template, as in the OpenAPI document. `changes`: something is written.

    `is_repeatable`: sending it twice comes to the same as sending it once.
    """

    method: Method
    path: str
    changes: bool
    is_repeatable: bool


@dataclass(frozen=True, slots=True)
class Request(Generic[T_co]):
    """What an operation makes of its arguments. What is None in `query` and `body` is not sent."""

    answer: type[T_co]
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """A request to be sent: `reckon.send(Reckon.items.call(q="star"))` is `reckon.items(q="star")`."""

    route: Route
    request: Request[T_co]

    def after(self, cursor: str) -> Self:
        """The same for the page after."""
        asked = self.request
        if asked.body is None:
            return replace(self, request=replace(asked, query={**asked.query, "cursor": cursor}))
        return replace(self, request=replace(asked, body={**asked.body, "cursor": cursor}))


class Page(Protocol[T_co]):
    """An answer with more after it; iterates over its entries."""

    @property
    def next_cursor(self) -> str | None: ...
    def __iter__(self) -> Iterator[T_co]: ...


Steps = Generator[Call[Any], Any, T]
"""Yields calls, is sent their answers, and returns what they come to."""


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
                return end.value  # type: ignore[no-any-return]  # the exception does not know of what type it is
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
                return end.value  # type: ignore[no-any-return]  # as above
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

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Blocking, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaiting, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self if client is None else MethodType(self._method, client)


class Iteration(Generic[P, T]):
    """All entries of an operation that answers page by page, fetched as they are asked for."""

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
    """Several calls, one after the other, and what they come to."""

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
    """`act` with the name, text and parameters of `described`, for `help()`; it answers what that one asks for."""
    shape = inspect.signature(described)
    method: Any = wraps(described)(act)
    method.__signature__ = shape.replace(return_annotation=get_args(shape.return_annotation)[-1])
    return method  # type: ignore[no-any-return]


def operation(
    method: Method, path: str, *, changes: bool | None = None, is_repeatable: bool | None = None
) -> Callable[[Callable[Concatenate[Any, P], Request[T]]], Operation[P, T]]:
    """Unless said otherwise, everything but a GET changes something, and everything but a POST is repeatable."""
    route = Route(
        method,
        path,
        changes=method != "GET" if changes is None else changes,
        is_repeatable=method != "POST" if is_repeatable is None else is_repeatable,
    )
    return partial(Operation, route)
