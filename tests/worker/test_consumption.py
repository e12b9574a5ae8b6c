"""The loop of the consumer, with a broker made of lists; tests/kafka has a real one."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.errors import StorageFullError, StorageUnavailableError
from app.observability.consumption import ConsumerMetrics
from app.settings import Settings
from app.store import Store
from app.worker import consumption as module
from app.worker.consumption import Consumption
from app.worker.dead_letters import DeadLetter
from app.worker.kafka import DeadLettersError, read_properties
from app.worker.messages import MessageKind, Place, TopicMessage
from app.worker.receivers import Receiver, Receivers

KINDS: Mapping[str, MessageKind] = {"r": "ratings", "e": "events"}
NOW = time.time_ns() // 1_000


@dataclass
class ListBroker:
    """`drop`: called in each wait, as by a rebalance."""

    messages: list[TopicMessage] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    offsets: dict[Place, int] = field(default_factory=dict)
    n_waits: int = 0
    n_resumed: int = 0
    is_closed: bool = False
    on_wait: Callable[[int], None] = lambda _n: None
    refusals: int = 0
    lag: Mapping[Place, int] = field(default_factory=lambda: {("r", 0): 5})

    def poll(self, _seconds: float) -> TopicMessage | None:
        return self.messages.pop(0) if self.messages else None

    def wait(self, _seconds: float, _stopping: threading.Event) -> None:
        self.n_waits += 1
        self.on_wait(self.n_waits)

    def read_on(self) -> None:
        self.n_resumed += 1

    def store(self, offsets: Mapping[Place, int]) -> None:
        self.offsets.update(offsets)

    def send(self, letters: Sequence[DeadLetter]) -> None:
        if self.refusals:
            self.refusals -= 1
            self.letters += letters[:1]
            raise DeadLettersError("no room", letters[1:])
        self.letters += letters

    def close(self) -> None:
        self.is_closed = True


def sent(topic: str, *bodies: Any, partition: int = 0, at: int = NOW, headers: Any = ()) -> list[TopicMessage]:
    encoded = (body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies)
    return [TopicMessage(topic, partition, n, at, None, body, headers) for n, body in enumerate(encoded)]


def rating(n: int, value: float = 4, **fields: Any) -> dict[str, Any]:
    return {"user_id": f"u{n}", "item_id": f"i{n}", "value": value, **fields}


def event(n: int, **fields: Any) -> dict[str, Any]:
    return {"event_id": f"e{n}", "type": "clicked", "user_id": f"u{n}", "item_id": f"i{n}", **fields}


@pytest.fixture
def consumption(settings: Settings, store: Store) -> Iterator[Consumption]:
    receivers = Receivers(settings, store)
    yield Consumption(receivers, KINDS, ConsumerMetrics(), threading.Event())
    receivers.close()


def reasons(broker: ListBroker) -> list[str]:
    return [(dict(each.headers)["reckon-reason"] or b"").decode() for each in broker.letters]


def test_stored(consumption: Consumption, store: Store) -> None:
    broker = ListBroker(sent("r", rating(1), [rating(2), rating(3)]) + sent("e", event(1), [event(2), event(2)]))
    consumption.step(broker)
    assert (store.ratings.count(), store.events.count()) == (3, 2)
    assert broker.offsets == {("r", 0): 2, ("e", 0): 2}
    assert broker.letters == []
    said = consumption.metrics.as_json()["consumer"]
    assert said == {"lag": {"r 0": 5}, "messages": 4, "dead_letters": 0, "waits_for": None}


def test_times(consumption: Consumption, store: Store) -> None:
    """A rating without a time, or with one after it was sent, has the time at which it was sent."""
    ahead, before = "2025-06-01T00:04:00Z", "2025-05-01T00:00:00Z"
    at = 1_748_736_000_000_000  # 2025-06-01T00:00:00Z
    rows = [rating(1), rating(2, rated_at=ahead), rating(3, rated_at=before), event(1), event(2, at=ahead)]
    broker = ListBroker(sent("r", *rows[:3], at=at) + sent("e", *rows[3:], at=at))
    consumption.step(broker)
    times = {each.item_id: each.rated_at for n in (1, 2, 3) for _, each in store.ratings.page(f"u{n}")}
    assert {item: f"{time:%Y-%m-%d %H:%M:%S}" for item, time in times.items() if time} == {
        "i1": "2025-06-01 00:00:00",
        "i2": "2025-06-01 00:00:00",
        "i3": "2025-05-01 00:00:00",
    }
    assert {f"{each.at:%Y-%m-%d %H:%M:%S}" for each in store.events.page()} == {"2025-06-01 00:00:00"}


def test_replay_does_not_make_a_rating_newest(consumption: Consumption, store: Store) -> None:
    """A rating through the API, later than the message, stays."""
    message = sent("r", rating(1, 2), at=NOW - 60_000_000)
    consumption.step(ListBroker(list(message)))
    later = sent("r", rating(1, 5), at=NOW)
    consumption.step(ListBroker(list(later)))
    versions = store.ratings.change_count()
    consumption.step(ListBroker([*message, *later]))
    assert [each.value for _, each in store.ratings.page("u1")] == [5]
    assert store.ratings.change_count() == versions


def test_refused_rows_do_not_keep_others(consumption: Consumption, store: Store) -> None:
    rows = [rating(1), rating(2, 9), {}, rating(3)]
    broker = ListBroker(sent("r", rows, b"{", rating(4, 9), rating(5)) + sent("e", event(1, type="none"), event(2)))
    consumption.step(broker)
    assert (store.ratings.count(), store.events.count()) == (3, 1)
    assert broker.offsets == {("r", 0): 4, ("e", 0): 2}
    assert [each.body for each in broker.letters] == [
        b"{",
        b"{}",
        json.dumps(rows[1]).encode(),
        json.dumps(rating(4, 9)).encode(),
        json.dumps(event(1, type="none")).encode(),
    ]
    assert [dict(each.headers).get("reckon-row") for each in broker.letters] == [None, b"2", b"1", None, None]


def test_ahead_of_the_clock(consumption: Consumption, store: Store) -> None:
    """Of the message, that it cannot win over all later ones; of a row, compared with its message."""
    broker = ListBroker(
        sent("r", rating(1), at=NOW + 3_600_000_000) + sent("r", rating(2, rated_at="2999-01-01T00:00:00Z"))
    )
    consumption.step(broker)
    assert store.ratings.count() == 0
    assert "server's clock" in reasons(broker)[0]
    assert "the time at which it was sent" in reasons(broker)[1]


@pytest.mark.parametrize("error", [StorageUnavailableError("down"), StorageFullError("full"), OSError(28, "no space")])
def test_waits_and_loses_nothing(
    consumption: Consumption, store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failures = iter([error, error])
    record = Receiver.record

    def fail(receiver: Receiver, messages: Any) -> Any:
        if (raised := next(failures, None)) is not None:
            raise raised
        return record(receiver, messages)

    monkeypatch.setattr(Receiver, "record", fail)
    broker = ListBroker(sent("r", rating(1), rating(2)))
    seen: list[Any] = []
    broker.on_wait = lambda _n: seen.append((dict(broker.offsets), consumption.metrics.waits_for))
    with capture_logs() as logs:
        consumption.step(broker)
    assert store.ratings.count() == 2
    assert (broker.n_waits, broker.n_resumed) == (2, 1)
    assert [offsets for offsets, _ in seen] == [{}, {}]  # nothing is committed before it is stored
    assert all(waits_for for _, waits_for in seen)
    assert consumption.metrics.waits_for is None
    assert [each["event"] for each in logs] == ["consumer waits", "consumer waits", "consumer goes on"]


def test_partition_taken_away_while_it_waits(
    consumption: Consumption, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held of it is dropped: another consumer gets it."""
    record = Receiver.record
    failures = iter([StorageUnavailableError("down")])

    def fail(receiver: Receiver, messages: Any) -> Any:
        if (raised := next(failures, None)) is not None:
            raise raised
        return record(receiver, messages)

    monkeypatch.setattr(Receiver, "record", fail)
    broker = ListBroker(sent("r", rating(1), b"{", partition=0) + sent("r", rating(2), partition=1))
    broker.on_wait = lambda _n: consumption.drop([("r", 0)])
    consumption.step(broker)
    assert [each.item_id for n in (1, 2) for _, each in store.ratings.page(f"u{n}")] == ["i2"]
    assert broker.offsets == {("r", 1): 1}
    assert broker.letters == []


def test_dead_letters_wait(consumption: Consumption, store: Store) -> None:
    """Those that the broker took are not sent again; the rows are stored, the offsets only at the end."""
    broker = ListBroker(sent("r", b"1", b"2", b"3", rating(1)), refusals=2)
    broker.on_wait = lambda _n: None if broker.offsets == {} else pytest.fail("committed before")
    consumption.step(broker)
    assert [each.body for each in broker.letters] == [b"1", b"2", b"3"]
    assert broker.n_waits == 2
    assert broker.offsets == {("r", 0): 4}
    assert store.ratings.count() == 1


def test_defect_of_one_message(consumption: Consumption, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes a dead letter, and the others are stored."""
    record = Receiver.record

    def fail(receiver: Receiver, messages: Any) -> Any:
        if any(row.user_id == "u3" for message in messages for _, row in message.ratings):
            raise ValueError("u3")
        return record(receiver, messages)

    monkeypatch.setattr(Receiver, "record", fail)
    broker = ListBroker(sent("r", *(rating(n) for n in range(8))))
    with capture_logs() as logs:
        consumption.step(broker)
    assert store.ratings.count() == 7
    assert reasons(broker) == ["internal error: the log of the consumer has the traceback"]
    assert [(each["event"], each["offset"]) for each in logs if each["log_level"] == "error"] == [
        ("message not stored", 3)
    ]
    assert broker.offsets == {("r", 0): 8}


def test_stops_while_it_waits(consumption: Consumption, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_receiver: Receiver, _messages: Any) -> Any:
        raise StorageUnavailableError("down")

    monkeypatch.setattr(Receiver, "record", fail)
    broker = ListBroker(sent("r", rating(1)))
    broker.on_wait = lambda n: consumption.stopping.set() if n == 3 else None
    consumption.run(broker)
    assert broker.is_closed
    assert broker.offsets == {}


def test_stops_after_what_it_holds(consumption: Consumption, store: Store) -> None:
    broker = ListBroker(sent("r", rating(1), rating(2)))
    poll = broker.poll

    def poll_and_stop(seconds: float) -> TopicMessage | None:
        consumption.stopping.set()
        return poll(seconds)

    broker.poll = poll_and_stop  # type: ignore[method-assign,assignment]
    consumption.run(broker)
    assert store.ratings.count() == 1
    assert broker.offsets == {("r", 0): 1}
    assert broker.is_closed


def test_many_rows_take_several_transactions(
    consumption: Consumption, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS_STORED", 5)
    sizes: list[int] = []
    record = Receiver.record

    def note(receiver: Receiver, messages: Any) -> Any:
        sizes.append(sum(len(message.given) for message in messages))
        return record(receiver, messages)

    monkeypatch.setattr(Receiver, "record", note)
    lists = [[rating(10 * k + n) for n in range(size)] for k, size in enumerate((2, 2, 2, 9, 1))]
    broker = ListBroker(sent("r", *lists))
    consumption.step(broker)
    assert sizes == [4, 2, 9, 1]
    assert store.ratings.count() == 16


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_tenants(settings: Settings, store: Store, tmp_path: Path) -> None:
    for name in ("a", "b"):
        own = settings.of_tenant(name).data_dir
        own.mkdir(parents=True)
        shutil.copy(tmp_path / "reckon.db", own)
        store.tenants.begin(name)
        store.tenants.move(name, "active", among=["creating"])
    store.tenants.move("b", "suspended", among=["active"])
    receivers = Receivers(settings.model_copy(update={"database_url": ""}), store, most_open=1)
    consumption = Consumption(receivers, KINDS, ConsumerMetrics(), threading.Event())
    named: Collection[bytes] = (b"a", b"b", b"none", b"../a", b"", b"A" * 200)
    messages = [each for name in named for each in sent("r", rating(1), headers=[("reckon-tenant", name)])]
    broker = ListBroker([*messages, *sent("r", rating(2))])
    consumption.step(broker)
    assert store.ratings.count() == 1
    assert [each.split(" ")[-1] for each in reasons(broker)] == ["suspended", "'none'", "tenant", "tenant", "tenant"]
    store.tenants.move("a", "suspended", among=["active"])
    broker = ListBroker([messages[0]])
    consumption.step(broker)
    assert reasons(broker) == ["the tenant 'a' is suspended"]
    receivers.close()
    opened = Store.open("", settings.of_tenant("a").data_dir)
    assert opened.ratings.count() == 1
    opened.close()


def test_consumer_of_a_tenant(settings: Settings, store: Store) -> None:
    """It stores for this tenant alone, whatever a message names."""
    receivers = Receivers(settings.model_copy(update={"tenant": "a"}), store)
    consumption = Consumption(receivers, KINDS, ConsumerMetrics(), threading.Event())
    broker = ListBroker(
        [
            *sent("r", rating(1)),
            *sent("r", rating(2), headers=[("reckon-tenant", b"a")]),
            *sent("r", rating(3), headers=[("reckon-tenant", b"b")]),
        ]
    )
    consumption.step(broker)
    assert store.ratings.count() == 2
    assert reasons(broker) == ["this consumer stores for the tenant 'a' alone"]


def test_properties(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# TLS\n\nsecurity.protocol=SASL_SSL\n sasl.password = a=b \n")
    assert read_properties(str(file)) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}
    assert read_properties("") == {}
    file.write_text("a=b\nsecret")
    with pytest.raises(Exception, match=r"line 2 of .* is not `name=value`$"):
        read_properties(str(file))
    with pytest.raises(Exception, match="cannot be read: No such file"):
        read_properties(str(tmp_path / "none"))
