"""Brokers of the Kafka protocol: the only place that knows the library, which is an extra.

Offsets are stored here once the rows of a message are in the database, and the library commits what is stored every
second, when partitions are taken away, and at the end. What was stored in the database and not committed comes again.

Refused: a commit that waits for the broker after each batch. The library waits for ever while the broker is down.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from app.errors import InvalidInputError, UnavailableError
from app.settings import Settings
from app.worker.dead_letters import DeadLetter
from app.worker.messages import Place, TopicMessage

INSTALL = "`reckon consume` needs confluent-kafka: pip install 'reckon[kafka]'"

DELIVERY_SECONDS = 10.0
"""Within this time a dead letter is written, or counts as not written."""

CLOSE_SECONDS = 10.0
"""How long the group is told that this consumer leaves; a broker that is down does not hear it."""

MAX_LETTER_BYTES = 4 << 20

DEFAULTS: Mapping[str, Any] = {
    "client.id": "reckon",
    "auto.offset.reset": "earliest",
    "auto.commit.interval.ms": 1_000,
    "queued.max.messages.kbytes": 16_384,  # of each consumer; by default the library keeps 64 MB
    "log_level": 0,  # what matters is logged here; `log_level` and `debug` in the file show more
}
OF_CONSUMERS = frozenset(
    {
        *("auto.offset.reset", "auto.commit.interval.ms", "queued.max.messages.kbytes", "session.timeout.ms"),
        *("heartbeat.interval.ms", "max.poll.interval.ms", "partition.assignment.strategy", "group.instance.id"),
        *("fetch.min.bytes", "fetch.wait.max.ms", "fetch.max.bytes", "fetch.message.max.bytes", "isolation.level"),
        *("max.partition.fetch.bytes", "queued.min.messages", "check.crcs", "group.protocol"),
    }
)
"""Properties that a producer does not know."""

STATISTICS_MILLISECONDS = 2_000
SAY_AGAIN_SECONDS = 60.0
OF_REBALANCES = frozenset({"REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID"})
"""Of commits that come too late: another consumer gets the messages again."""
OF_OUTAGES = frozenset({"_ALL_BROKERS_DOWN", "_TRANSPORT", "_RESOLVE", "_TIMED_OUT"})

log = structlog.get_logger()


class DeadLettersError(UnavailableError):
    """Dead letters could not be written: these."""

    def __init__(self, reason: str, letters: Sequence[DeadLetter]) -> None:
        super().__init__(f"{len(letters)} dead letters cannot be written, so nothing more is read: {reason}")
        self.letters = letters


def read_properties(path: str) -> dict[str, str]:
    """The properties in a file: `name=value` in each line; empty lines and those that begin with `#` are skipped.

    Raises `InvalidInputError` for a file that cannot be read; no message holds a value.
    """
    if not path:
        return {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidInputError(f"RECKON_KAFKA_CONFIG_FILE: {path} cannot be read: {why}") from None
    properties = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator or not name.strip():
            raise InvalidInputError(f"RECKON_KAFKA_CONFIG_FILE: line {number} of {path} is not `name=value`")
        properties[name.strip()] = value.strip()
    return properties


class Broker:
    """A member of the group of consumers, and a producer of dead letters. Used by one thread.

    `dropped`: called with the partitions that this consumer has no longer: what it holds of them, another one gets.
    """

    def __init__(self, settings: Settings, topics: Sequence[str], dropped: Callable[[Collection[Place]], None]) -> None:
        """Raises `UnavailableError` without the library, and `InvalidInputError` for properties that it refuses."""
        try:
            import confluent_kafka  # noqa: PLC0415  the package is an extra
        except ImportError as error:
            raise UnavailableError(INSTALL) from error
        self._library = confluent_kafka
        self._dropped = dropped
        self._dead_letters_topic = settings.kafka_dead_letters_topic
        self._backlog: deque[TopicMessage] = deque()
        self._assigned: set[Place] = set()
        self._said_at: dict[str, float] = {}
        self._is_down = False
        self._fatal: str | None = None
        self.lag: Mapping[Place, int] = {}
        given: dict[str, Any] = {**DEFAULTS, **read_properties(settings.kafka_config_file)}
        ours = {"bootstrap.servers": settings.kafka_servers, "error_cb": self._failed}
        of_consumer = (
            given
            | ours
            | {
                "group.id": settings.kafka_group,
                "enable.auto.commit": True,
                "enable.auto.offset.store": False,
                "statistics.interval.ms": STATISTICS_MILLISECONDS,
                "stats_cb": self._read_statistics,
                "on_commit": self._committed,
            }
        )
        of_producer = (
            {name: value for name, value in given.items() if name not in OF_CONSUMERS}
            | ours
            | {
                "message.max.bytes": MAX_LETTER_BYTES,
                "delivery.timeout.ms": int(1_000 * DELIVERY_SECONDS),
                "linger.ms": 5,
            }
        )
        try:
            self._producer = confluent_kafka.Producer(of_producer)
            self._consumer = confluent_kafka.Consumer(of_consumer)
            self._consumer.subscribe(list(topics), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke)
        except (confluent_kafka.KafkaException, TypeError, ValueError) as error:
            why = error.args[0].str() if isinstance(error, confluent_kafka.KafkaException) else str(error)
            raise InvalidInputError(f"the properties of Kafka are refused: {why}") from None

    def poll(self, seconds: float) -> TopicMessage | None:
        """The next message; None if none comes in this time. Raises `UnavailableError` after an error without return.

        Takes part in the group: `dropped` may be called.
        """
        if self._backlog:
            return self._backlog.popleft()
        return self._poll(seconds)

    def _poll(self, seconds: float) -> TopicMessage | None:
        message = self._consumer.poll(seconds)
        if self._fatal is not None:
            raise UnavailableError(f"the broker ends this consumer: {self._fatal}")
        if message is None:
            return None
        if (error := message.error()) is not None:
            self._failed(error)
            return None
        kind, milliseconds = message.timestamp()
        return TopicMessage(
            message.topic(),
            message.partition(),
            message.offset(),
            None if kind == self._library.TIMESTAMP_NOT_AVAILABLE else milliseconds * 1_000,
            message.key(),
            message.value(),
            message.headers() or (),
        )

    def wait(self, seconds: float, stopping: threading.Event) -> None:
        """Stays in the group without reading, for this time or until `stopping`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not stopping.is_set():
            # Each time, for partitions that came meanwhile. What came before the pause is kept.
            self._consumer.pause(self._consumer.assignment())
            if (message := self._poll(min(left, 0.5))) is not None:
                self._backlog.append(message)

    def read_on(self) -> None:
        """After `wait`."""
        self._consumer.resume(self._consumer.assignment())

    def store(self, offsets: Mapping[Place, int]) -> None:
        """The offsets to go on from, once everything before them is stored or a dead letter."""
        for (topic, partition), offset in offsets.items():
            # Taken away meanwhile: another consumer gets it again, which is harmless.
            with suppress(self._library.KafkaException):
                self._consumer.store_offsets(offsets=[self._library.TopicPartition(topic, partition, offset)])

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Writes dead letters. Raises `DeadLettersError` with those that were not written."""
        failed: dict[int, Any] = {}
        self._produce(dict(enumerate(letters)), failed)
        # To the broker, the message may be larger than it was with fewer headers.
        too_large = {self._library.KafkaError.MSG_SIZE_TOO_LARGE, self._library.KafkaError.INVALID_MSG_SIZE}
        large = [n for n, error in failed.items() if error.code() in too_large]
        for n in large:
            del failed[n]
        self._produce({n: letters[n].by_reference() for n in large}, failed)
        if failed:
            reason = next(iter(failed.values())).str()
            raise DeadLettersError(reason, [letters[n] for n in sorted(failed)])

    def _produce(self, letters: Mapping[int, DeadLetter], failed: dict[int, Any]) -> None:
        """Adds the errors of those that are not written to `failed`."""
        for n, letter in letters.items():
            while True:
                try:
                    self._producer.produce(
                        self._dead_letters_topic,
                        key=letter.key,
                        value=letter.body,
                        headers=list(letter.headers),
                        on_delivery=partial(_note_failure, failed, n),
                    )
                except BufferError:  # the queue of the library is full
                    self._producer.poll(0.1)
                    continue
                except self._library.KafkaException as error:
                    failed[n] = error.args[0]
                break
        if self._producer.flush(DELIVERY_SECONDS + 5):
            self._producer.purge()  # calls back for each
            self._producer.flush(1)

    def close(self) -> None:
        """Commits what is stored and leaves the group."""
        # In a thread: the library waits for ever where the broker is down.
        closing = threading.Thread(target=self._consumer.close, name="leave-group", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():
            log.warning("group not left", reason="the broker does not answer; the last messages may come again")

    def _assign(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        self._assigned |= {(each.topic, each.partition) for each in partitions}
        log.info("partitions assigned", partitions=_names(self._assigned))

    def _revoke(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        """The library has committed what is stored of them, or cannot any more."""
        gone = {(each.topic, each.partition) for each in partitions}
        self._assigned -= gone
        self._backlog = deque(each for each in self._backlog if each.place not in gone)
        self.lag = {place: n for place, n in self.lag.items() if place not in gone}
        self._dropped(gone)
        log.info("partitions revoked", partitions=_names(gone))

    def _failed(self, error: Any) -> None:
        """Logs an error of a kind at most once a minute; an outage once. The library tries again by itself."""
        name = error.name()
        if error.fatal():
            self._fatal = error.str()
        if name in OF_OUTAGES and self._is_down:
            return
        now = time.monotonic()
        if now - self._said_at.get(name, -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
            self._said_at[name] = now
            self._is_down |= name in OF_OUTAGES
            log.warning("broker refuses or does not answer", error=name, reason=error.str())

    def _committed(self, error: Any, _partitions: Sequence[Any]) -> None:
        if error is not None and error.name() not in OF_REBALANCES:
            self._failed(error)

    def _read_statistics(self, text: str) -> None:
        document = json.loads(text)
        is_up = any(each["state"] == "UP" and each["nodeid"] >= 0 for each in document["brokers"].values())
        if is_up and self._is_down:
            self._is_down = False
            self._said_at.clear()
            log.warning("broker answers again")
        lag = {}
        for topic, of_topic in document["topics"].items():
            for number, of_partition in of_topic["partitions"].items():
                place = topic, int(number)
                # Offsets that are not known yet are negative. The first one that is known is where reading goes on.
                end, *begins = (of_partition[f"{name}_offset"] for name in ("hi", "stored", "committed", "lo"))
                begin = next((each for each in begins if each >= 0), None)
                if place in self._assigned and end >= 0 and begin is not None:
                    lag[place] = max(0, end - begin)
        self.lag = lag


def _note_failure(failed: dict[int, Any], n: int, error: Any, _message: Any) -> None:
    if error is not None:
        failed[n] = error


def _names(places: Collection[Place]) -> list[str]:
    return [f"{topic} {partition}" for topic, partition in sorted(places)]
