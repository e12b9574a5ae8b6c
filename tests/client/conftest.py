"""The client on all it may stand on: the fake and the real service, blocking and asynchronous."""

import asyncio
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from app.client import AsyncFakeReckon, AsyncReckon, FakeReckon, Reckon
from app.client.call import Blocking, Call
from app.client.operations import Operations
from app.main import create_app
from app.settings import Settings
from tests.support.databases import MigratedDatabases
from tests.support.live_app import serving

T = TypeVar("T")


class Waiting(Operations, Blocking):
    """An asynchronous client whose calls are waited for: one text of a test for both kinds."""

    def __init__(self, client: AsyncReckon) -> None:
        self.client = client
        self.loop = asyncio.new_event_loop()

    def within(self, seconds: float) -> "Waiting":
        other = copy.copy(self)
        other.client = self.client.within(seconds)
        return other

    def send(self, call: Call[T]) -> T:
        return self.loop.run_until_complete(self.client.send(call))

    def close(self) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


@pytest.fixture
def address(databases: MigratedDatabases, tmp_path: Path) -> Iterator[str]:
    """Of the real service on an empty database."""
    with (
        databases.fresh("sqlite", tmp_path) as url,
        serving(create_app(Settings(database_url=url, data_dir=tmp_path))) as at,
    ):
        yield at


@pytest.fixture(params=["fake", "fake-async", "service", "service-async"])
def reckon(request: pytest.FixtureRequest) -> Iterator[Reckon | Waiting]:
    is_fake = request.param.startswith("fake")
    at = "" if is_fake else request.getfixturevalue("address")
    client: Reckon | Waiting
    if request.param.endswith("async"):
        client = Waiting(AsyncFakeReckon() if is_fake else AsyncReckon(at))
    else:
        client = FakeReckon() if is_fake else Reckon(at)
    yield client
    client.close()
