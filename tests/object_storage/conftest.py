"""One server process for all tests; each has a prefix and a database of its own."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.object_storage import S3Server, needs_s3, s3_server

NUMBERS = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "object_storage" in item.path.parts:
            item.add_marker(needs_s3)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as started:
        yield started


@pytest.fixture
def prefix() -> str:
    return f"service-{next(NUMBERS)}"


@pytest.fixture
def storage(server: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server, with its variables in the environment of this process."""
    for name, value in server.environment(prefix).items():
        monkeypatch.setenv(name, value)
    yield server
    server.forwarder.come_up()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of what trains."""
    return tmp_path / "trainer"
