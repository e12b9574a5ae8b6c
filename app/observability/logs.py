"""Structured logs on standard error: readable on a terminal, one JSON object a line elsewhere."""

import logging
import sys

import structlog


def configure_logs(log_format: str = "") -> None:
    """`console`, `json`, or empty: by whether standard error is a terminal."""
    is_console = log_format == "console" or (not log_format and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if is_console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
