"""Both kinds of clients, on the real service and on the fake."""

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
    """Waits for each call of an asynchronous client, so that one test serves both kinds."""

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
    """The address of the real service, on an empty database."""
    with (
        databases.fresh("sqlite", tmp_path) as url,
        serving(create_app(Settings(database_url=url, data_dir=tmp_path))) as at,
    ):
        yield at


@pytest.fixture(params=["blocking", "async"])
def reckon(request: pytest.FixtureRequest, address: str) -> Iterator[Reckon | Waiting]:
    """A client of the real service."""
    client = Reckon(address) if request.param == "blocking" else Waiting(AsyncReckon(address))
    yield client
    client.close()


Fake = tuple[Reckon | Waiting, FakeReckon | AsyncFakeReckon]
"""The client that a test calls, and the fake that it tells what to answer."""


@pytest.fixture(params=["blocking", "async"])
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    if request.param == "blocking":
        with FakeReckon() as told:
            yield told, told
    else:
        waiting = Waiting(asynchronous := AsyncFakeReckon())
        yield waiting, asynchronous
        waiting.close()
