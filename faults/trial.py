"""What a fault is given, and what it reports."""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.support.postgres import Postgres

Size = Literal["test", "short", "long"]
"""`test`: a second or two, for `make test`. `short`: once, for `make faults-short`. `long`: until it is proven."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: what was measured, what is to be reached, what was seen, and whether that is enough.

    `seen` names the counts behind the figure, such as "0 of 103,000 over 312 kills". `is_timed`: it depends on how fast
    the machine is, so a miss is an error in a long run alone.
    """

    what: str
    reach: str
    seen: str
    is_reached: bool
    is_timed: bool = False


@dataclass(slots=True)
class Trial:
    """One run of one fault.

    `folder`: an empty folder of this run.
    `choose`: seeded; every choice of a fault comes from it.
    """

    folder: Path
    seed: int
    size: Size
    choose: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.choose = random.Random(self.seed)  # noqa: S311  repeatable choices, no secrets

    def times(self, *, test: int, short: int, long: int) -> int:
        """How often to repeat something in a run of this size."""
        return {"test": test, "short": short, "long": long}[self.size]

    def fresh_folder(self, name: str) -> Path:
        """A new folder inside `folder`."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    @contextmanager
    def postgres(self) -> Iterator[Postgres]:
        """A throw-away Postgres server that keeps what it acknowledged, as a new server does."""
        server = Postgres(self.fresh_folder("postgres"), is_durable=True)
        try:
            yield server
        finally:
            server.close()


Run = Callable[[Trial], Iterator[Figure]]
