"""Fixtures: short; their bodies stand in `tests/support/`."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from threadpoolctl import threadpool_limits

from app.main import create_app
from app.observability.logs import configure_logs
from app.settings import Settings
from app.store import Store
from tests.support.databases import MigratedDatabases
from tests.support.postgres import PROGRAMS
from tests.support.spans import recorded_spans
from tests.support.time_limits import lengthen

# Each of the hundred processes that tests start would compile all of `app/` anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A suite started in the background or by `nohup` ignores these signals, and so would the processes that tests start and
# stop by them. A handler that does nothing is not inherited.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda _number, _frame: None)

# However busy the machine is, no example takes too long. Every run tries the same examples, so that a run fails by what
# was changed; with `pytest --hypothesis-profile=exploring` it tries new ones. Tests give each example rows of its own.
hypothesis.settings.register_profile(
    "exploring",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.register_profile("same examples", hypothesis.settings.get_profile("exploring"), derandomize=True)
hypothesis.settings.load_profile("same examples")


ON_BOTH = ("store/", "test_databases.py")
"""Where every test of `make test` runs on Postgres as well; elsewhere it is `make slow` that runs it there."""

FIRST = ("end_to_end/test_service.py", "store/", "end_to_end/")
"""Long modules come first, lest one process is left with one at the end; the rest follows in alphabetical order.

The first module compiles the kernels, which takes some ten seconds; the tests beside it need none.
"""


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_on_postgres(item) and not path_of(item).startswith(ON_BOTH):
            item.add_marker("slow")
    items.sort(
        key=lambda item: next((n for n, start in enumerate(FIRST) if path_of(item).startswith(start)), len(FIRST))
    )


def is_on_postgres(item: pytest.Item) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return "postgres" in map(str, parameters.values())


def path_of(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).as_posix()


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """By default every traceback is printed with the values of its variables, which takes a third of a second."""
    configure_logs()


@pytest.fixture(autouse=True)
def restored_logs() -> Iterator[None]:
    """A command or an app configures the logs of the whole process, and may name a file that closes with the test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Two processes of tests on two cores: more threads would wait for one another."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture(autouse=True)
def long_time_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the store; on a busy machine a read of half a second is no outage."""
    lengthen(monkeypatch)


@pytest.fixture(scope="session")
def databases() -> Iterator[MigratedDatabases]:
    # Not a pytest folder: other runs of pytest on this machine clear those away after a while.
    with tempfile.TemporaryDirectory(prefix="reckon-tests-") as folder:
        made = MigratedDatabases(Path(folder))
        yield made
        made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, databases: MigratedDatabases, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database of this test alone, on each of the two kinds."""
    with databases.fresh(request.param, tmp_path) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def trained_url(request: pytest.FixtureRequest, databases: MigratedDatabases, tmp_path: Path) -> Iterator[str]:
    """As `database_url`, with ratings and a live snapshot really learned from them (see `tests.support.trained`)."""
    with databases.trained(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(database_url, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def postgres_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pg_dump` and `pg_restore` of the version of the server."""
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    with recorded_spans() as exporter:
        yield exporter


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, data_dir=tmp_path, snapshot_poll_seconds=0.05)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The whole API on an empty database; nothing is learned yet."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        yield opened
