"""What a consumer of messages has done: counters for Prometheus, and what its heartbeat says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from app.errors import ConflictError
from app.observability.activity import Activity
from app.observability.metrics import Names

CONSUMER = "consumer"
"""Beside the minutes of `Activity.as_json`."""


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """What a consumer says of itself in its heartbeat.

    `messages`: dealt with since its start; `dead_letters`: written since then. `lag`: messages that are not stored yet,
    by topic and partition, of all partitions that it has. `waits_for`: why it stores nothing now; None while it does.
    """

    messages: int = 0
    dead_letters: int = 0
    lag: Mapping[tuple[str, int], int] = field(default_factory=dict)
    waits_for: str | None = None

    @property
    def total_lag(self) -> int:
        return sum(self.lag.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "lag": {f"{topic} {partition}": n for (topic, partition), n in sorted(self.lag.items())},
            "messages": self.messages,
            "dead_letters": self.dead_letters,
            "waits_for": self.waits_for,
        }

    @classmethod
    def of(cls, activity: Mapping[str, Any]) -> Self | None:
        """That of a process which has said this; None if it is no consumer."""
        document = activity.get(CONSUMER)
        if document is None:
            return None
        places = ((*place.split(" "), n) for place, n in document["lag"].items())  # names of topics hold no blanks
        lag = {(topic, int(partition)): n for topic, partition, n in places}
        return cls(document["messages"], document["dead_letters"], dict(sorted(lag.items())), document["waits_for"])


class ConsumerMetrics:
    """Counted by one thread, read by others."""

    def __init__(self) -> None:
        self.activity = Activity()
        self.waits_for: str | None = None
        self._lag: Mapping[tuple[str, int], int] = {}
        self._n_messages = self._n_refused = 0
        self._types = Names()
        self._registry = CollectorRegistry()
        self._messages = Counter(
            "reckon_kafka_messages", "Messages dealt with, by topic", ["topic"], registry=self._registry
        )
        self._ratings = Counter(
            "reckon_kafka_ratings", "Ratings received, by outcome", ["status"], registry=self._registry
        )
        self._events = Counter(
            "reckon_kafka_events",
            "Events received, by declared type and outcome",
            ["type", "status"],
            registry=self._registry,
        )
        self._dead_letters = Counter(
            "reckon_kafka_dead_letters", "Dead letters written: refused messages and rows", registry=self._registry
        )
        self._waits = Counter(
            "reckon_kafka_waits", "Times that storing was put off, by the error", ["reason"], registry=self._registry
        )
        self._waiting = Gauge(
            "reckon_kafka_waiting",
            "1 while nothing is read, because something does not answer",
            registry=self._registry,
        )
        self._lags = Gauge(
            "reckon_kafka_lag",
            "Messages of a partition of this consumer that are not stored yet",
            ["topic", "partition"],
            registry=self._registry,
        )

    def serve(self, host: str, port: int) -> None:
        """Answer `GET /metrics`, from a thread. Raises `ConflictError` if the address cannot be bound."""
        try:
            start_http_server(port, host, registry=self._registry)
        except OSError as error:
            raise ConflictError(f"cannot bind {host}:{port}: {error.strerror}; --metrics-port names another") from error

    def count_messages(self, topic: str, number: int) -> None:
        self._messages.labels(topic).inc(number)
        self._n_messages += number

    def count_ratings(self, status: str, number: int) -> None:
        self._ratings.labels(status).inc(number)
        self.activity.count_ratings(status, number)

    def count_events(self, type_: str, status: str, number: int) -> None:
        """`type_`: empty for rejected events, whose type may be any text."""
        self._events.labels(self._types.label(type_), status).inc(number)
        self.activity.count_events(status, number)

    def count_dead_letters(self, number: int) -> None:
        self._dead_letters.inc(number)
        self._n_refused += number

    def waits(self, reason: str, detail: str) -> None:
        """`reason`: the type of the error."""
        self._waits.labels(reason).inc()
        self._waiting.set(1)
        self.waits_for = detail

    def goes_on(self) -> None:
        self._waiting.set(0)
        self.waits_for = None

    def observe_lag(self, lag: Mapping[tuple[str, int], int]) -> None:
        """`lag`: by topic and partition, of all partitions that this consumer has."""
        if lag is self._lag:
            return
        for topic, partition in self._lag.keys() - lag.keys():
            self._lags.remove(topic, str(partition))
        for (topic, partition), n in lag.items():
            self._lags.labels(topic, str(partition)).set(n)
        self._lag = lag

    @property
    def state(self) -> ConsumerState:
        return ConsumerState(self._n_messages, self._n_refused, self._lag, self.waits_for)

    def as_json(self) -> dict[str, Any]:
        """The activity of the last hour by minute, and under `consumer` what this process does now."""
        return {**self.activity.as_json(), CONSUMER: self.state.as_json()}
