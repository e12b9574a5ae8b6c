"""A service in memory, for the tests of a product: the real client on a transport that never leaves the process.

`FakeReckon` is a `Reckon` and `AsyncFakeReckon` an `AsyncReckon`, so nothing can differ but the answers: what is stored
is kept as the service would keep it, and what would be learned is replaced by what is popular.
"""

from ..clients import AsyncReckon, Reckon
from ..retries import NO_RETRIES, Retries
from .memory import Memory
from .transport import FakeTransport

ADDRESS = "http://reckon.fake"


class FakeReckon(Reckon):
    """`memory` holds what was stored, and decides what is answered: see `Memory`."""

    def __init__(self, memory: Memory | None = None, *, retries: Retries = NO_RETRIES) -> None:
        self.memory = memory or Memory()
        super().__init__(ADDRESS, retries=retries, transport=FakeTransport(self.memory))


class AsyncFakeReckon(AsyncReckon):
    """As `FakeReckon`, for asyncio."""

    def __init__(self, memory: Memory | None = None, *, retries: Retries = NO_RETRIES) -> None:
        self.memory = memory or Memory()
        super().__init__(ADDRESS, retries=retries, transport=FakeTransport(self.memory))
