"""Spans of OpenTelemetry: of requests, of their steps and queries, and of training runs.

Off unless the standard environment variables of OpenTelemetry name an exporter; `span` then costs a tenth of a
microsecond. The framework's own instrumentation stays off: its spans hold addresses, which name users. Spans here hold
the template of the path, and statements without their parameters.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from app.errors import InvalidInputError, UnavailableError

if TYPE_CHECKING:  # the packages are an extra
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

OTLP, CONSOLE, NONE = "otlp", "console", "none"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"

MAX_STATEMENT = 1_000
"""Characters of a statement in a span. Some hold long lists of columns."""

NO_SPAN: AbstractContextManager[None] = nullcontext()


class _Tracing:
    """OpenTelemetry has one tracer provider for a process; this is ours. `tracer`: None while spans are off."""

    tracer: "Tracer | None" = None


def configure_traces() -> None:
    """Turn spans on where the environment asks for them.

    Raises `UnavailableError` where the packages are missing, and `InvalidInputError` for an exporter that Reckon lacks.
    """
    name = _exporter_name()
    if name == NONE or _Tracing.tracer is not None:
        return
    try:
        from opentelemetry.sdk.trace.export import (
            BatchSpanProcessor,
            ConsoleSpanExporter,
            SpanExporter,
        )

        exporter: SpanExporter
        if name == OTLP:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter()
        else:
            exporter = ConsoleSpanExporter()
    except ModuleNotFoundError as error:
        raise UnavailableError("traces need their packages: pip install 'reckon[otel]', or unset OTEL_*") from error
    trace_by(BatchSpanProcessor(exporter))


def trace_by(processor: "SpanProcessor") -> None:
    """Turn spans on; each that ends is given to the processor."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    # What the environment says of the service comes before the name of the program.
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if named else {"service.name": "reckon"}))
    provider.add_span_processor(processor)
    _Tracing.tracer = provider.get_tracer("reckon")


def stop_tracing() -> None:
    _Tracing.tracer = None


def is_tracing() -> bool:
    return _Tracing.tracer is not None


def _exporter_name() -> str:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return NONE
    is_addressed = any(os.environ.get(name) for name in ENDPOINTS)
    name = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() or (OTLP if is_addressed else NONE)
    if name not in {OTLP, CONSOLE, NONE}:
        raise InvalidInputError(f"OTEL_TRACES_EXPORTER is {name}; Reckon has otlp, console and none")
    protocol = next((os.environ[each] for each in PROTOCOLS if os.environ.get(each)), PROTOCOL)
    if name == OTLP and protocol != PROTOCOL:
        raise InvalidInputError(f"the protocol of OTLP is {protocol}; Reckon has {PROTOCOL}")
    return name


def span(name: str, **attributes: str | float) -> AbstractContextManager["Span | None"]:
    """A span around the block, in that of the block around it. Underscores in names of attributes become points."""
    tracer = _Tracing.tracer
    return NO_SPAN if tracer is None else _span(tracer, name, attributes)


def inner_span(name: str, **attributes: str | float) -> AbstractContextManager["Span | None"]:
    """As `span`, but none without a span around it: polls in the background have no traces."""
    tracer = _Tracing.tracer
    return _span(tracer, name, attributes) if tracer is not None and _has_parent() else NO_SPAN


def query_span(statement: str) -> AbstractContextManager["Span | None"]:
    """As `inner_span`, of a query of the database."""
    if _Tracing.tracer is None:
        return NO_SPAN
    operation = statement.split(maxsplit=1)[0]
    return inner_span(operation, db_operation_name=operation, db_query_text=statement[:MAX_STATEMENT])


def request_span(
    request_id: str, method: str, headers: Iterable[tuple[bytes, bytes]]
) -> AbstractContextManager["Span | None"]:
    """A span of a request, in the trace that the header `traceparent` names."""
    tracer = _Tracing.tracer
    return NO_SPAN if tracer is None else _request_span(tracer, request_id, method, headers)


def _has_parent() -> bool:
    from opentelemetry.trace import get_current_span

    return get_current_span().is_recording()


@contextmanager
def _span(tracer: "Tracer", name: str, attributes: dict[str, Any], **options: Any) -> "Iterator[Span]":
    named = {key.replace("_", "."): value for key, value in attributes.items()}
    # The library would record the text of an exception, which may quote data of users.
    with tracer.start_as_current_span(
        name, attributes=named, record_exception=False, set_status_on_exception=False, **options
    ) as made:
        try:
            yield made
        except Exception as error:
            fail(made, type(error).__name__)
            raise


@contextmanager
def _request_span(
    tracer: "Tracer", request_id: str, method: str, headers: Iterable[tuple[bytes, bytes]]
) -> "Iterator[Span]":
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name.startswith(b"trace")}
    context = TraceContextTextMapPropagator().extract(carrier)
    with _span(tracer, method, {}, context=context, kind=SpanKind.SERVER) as made:
        made.set_attribute("http.request.method", method)
        made.set_attribute("reckon.request_id", request_id)
        yield made


def fail(made: "Span", kind: str) -> None:
    """Mark the span as failed by an error of the kind."""
    from opentelemetry.trace import StatusCode

    made.set_status(StatusCode.ERROR)
    made.set_attribute("error.type", kind)
