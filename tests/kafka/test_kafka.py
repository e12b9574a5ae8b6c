"""`reckon consume` as processes, against a real broker process."""

import json
import shutil
import signal
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.intake.json_limits import MAX_BODY_BYTES
from app.observability.consumption import ConsumerState
from app.store import Store
from tests.support.kafka_broker import (
    DEAD_LETTERS,
    EVENTS,
    RATINGS,
    Consumers,
    Kafka,
    KafkaBroker,
    MockCluster,
    milliseconds_now,
)
from tests.support.postgres import Postgres
from tests.support.service import free_port, wait_until

TABLES = {
    "ratings": "SELECT user_id, item_id, value, rated_at FROM ratings JOIN users USING (user_key)"
    " JOIN items USING (item_key) ORDER BY 1, 2",
    "events": "SELECT event_id, user_id, item_id, type_key, at FROM events JOIN users USING (user_key)"
    " JOIN items USING (item_key) ORDER BY 1, 2",
    "interactions": "SELECT user_key, item_key, type_key, count FROM interactions ORDER BY 1, 2, 3",
    "users": "SELECT user_id, version, profile_version FROM users ORDER BY 1",
}


def rows_of(url: str) -> dict[str, list[Any]]:
    """What is stored: the rows of all tables that messages change, and the versions that writes raise."""
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            return {name: list(map(tuple, connection.exec_driver_sql(query))) for name, query in TABLES.items()}
    finally:
        engine.dispose()


def rating(number: int, value: float = 4) -> dict[str, Any]:
    return {"user_id": f"u{number % 50}", "item_id": f"i{number}", "value": value}


def event(number: int) -> dict[str, Any]:
    return {"event_id": f"e{number}", "type": "clicked", "user_id": f"u{number % 50}", "item_id": f"i{number % 200}"}


def metrics_at(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode())


def consumer_of(store: Store) -> Any:
    return next((each for each in store.processes.read().beats if each.name == "consumer"), None)


def test_stored_and_committed(broker: KafkaBroker, consumers: Consumers, store: Store, database_url: str) -> None:
    """One row, a list, the body of the API: each is stored; the offsets are committed at the end."""
    broker.send(RATINGS, [rating(1), [rating(2), rating(3)], {"ratings": [rating(4)]}])
    broker.send(EVENTS, [event(1), [event(2), event(3)], {"events": [event(4)]}])
    port = free_port()
    process = consumers.start("--metrics-port", str(port))
    wait_until(lambda: store.ratings.count() == 4 and store.events.count() == 4)
    wait_until(lambda: consumer_of(store) is not None and consumer_of(store).activity["consumer"]["messages"] == 6, 30)
    beat = consumer_of(store)
    assert beat.is_alive
    assert sum(minute.get("ratings", 0) for name, minute in beat.activity.items() if name != "consumer") == 4
    lags = [f'reckon_kafka_lag{{partition="{n}",topic="{topic}"}} 0.0' for topic in (RATINGS, EVENTS) for n in (0, 1)]
    wait_until(lambda: all(each in metrics_at(port) for each in lags), 30)
    everything = ConsumerState(6, 0, {(topic, n): 0 for topic in sorted((RATINGS, EVENTS)) for n in (0, 1)})
    wait_until(lambda: ConsumerState.of(consumer_of(store).activity) == everything, 30)
    text = metrics_at(port)
    assert f'reckon_kafka_messages_total{{topic="{RATINGS}"}} 3.0' in text
    assert 'reckon_kafka_ratings_total{status="stored"} 4.0' in text
    assert process.poll() is None
    consumers.stop()
    assert broker.is_consumed()
    assert consumer_of(store) is None
    # Times are those of the messages.
    assert all(abs(row[3] // 1_000 - milliseconds_now()) < 600_000 for row in rows_of(database_url)["ratings"])
    assert consumers.instance.logged("messages consumed")[-1]["n_messages"] == 6


def test_killed_before_the_commit_of_offsets(broker: KafkaBroker, tmp_path: Path, database_url: str) -> None:
    """All that was stored comes again, and changes nothing: neither rows nor versions."""
    broker.send(RATINGS, [rating(n) for n in range(500)], keys=[f"u{n % 50}" for n in range(500)])
    for n, value in ((7, 2), (7, 5), (8, 1)):
        broker.send(RATINGS, [rating(n, value)], keys=[f"u{n}"])
    broker.send(EVENTS, [[event(n) for n in range(k, k + 100)] for k in range(0, 1_000, 100)])
    # A static member, since this broker would give the partitions of another one that was killed to none.
    static = {"group.instance.id": "first"}
    never = Consumers.of(broker, tmp_path, database_url, static | {"auto.commit.interval.ms": "3600000"})
    process = never.start()
    wait_until(lambda: len(rows_of(database_url)["events"]) == 1_000, 60)
    wait_until(lambda: len(rows_of(database_url)["ratings"]) == 500, 60)
    wait_until(lambda: {row[:3] for row in rows_of(database_url)["ratings"]} >= {("u7", "i7", 5.0), ("u8", "i8", 1.0)})
    never.kill(process)
    assert broker.committed() == {}
    before = rows_of(database_url)
    again = Consumers.of(broker, tmp_path, database_url, static)
    again.start()
    try:
        wait_until(broker.is_consumed, 60)
        assert rows_of(database_url) == before
        again.stop()
    finally:
        again.end()
    assert rows_of(database_url) == before


def send_events(broker: Kafka, start: int, n: int) -> None:
    broker.send(EVENTS, [event(k) for k in range(start, start + n)], keys=[f"u{k % 50}" for k in range(n)])


def check_events(url: str, n: int) -> None:
    """Each is stored and counted once."""
    rows = rows_of(url)
    assert len({row[0] for row in rows["events"]}) == n
    assert sum(row[3] for row in rows["interactions"]) == n
    assert sum(row[2] for row in rows["users"]) == n


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_group(broker: KafkaBroker, consumers: Consumers, store: Store, database_url: str) -> None:
    """A consumer joins while messages come, and another one leaves."""
    n = 3_000
    first = consumers.start()
    send_events(broker, 0, n)
    wait_until(lambda: store.events.count() == n, 60)
    second = consumers.start()
    send_events(broker, n, n)
    # Both have partitions now, and the first one has left some to the second.
    wait_until(lambda: len(consumers.instance.logged("partitions revoked")) >= 1, 60)
    wait_until(lambda: len(consumers.instance.logged("partitions assigned")) >= 3, 60)
    send_events(broker, 2 * n, n)
    first.terminate()
    send_events(broker, 3 * n, n)
    wait_until(lambda: store.events.count() == 4 * n, 60)
    wait_until(broker.is_consumed, 60)
    assert second.poll() is None
    consumers.stop()
    check_events(database_url, 4 * n)
    assert broker.read_all(DEAD_LETTERS) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_takeover(tmp_path: Path, store: Store, database_url: str) -> None:
    """The partitions of a consumer that was killed go to another one, with what was not committed."""
    broker, n = MockCluster(), 3_000
    send_events(broker, 0, n)
    consumers = Consumers.of(broker, tmp_path, database_url, {"auto.commit.interval.ms": "3600000"})
    try:
        first = consumers.start()
        wait_until(lambda: store.events.count() == n, 60)
        consumers.start()
        wait_until(lambda: len(consumers.instance.logged("partitions assigned")) >= 3, 60)
        send_events(broker, n, n)
        wait_until(lambda: store.events.count() == 2 * n, 60)
        consumers.kill(first)
        send_events(broker, 2 * n, n)
        wait_until(lambda: store.events.count() == 3 * n, 60)
        consumers.stop()
    finally:
        consumers.end()
    check_events(database_url, 3 * n)


REFUSED: list[tuple[str, Any, str]] = [
    (RATINGS, b"{not json", "not JSON: Expecting property name"),
    (RATINGS, b"\xff\xfe\xfd", "not JSON: "),
    (RATINGS, b"[" * 500, "nested at most 32 deep"),
    (RATINGS, b"", "not JSON: "),
    (RATINGS, None, "the message has no body"),
    (RATINGS, 5, "row: it is not an object"),
    (RATINGS, rating(1, 7), "7.0 is not on the rating scale"),
    (RATINGS, rating(1) | {"value": "4"}, "value: Input should be a valid number"),
    (RATINGS, b'{"user_id": "a", "item_id": "b", "value": NaN}', "value: Input should be a finite number"),
    (RATINGS, rating(1) | {"stars": 4}, "stars: Extra inputs are not permitted"),
    (RATINGS, rating(1) | {"user_id": "a\0b"}, "user_id: "),
    (RATINGS, rating(1) | {"rated_at": "2999-01-01T00:00:00Z"}, "ahead of the time at which it was sent"),
    (RATINGS, [rating(1)] * 1_001, "ratings: List should have at most 1000 items"),
    (EVENTS, [], "events: List should have at least 1 item"),
    (EVENTS, event(1) | {"type": "no such"}, "there is no event type 'no such'"),
    (EVENTS, event(1) | {"recommendation_id": "forged"}, "recommendation_id"),
    (EVENTS, rating(1), "event_id: Field required"),
    (EVENTS, b" " * (MAX_BODY_BYTES + 1), "a body has at most 1,048,576 bytes, and this one has 1,048,577"),
    (RATINGS, b"9" * 10_000_000, "a body has at most 1,048,576 bytes, and this one has 10,000,000"),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_dead_letters(broker: KafkaBroker, consumers: Consumers, store: Store) -> None:
    """Each bad message is one dead letter with its reason, and none keeps a good one behind it from being stored."""
    for topic in (RATINGS, EVENTS):
        broker.configure(topic, "max.message.bytes", "20000000")
    for number, (topic, body, _) in enumerate(REFUSED):
        broker.send(topic, [body], keys=[f"k{number}"], headers=[("trace", b"t")])
    for tenant in (b"nobody", b"../../etc", b"\xff", b""):
        broker.send(RATINGS, [rating(1)], headers=[("reckon-tenant", tenant)])
    broker.send(RATINGS, [rating(1)], sent_at=milliseconds_now() + 3_600_000)
    broker.send(RATINGS, [[rating(1), rating(2, 9), {}, rating(3)]], headers=[("trace", b"t")])
    for n in range(10, 20):
        broker.send(RATINGS, [rating(n)])
        broker.send(EVENTS, [event(n)])
    consumers.start()
    wait_until(broker.is_consumed, 60)
    consumers.stop()
    assert (store.ratings.count(), store.events.count()) == (12, 10)
    letters = broker.read_all(DEAD_LETTERS)
    assert len(letters) == len(REFUSED) + 7
    by_key = {each.key().decode(): each for each in letters if each.key() is not None}
    for number, (topic, body, reason) in enumerate(REFUSED):
        letter = by_key[f"k{number}"]
        headers = {name: value.decode() for name, value in letter.headers()}
        assert reason in headers["reckon-reason"]
        assert (headers["reckon-topic"], headers["trace"]) == (topic, "t")
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        assert headers["reckon-size"] == str(len(sent or b""))
        # The place refers to a body that is too large.
        assert letter.value() == (None if sent is None or len(sent) > MAX_BODY_BYTES else sent)
        assert int(headers["reckon-offset"]) >= 0
        assert headers["reckon-partition"] in {"0", "1"}
    others = [dict(each.headers()) for each in letters if each.key() is None]
    reasons = Counter(each["reckon-reason"].decode() for each in others)
    assert reasons["there is no tenant 'nobody'"] == 1
    assert reasons["the timestamp of the message is more than 5 minutes ahead of the server's clock"] == 1
    of_list = [(each, dict(each.headers())) for each in letters if "reckon-row" in dict(each.headers())]
    assert [(json.loads(each.value()), headers["reckon-row"]) for each, headers in of_list] == [
        ({}, b"2"),
        (rating(2, 9), b"1"),
    ]
    assert all(headers["trace"] == b"t" for _, headers in of_list)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_tenants(broker: KafkaBroker, consumers: Consumers, store: Store, tmp_path: Path) -> None:
    own = tmp_path / "tenants" / "shop"
    own.mkdir(parents=True)
    shutil.copy(tmp_path / "reckon.db", own)
    store.tenants.begin("shop")
    store.tenants.move("shop", "active", among=["creating"])
    broker.send(RATINGS, [rating(1), rating(2)], headers=[("reckon-tenant", b"shop")])
    broker.send(RATINGS, [rating(3)])
    consumers.start()
    wait_until(broker.is_consumed, 60)
    consumers.stop()
    of_tenant = Store.open("", own)
    assert (store.ratings.count(), of_tenant.ratings.count()) == (1, 2)
    of_tenant.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_order_of_a_pair(broker: KafkaBroker, consumers: Consumers, store: Store) -> None:
    """The last rating of a pair stays, in one batch or in many; an older one that comes late loses."""
    consumers.start()
    pairs = [("u1", "i1", value % 5 + 1) for value in range(200)]
    broker.send(
        RATINGS,
        [{"user_id": user, "item_id": item, "value": value} for user, item, value in pairs],
        keys=["u1"] * len(pairs),
    )
    now = milliseconds_now()
    broker.send(RATINGS, [rating(2, 5)], keys=["u2"], sent_at=now)
    broker.send(RATINGS, [rating(2, 1)], keys=["u2"], sent_at=now - 60_000)
    broker.send(RATINGS, [rating(3, 1) | {"rated_at": "2020-01-01T00:00:00Z"}, rating(3, 3)], keys=["u3", "u3"])
    wait_until(broker.is_consumed, 60)
    consumers.stop()
    values = {(each.item_id): each.value for user in ("u1", "u2", "u3") for _, each in store.ratings.page(user)}
    assert values == {"i1": pairs[-1][2], "i2": 5, "i3": 3}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_broker_down(broker: KafkaBroker, consumers: Consumers, store: Store) -> None:
    broker.send(EVENTS, [event(n) for n in range(100)])
    consumers.start()
    wait_until(lambda: store.events.count() == 100)
    broker.kill()
    wait_until(lambda: len(consumers.instance.logged("broker refuses or does not answer")) > 0, 30)
    broker.start()
    broker.send(EVENTS, [event(n) for n in range(100, 200)])
    wait_until(lambda: store.events.count() == 200, 60)
    wait_until(broker.is_consumed, 60)
    assert consumers.instance.logged("broker answers again")
    broker.kill()
    consumers.stop()  # within its time limit, and with exit code 0
    assert store.events.count() == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_dead_letters_refused(broker: KafkaBroker, consumers: Consumers, store: Store) -> None:
    """Where the broker takes no dead letter, nothing more is read until it does, and nothing is lost."""
    broker.configure(DEAD_LETTERS, "max.message.bytes", "10")
    broker.send(RATINGS, [b"bad"], keys=["a"])
    broker.send(RATINGS, [rating(n) for n in range(100)], keys=["a"] * 100)
    consumers.start()
    wait_until(lambda: len(consumers.instance.logged("consumer waits")) >= 2, 60)
    assert "dead letters cannot be written" in consumers.instance.logged("consumer waits")[0]["reason"]
    broker.send(RATINGS, [rating(n) for n in range(100, 200)])
    assert broker.committed() == {}
    broker.configure(DEAD_LETTERS, "max.message.bytes", "1000000")
    wait_until(broker.is_consumed, 60)
    consumers.stop()
    assert store.ratings.count() == 200
    assert [each.value() for each in broker.read_all(DEAD_LETTERS)] == [b"bad"]
    assert consumers.instance.logged("consumer goes on")


def test_database_down(broker: KafkaBroker, tmp_path: Path) -> None:
    """Postgres stops and comes back: what was sent meanwhile is stored, and no offset was committed before."""
    server = Postgres(tmp_path / "postgres")
    try:
        with server.database() as url:
            consumers = Consumers.of(broker, tmp_path, url)
            try:
                broker.send(EVENTS, [event(n) for n in range(100)])
                process = consumers.start()
                wait_until(lambda: len(rows_of(url)["events"]) == 100 and broker.is_consumed())
                before = broker.committed()
                server.stop()
                broker.send(EVENTS, [event(n) for n in range(100, 300)])
                wait_until(lambda: len(consumers.instance.logged("consumer waits")) >= 3, 60)
                assert broker.committed() == before
                server.start()
                wait_until(broker.is_consumed, 90)
                assert len(rows_of(url)["events"]) == 300
                server.stop()
                broker.send(EVENTS, [event(n) for n in range(300, 400)])
                n_waits = len(consumers.instance.logged("consumer waits"))
                wait_until(lambda: len(consumers.instance.logged("consumer waits")) > n_waits, 60)
                # It need not wait for the database.
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
                server.start()
                consumers.start()
                wait_until(broker.is_consumed, 90)
                consumers.stop()
                assert len(rows_of(url)["events"]) == 400
            finally:
                consumers.end()
    finally:
        server.close()
