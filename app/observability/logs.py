"""Structured logs on standard error: readable on a terminal, one JSON object a line elsewhere."""

import logging
import sys
import traceback
from typing import Any, TextIO

import structlog
from structlog.typing import ExcInfo

from app.observability.request_ids import add_request_id
from app.texts import redacted

WITHOUT_VALUES = frozenset({AttributeError, ImportError, ModuleNotFoundError, NameError, TypeError, ZeroDivisionError})
"""Errors whose texts name types and attributes. Those of others, such as `KeyError`, quote values, unless a class says
that it `has_no_values`."""


def configure_logs(log_format: str = "") -> None:
    """`log_format`: `console` or `json`; empty: `console` if standard error is a terminal."""
    # Colours and alignment help on a terminal alone; a collector of logs parses JSON.
    is_console = log_format == "console" or (not log_format and sys.stderr.isatty())
    console = structlog.dev.ConsoleRenderer(exception_formatter=_write_traceback)
    traceback_field = structlog.processors.ExceptionRenderer(_traceback_of)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([console] if is_console else [traceback_field, structlog.processors.JSONRenderer()]),
            _redact,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        # A cached logger would keep the configuration of the first app or test in the process.
        cache_logger_on_first_use=False,
    )


def _write_traceback(file: TextIO, exc_info: ExcInfo) -> None:
    file.write("\n" + _traceback_of(exc_info))


def _traceback_of(exc_info: ExcInfo) -> str:
    """The traceback without texts that may hold data of users: where it happened, and what kind of error.

    The traceback of the library would print every local variable: ratings, vectors and ids of users.
    """
    lines: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None:
        is_safe = type(error) in WITHOUT_VALUES or getattr(error, "has_no_values", False)
        text = f": {error}" if is_safe else ""
        if isinstance(error, OSError) and error.strerror:
            text = f": {error.strerror}"
        frames = traceback.format_list(traceback.extract_tb(error.__traceback__))
        # The outermost error comes last, as Python prints it.
        lines = ["Traceback (most recent call last):\n", *frames, f"{type(error).__qualname__}{text}\n", *lines]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "".join(lines).rstrip()


def _redact(_logger: object, _method: str, line: Any) -> str:
    """The last step, so that no field and no traceback can hold a key that stood in an address, for example."""
    return redacted(line)
