"""What stores the rows of messages: one receiver for each catalogue, the main one and those of tenants."""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.errors import InvalidInputError, NotFoundError
from app.intake.recording import EventRecorder, RatingRecorder, RowOutcome
from app.serving.tokens import TokenSigner
from app.settings import Settings
from app.store.store import Store
from app.store.tenants import NAME
from app.wiring import open_store
from app.worker.messages import ReadMessage

MOST_OPEN = 32
"""Databases of tenants that are kept open."""


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was not stored: of which of the messages, its index there, and why."""

    message: int
    index: int
    reason: str


@dataclass(slots=True)
class Received:
    """What became of the rows of several messages. `ratings`: by status. `events`: by type and status."""

    refused: list[RefusedRow] = field(default_factory=list)
    ratings: Counter[str] = field(default_factory=Counter)
    events: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: "Received") -> None:
        """Adds the counts of the same kind of outcome, of other messages."""
        self.ratings.update(other.ratings)
        self.events.update(other.events)

    def refuse(self, places: Sequence[tuple[int, int]], outcomes: Sequence[RowOutcome]) -> None:
        """`places`: of each outcome, the number of the message and the index of the row."""
        for (message, index), outcome in zip(places, outcomes, strict=True):
            if outcome.problem is not None:
                self.refused.append(RefusedRow(message, index, outcome.problem))


class Receiver:
    """Stores the rows of messages in one catalogue."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._generation = store.generation.check()
        self._build()

    def _build(self) -> None:
        self._ratings = RatingRecorder(self.store)
        self._events = EventRecorder(self.store, TokenSigner(self.store.instance.token_key))

    def look(self) -> None:
        """After a restore, opens the file of the database again and reads the key of its tokens."""
        generation = self.store.generation.check()
        if generation != self._generation:
            self.store.instance.reload()
            self._build()
            self._generation = generation

    def record(self, messages: Sequence[ReadMessage]) -> Received:
        """Stores the good rows in their order: all ratings in one transaction, all events in another one."""
        received = Received([RefusedRow(n, *row) for n, each in enumerate(messages) for row in each.refused])
        ratings = [(n, index, row) for n, each in enumerate(messages) for index, row in each.ratings]
        if ratings:
            sent_at = [messages[n].sent_at for n, _, _ in ratings]
            outcomes = self._ratings.record_sent([row for _, _, row in ratings], sent_at)
            received.refuse([(n, index) for n, index, _ in ratings], outcomes)
            received.ratings.update(outcome.status for outcome in outcomes)
        events = [(n, index, row) for n, each in enumerate(messages) for index, row in each.events]
        if events:
            sent_at = [messages[n].sent_at for n, _, _ in events]
            outcomes = self._events.record_sent([row for _, _, row in events], sent_at)
            received.refuse([(n, index) for n, index, _ in events], outcomes)
            # The type of a rejected event may be any text.
            received.events.update(
                ("" if outcome.status == "rejected" else row.type, outcome.status)
                for (_, _, row), outcome in zip(events, outcomes, strict=True)
            )
        return received


class Receivers:
    """Opens the catalogues that messages name. `settings`: of the consumer. `store`: of its own catalogue."""

    def __init__(self, settings: Settings, store: Store, *, most_open: int = MOST_OPEN) -> None:
        self._settings = settings
        self._own = Receiver(store)
        self._most_open = most_open
        self._open: OrderedDict[str, Receiver] = OrderedDict()

    def shared_clock(self) -> int | None:
        """As `Store.shared_clock`."""
        return self._own.store.shared_clock()

    def of(self, tenant: str | None) -> Receiver:
        """Raises `InvalidInputError` if messages for this tenant are refused, and the errors of its database."""
        if tenant is None or (self._settings.tenant and tenant == self._settings.tenant):
            self._own.look()
            return self._own
        if self._settings.tenant:
            raise InvalidInputError(f"this consumer stores for the tenant {self._settings.tenant!r} alone")
        self._check_active(tenant)
        if tenant not in self._open:
            self._open[tenant] = Receiver(open_store(self._settings.of_tenant(tenant)))
            if len(self._open) > self._most_open:
                self._close(next(iter(self._open)))
        receiver = self._open[tenant]
        self._open.move_to_end(tenant)
        receiver.look()
        return receiver

    def _check_active(self, tenant: str) -> None:
        if not NAME.fullmatch(tenant):
            raise InvalidInputError(f"{tenant[:40]!r} is no name of a tenant")
        self._own.look()
        try:
            state = self._own.store.tenants.get(tenant).state
        except NotFoundError as error:
            self._close(tenant)
            raise InvalidInputError(error.detail) from None
        if state != "active":
            self._close(tenant)
            raise InvalidInputError(f"the tenant {tenant!r} is {state}")

    def _close(self, tenant: str) -> None:
        if (receiver := self._open.pop(tenant, None)) is not None:
            receiver.store.close()

    def close(self) -> None:
        """Closes the databases of tenants; that of the consumer is its caller's."""
        for tenant in list(self._open):
            self._close(tenant)
