"""A span for each statement that SQLAlchemy executes for a request or a training run."""

from typing import Any

import sqlalchemy as sa

from app.observability.traces import is_tracing, query_span

_OPEN = "reckon_span"
"""In the context of an execution: its open span."""


def trace_queries(engine: sa.Engine) -> None:
    """Statements are recorded without their parameters. While there are no traces, nothing is listened to."""
    if not is_tracing():
        return

    @sa.event.listens_for(engine, "before_cursor_execute")
    def begin(_connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: Any) -> None:
        opened = query_span(statement)
        opened.__enter__()
        setattr(context, _OPEN, opened)

    @sa.event.listens_for(engine, "after_cursor_execute")
    def end(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: Any) -> None:
        _close(context, None)

    @sa.event.listens_for(engine, "handle_error")
    def fail(failure: Any) -> None:
        _close(failure.execution_context, failure.original_exception)


def _close(context: Any, error: BaseException | None) -> None:
    opened: Any = getattr(context, _OPEN, None)
    if opened is None:  # it failed before the execution, as when no connection was made
        return
    setattr(context, _OPEN, None)
    if error is None:
        opened.__exit__(None, None, None)
    else:
        opened.__exit__(type(error), error, error.__traceback__)
