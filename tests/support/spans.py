"""Spans that a test looks at."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.observability.traces import stop_tracing, trace_by


@contextmanager
def recorded_spans() -> Iterator[InMemorySpanExporter]:
    """Tracing is on in the block; the exporter holds the spans that have ended."""
    exporter = InMemorySpanExporter()
    trace_by(SimpleSpanProcessor(exporter))
    try:
        yield exporter
    finally:
        stop_tracing()
