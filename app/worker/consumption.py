"""Reads ratings and events from topics and stores them: the loop of `reckon consume`.

    gather messages -> read their rows -> store them in transactions -> write dead letters -> store the offsets

Each step is done before the next one begins, so that a message is stored at least once, wherever the process ends.
Twice is harmless: an event has an id, and of ratings the newest wins, by a time that the message itself holds.

A step that fails because the database, the disk or the broker is unavailable is tried again, without reading on. What
cannot be stored for another reason becomes a dead letter, so that no message keeps those behind it from being stored.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from app.errors import InvalidInputError, ReckonError
from app.intake.recording import is_ahead, microseconds_now
from app.observability.consumption import ConsumerMetrics
from app.worker.dead_letters import DeadLetter, dead_letter
from app.worker.kafka import DeadLettersError
from app.worker.messages import MessageKind, Place, ReadMessage, TopicMessage, read_message
from app.worker.receivers import Received, Receiver, Receivers

MAX_MESSAGES = 2_000
MAX_BYTES = 4 << 20
MAX_ROWS_STORED = 2_000
"""Of one transaction, unless one message has more, so that writers of the API need not wait long."""

POLL_SECONDS = 0.5
GATHER_SECONDS = 0.05
"""How long messages wait for others that may be stored with them."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
REPORT_SECONDS = 60.0

T = TypeVar("T")

log = structlog.get_logger()


class BrokerOfMessages(Protocol):
    """What the loop needs of `Broker`."""

    @property
    def lag(self) -> Mapping[Place, int]: ...
    def poll(self, seconds: float) -> TopicMessage | None: ...
    def wait(self, seconds: float, stopping: threading.Event) -> None: ...
    def read_on(self) -> None: ...
    def store(self, offsets: Mapping[Place, int]) -> None: ...
    def send(self, letters: Sequence[DeadLetter]) -> None: ...
    def close(self) -> None: ...


class ConsumerStoppedError(Exception):
    """The consumer is stopping while it waits: what it holds comes again."""


@dataclass(slots=True)
class HeldMessage:
    """A message that is not stored yet, with its rows or the reason for which it is refused.

    `is_dropped`: whether its partition was taken away, so that another consumer gets it.
    """

    message: TopicMessage
    read: ReadMessage | str
    is_dropped: bool = False

    @property
    def n_rows(self) -> int:
        return 1 if isinstance(self.read, str) else len(self.read.given)


@dataclass
class Consumption:
    """`kinds`: of the topics that are read. `clock`: microseconds UTC."""

    receivers: Receivers
    kinds: Mapping[str, MessageKind]
    metrics: ConsumerMetrics
    stopping: threading.Event
    clock: Callable[[], int] = microseconds_now
    _held: list[HeldMessage] = field(default_factory=list)
    _letters: list[DeadLetter] = field(default_factory=list)
    _n_messages: int = 0
    _n_refused: int = 0
    _reported_at: float = field(default_factory=time.monotonic)

    def run(self, broker: BrokerOfMessages) -> None:
        """Reads until `stopping` is set; what was read by then is stored."""
        log.info("consumer started", topics=sorted(self.kinds))
        try:
            while not self.stopping.is_set():
                self.step(broker)
            log.info("consumer stops")
        except ConsumerStoppedError:
            log.warning("consumer stops while it waits", n_held=len(self._held))
        finally:
            self._report(broker)
            broker.close()

    def step(self, broker: BrokerOfMessages) -> None:
        """Deals with the messages that there are now."""
        self._gather(broker)
        while self._held:
            self._finish_first(broker)
        self.metrics.observe_lag(broker.lag)
        if time.monotonic() - self._reported_at >= REPORT_SECONDS:
            self._report(broker)

    def drop(self, places: Collection[Place]) -> None:
        """Forgets what is held of these partitions, because another consumer gets it."""
        for each in self._held:
            each.is_dropped |= each.message.place in places
        self._letters = [each for each in self._letters if each.message.place not in places]

    def _gather(self, broker: BrokerOfMessages) -> None:
        n_bytes, end = 0, 0.0
        while len(self._held) < MAX_MESSAGES and n_bytes < MAX_BYTES:
            # What has arrived is taken however long that takes: the more in one transaction, the faster.
            message = broker.poll(max(0.0, end - time.monotonic()) if self._held else POLL_SECONDS)
            if message is None:
                break
            if not self._held:
                end = time.monotonic() + GATHER_SECONDS
            n_bytes += len(message.body or b"")
            self._held.append(HeldMessage(message, self._read(message)))
            if self.stopping.is_set():
                break
        self._held = [each for each in self._held if not each.is_dropped]

    def _read(self, message: TopicMessage) -> ReadMessage | str:
        try:
            read = read_message(message, self.kinds[message.topic])
        except ReckonError as error:
            return error.detail
        except Exception:
            log.exception("message not read", **_place(message))
            return "internal error: the log of the consumer has the traceback"
        return read

    def _finish_first(self, broker: BrokerOfMessages) -> None:
        """Stores the first of the held messages, as many as one transaction takes."""
        chunk, n_rows = [self._held[0]], self._held[0].n_rows
        for each in self._held[1:]:
            n_rows += each.n_rows
            if n_rows > MAX_ROWS_STORED:
                break
            chunk.append(each)
        received, self._letters = self._insist(broker, lambda: self._store(chunk))
        n_letters = len(self._letters)
        self._insist(broker, lambda: self._send(broker))
        # Not of those whose partition was taken away while this waited.
        done = [each.message for each in chunk if not each.is_dropped]
        broker.store({each.place: each.offset + 1 for each in done})
        self._held = self._held[len(chunk) :]
        self._count(done, received, n_letters)

    def _insist(self, broker: BrokerOfMessages, act: Callable[[], T]) -> T:
        """Returns what `act` returns, after as many attempts as it takes, with pauses in which nothing is read.

        Raises `ConsumerStoppedError` once the consumer is stopping.
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                result = act()
            except (ReckonError, OSError) as error:
                kind = error.type if isinstance(error, ReckonError) else type(error).__name__
                detail = error.detail if isinstance(error, ReckonError) else error.strerror or kind
                log.warning("consumer waits", problem=kind, reason=detail, seconds=pause)
                self.metrics.waits(kind, detail)
                broker.wait(pause, self.stopping)
                self.metrics.observe_lag(broker.lag)
                if self.stopping.is_set():
                    raise ConsumerStoppedError from None
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            if self.metrics.waits_for is not None:
                log.warning("consumer goes on")
                self.metrics.goes_on()
                broker.read_on()
            return result

    def _store(self, chunk: Sequence[HeldMessage]) -> tuple[Received, list[DeadLetter]]:
        """What was stored, and dead letters of what was not. Raises the errors of what is unavailable."""
        received, letters = Received(), []
        by_tenant: dict[str | None, list[tuple[TopicMessage, ReadMessage]]] = {}
        for each in chunk:
            if each.is_dropped:
                continue
            if isinstance(each.read, str):
                letters.append(dead_letter(each.message, each.read))
            elif is_ahead(each.read.sent_at, self._clock_for(each.read.sent_at)):
                reason = "the timestamp of the message is more than 5 minutes ahead of the server's clock"
                letters.append(dead_letter(each.message, reason))
            else:
                by_tenant.setdefault(each.read.tenant, []).append((each.message, each.read))
        for tenant, messages in by_tenant.items():
            with structlog.contextvars.bound_contextvars(**({} if tenant is None else {"tenant": tenant})):
                try:
                    receiver = self.receivers.of(tenant)
                except InvalidInputError as error:
                    letters += [dead_letter(message, error.detail) for message, _ in messages]
                else:
                    letters += self._record(receiver, messages, received)
        return received, letters

    def _record(
        self, receiver: Receiver, messages: Sequence[tuple[TopicMessage, ReadMessage]], total: Received
    ) -> list[DeadLetter]:
        """Stores the rows of messages for one catalogue, adds to `total`, and returns dead letters."""
        try:
            received = receiver.record([read for _, read in messages])
        except Exception as error:
            # Whatever may succeed later is tried again. Other errors come from a row, as of an event type that was
            # deleted in this moment, or a defect: the message that has it must not hold up the others.
            if isinstance(error, ReckonError | OSError) and not isinstance(error, InvalidInputError):
                raise
            if len(messages) > 1:
                middle = len(messages) // 2
                halves = messages[:middle], messages[middle:]
                return [letter for half in halves for letter in self._record(receiver, half, total)]
            if isinstance(error, InvalidInputError):
                return [dead_letter(messages[0][0], error.detail)]
            log.exception("message not stored", **_place(messages[0][0]))
            return [dead_letter(messages[0][0], "internal error: the log of the consumer has the traceback")]
        total.add(received)
        letters = []
        for row in received.refused:
            message, read = messages[row.message]
            letters.append(
                dead_letter(message, row.reason, (row.index, read.given[row.index]) if read.is_list else None)
            )
        return letters

    def _clock_for(self, sent_at: int) -> int:
        """The clock of this host, or that of the database where this one may be slow."""
        now = self.clock()
        if not is_ahead(sent_at, now):
            return now
        shared = self.receivers.shared_clock()
        return now if shared is None else max(now, shared)

    def _send(self, broker: BrokerOfMessages) -> None:
        """Writes the dead letters that are not written yet."""
        if self._letters:
            try:
                broker.send(self._letters)
            except DeadLettersError as error:
                self._letters = list(error.letters)
                raise
            self._letters = []

    def _count(self, done: Sequence[TopicMessage], received: Received, n_letters: int) -> None:
        for topic in self.kinds:
            self.metrics.count_messages(topic, sum(message.topic == topic for message in done))
        for status, n in received.ratings.items():
            self.metrics.count_ratings(status, n)
        for (type_, status), n in received.events.items():
            self.metrics.count_events(type_, status, n)
        self._n_messages += len(done)
        if n_letters:
            self._n_refused += n_letters
            self.metrics.count_dead_letters(n_letters)
            if self._n_refused == n_letters:  # the first since the last report, which counts all
                log.warning("messages refused", n=n_letters, **_place(done[0]) if done else {})

    def _report(self, broker: BrokerOfMessages) -> None:
        """Logs what was done since the last report, if anything was."""
        if self._n_messages:
            self.metrics.observe_lag(broker.lag)
            n_done = {"n_messages": self._n_messages, "n_dead_letters": self._n_refused}
            log.info("messages consumed", **n_done, lag=self.metrics.state.as_json()["lag"])
        self._n_messages = self._n_refused = 0
        self._reported_at = time.monotonic()


def _place(message: TopicMessage) -> dict[str, str | int]:
    return {"topic": message.topic, "partition": message.partition, "offset": message.offset}
