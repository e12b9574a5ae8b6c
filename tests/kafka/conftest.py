from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka_broker import Consumers, KafkaBroker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A broker of this test alone, with two partitions for ratings and for events."""
    folder = tmp_path / "broker"
    folder.mkdir()
    started = KafkaBroker(folder)
    started.start()
    try:
        started.make_topics()
        yield started
    finally:
        started.kill()


@pytest.fixture
def consumers(broker: KafkaBroker, tmp_path: Path, database_url: str) -> Iterator[Consumers]:
    made = Consumers.of(broker, tmp_path, database_url)
    yield made
    made.end()
