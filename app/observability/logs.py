"""Structured logs on standard error: readable on a terminal, one JSON object a line elsewhere."""

import logging
import sys
from typing import Any

import structlog

from app.texts import redacted


def configure_logs(log_format: str = "") -> None:
    """`log_format`: `console` or `json`; empty: `console` if standard error is a terminal."""
    # Colours and alignment help on a terminal alone; a collector of logs parses JSON.
    is_console = log_format == "console" or (not log_format and sys.stderr.isatty())
    # The library's default traceback prints every local variable: ratings, vectors and ids of users.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([console] if is_console else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]),
            _redact,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        # A cached logger would keep the configuration of the first app or test in the process.
        cache_logger_on_first_use=False,
    )


def _redact(_logger: object, _method: str, line: Any) -> str:
    """The last step, so that no field and no traceback can hold a key that stood in an address, for example."""
    return redacted(line)
