"""A real server of the Kafka protocol, from the wheel `noida-db`, and what tests ask it."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Instance, free_port, wait_until

RATINGS, EVENTS, DEAD_LETTERS = "reckon.ratings", "reckon.events", "reckon.dead-letters"
GROUP = "reckon"

Headers = Sequence[tuple[str, bytes]]


def program() -> Path:
    """The server of the wheel. Skips the test where it or the client is not installed: `make kafka` installs both."""
    pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: make kafka")
    found = find_spec("noida_db")
    if found is None or found.origin is None:
        pytest.skip("noida-db is not installed: make kafka")
    path = Path(found.origin).parent / "noida-db"
    if not path.exists():
        pytest.skip("the wheel of noida-db has no program for this machine")
    return path


class Kafka:
    """What speaks the protocol at `address`."""

    @property
    def address(self) -> str:
        raise NotImplementedError

    @property
    def _library(self) -> Any:
        return import_module("confluent_kafka")

    @property
    def _admin(self) -> Any:
        return import_module("confluent_kafka.admin")

    @property
    def _properties(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.address, "log_level": 0}

    def send(
        self,
        topic: str,
        bodies: Iterable[Any],
        *,
        keys: Iterable[str] | None = None,
        headers: Headers = (),
        sent_at: int = 0,
    ) -> None:
        """Bytes as they are, other bodies as JSON. `sent_at`: their timestamp, milliseconds; 0: now."""
        producer = self._library.Producer(self._properties | {"message.max.bytes": 1 << 25})
        failed: list[str] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failed.append(error.str())

        bodies = list(bodies)
        for body, key in zip(bodies, keys if keys is not None else [None] * len(bodies), strict=True):
            value = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            while True:
                with suppress(BufferError):
                    producer.produce(topic, value, key, headers=list(headers), timestamp=sent_at, on_delivery=delivered)
                    break
                producer.poll(0.1)
        assert producer.flush(60) == 0
        assert not failed, failed[0]

    def read_all(self, topic: str) -> list[Any]:
        """All messages of a topic, in the order of their offsets."""
        consumer = self._library.Consumer(self._properties | {"group.id": "reader", "enable.auto.commit": False})
        partitions = list(consumer.list_topics(topic, 30).topics[topic].partitions)
        ends = {n: consumer.get_watermark_offsets(self._library.TopicPartition(topic, n), 30)[1] for n in partitions}
        consumer.assign([self._library.TopicPartition(topic, n, 0) for n in partitions])
        messages: list[Any] = []
        deadline = time.monotonic() + 60
        while len(messages) < sum(ends.values()):
            assert time.monotonic() < deadline, "the messages do not come"
            message = consumer.poll(1)
            if message is not None:
                assert message.error() is None
                messages.append(message)
        consumer.close()
        return messages

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset behind the last message of each partition that has any."""
        return {place: end for place, end in self._offsets("watermark").items() if end > 0}

    def committed(self) -> dict[tuple[str, int], int]:
        """The offsets that the group has committed."""
        return {place: offset for place, offset in self._offsets("committed").items() if offset > 0}

    def _offsets(self, kind: str) -> dict[tuple[str, int], int]:
        consumer = self._library.Consumer(self._properties | {"group.id": GROUP})
        topics = consumer.list_topics(timeout=30).topics
        places = [
            self._library.TopicPartition(topic, n) for topic in (RATINGS, EVENTS) for n in topics[topic].partitions
        ]
        if kind == "committed":
            read = {(each.topic, each.partition): each.offset for each in consumer.committed(places, 30)}
        else:
            read = {(each.topic, each.partition): consumer.get_watermark_offsets(each, 30)[1] for each in places}
        consumer.close()
        return read

    def is_consumed(self) -> bool:
        return self.committed() == self.ends()


@dataclass
class KafkaBroker(Kafka):
    """Keeps its data in `folder`, through `kill` and `start`."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        # A copy of the program itself: that of the package is a child of a script, and outlives it.
        copy = self.folder / "noida"
        if not copy.exists():
            shutil.copy(program(), copy)
        command: list[str | Path] = [
            copy,
            "start",
            "--only",
            "kafka",
            "--kafka-port",
            str(self.port),
            "--data-dir",
            self.folder / "data",
        ]
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._is_up, 30)

    def _is_up(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def make_topics(self, n_partitions: int = 2, **properties: str) -> None:
        topics = [self._admin.NewTopic(name, n_partitions, 1, config=properties) for name in (RATINGS, EVENTS)]
        topics.append(self._admin.NewTopic(DEAD_LETTERS, 1, 1, config=properties))
        client = self._admin.AdminClient(self._properties)
        for made in client.create_topics(topics).values():
            made.result(30)

    def configure(self, topic: str, name: str, value: str) -> None:
        admin = self._admin
        entry = admin.ConfigEntry(name, value, incremental_operation=admin.AlterConfigOpType.SET)
        resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        client = admin.AdminClient(self._properties)
        for changed in client.incremental_alter_configs([resource]).values():
            changed.result(30)


class MockCluster(Kafka):
    """The cluster that the library of the client has for tests, with one broker, in this process.

    It gives the partitions of a consumer that was killed to others, which `KafkaBroker` does not.
    """

    def __init__(self) -> None:
        program()
        self._owner = self._library.Producer({"test.mock.num.brokers": 1, "log_level": 0})
        broker = next(iter(self._owner.list_topics(timeout=30).brokers.values()))
        self._address = f"{broker.host}:{broker.port}"

    @property
    def address(self) -> str:
        return self._address


@dataclass
class Consumers:
    """`reckon consume` as processes, on one database."""

    broker: Kafka
    instance: Instance
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @classmethod
    def of(cls, broker: Kafka, folder: Path, url: str, properties: Mapping[str, str] | None = None) -> "Consumers":
        file = folder / "kafka.properties"
        given = {"session.timeout.ms": "6000", **(properties or {})}
        file.write_text("# of a test\n\n" + "".join(f"{name}={value}\n" for name, value in given.items()))
        settings = {"RECKON_KAFKA_SERVERS": broker.address, "RECKON_KAFKA_CONFIG_FILE": str(file)}
        return cls(broker, Instance(folder, url, settings=settings))

    def start(self, *options: str) -> subprocess.Popen[str]:
        process = self.instance.start("consume", *options)
        self.running.append(process)
        return process

    def stop(self) -> None:
        """As a supervisor does, and waits."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            assert process.wait(60) == 0, self.instance.log_path.read_text()[-4_000:]
            if process.stdout is not None:
                process.stdout.close()
        self.running.clear()

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
        self.running.remove(process)

    def end(self) -> None:
        """Whatever the test has left."""
        for process in list(self.running):
            self.kill(process)


def milliseconds_now() -> int:
    return time.time_ns() // 1_000_000
