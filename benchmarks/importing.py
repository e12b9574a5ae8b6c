"""Ratings a second from a file into SQLite and Postgres, through the real command in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from app.entities import IncomingRatings, to_microseconds
from app.intake.layouts import recognise
from app.intake.ratings import RatingReader
from app.store import Store
from benchmarks.table import Row

MOVIELENS = Path(__file__).parents[1] / "../shared/data/ml-latest-small"
N_ROWS, N_USERS, N_ITEMS = 1_000_000, 6_000, 4_000
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Measured:
    """The cost of one command, the start of the interpreter included. `cpu_seconds`: its time on an idle machine."""

    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    n_rows: int

    @property
    def rows_per_second(self) -> str:
        return f"{self.n_rows / self.seconds:,.0f} rows/s"

    @property
    def note(self) -> str:
        return f"{self.seconds:.2f} s, of which {self.cpu_seconds:.2f} s of CPU"


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        by_user, shuffled = write_ratings(root)
        import_into(root / "warm-up", one_rating(root))  # Python compiles its modules once
        return [
            _movielens(root / "movielens"),
            Row("parsing alone, 1 M rows of CSV", "430,000 rows/s", f"{parse(by_user):,.0f} rows/s"),
            *_generated("1 M rows, by user", "100,000", import_into(root / "by-user", by_user)),
            *_generated("1 M rows, shuffled", "60,000", import_into(root / "shuffled", shuffled)),
            *_into_postgres(root, by_user, shuffled),
            _waiting(root / "waiting", shuffled),
        ]


def _movielens(data_dir: Path) -> Row:
    what = "import of ml-latest-small, whole command"
    if not MOVIELENS.exists():
        return Row(what, "<= 3 s", "not measured", "the data set is not beside the repository")
    measured = import_into(data_dir, MOVIELENS)
    return Row(what, "<= 3 s", f"{measured.seconds:.2f} s", f"{measured.n_rows:,} ratings, {measured.note}")


def _generated(what: str, rows_per_second: str, measured: Measured) -> Iterator[Row]:
    yield Row(f"import of {what}", f">= {rows_per_second} rows/s", measured.rows_per_second, measured.note)
    yield Row(f"peak memory, {what}", "< 400 MB", f"{measured.peak_rss_bytes / 1e6:.0f} MB")


def _into_postgres(root: Path, by_user: Path, shuffled: Path) -> Iterator[Row]:
    from tests.support.postgres import Postgres  # noqa: PLC0415  of the development dependencies

    postgres = Postgres(root / "postgres", is_durable=True)
    for what, path, reach in (("by user", by_user, "150,000"), ("shuffled", shuffled, "")):
        with postgres.database() as url:
            measured = import_into(root / f"postgres-{path.stem}", path, url)
        name = f"import of 1 M rows into Postgres, {what}"
        yield Row(name, f">= {reach} rows/s" if reach else "", measured.rows_per_second, measured.note)


def _waiting(data_dir: Path, path: Path) -> Row:
    """Another process writes single ratings, one after the other, while the import goes on."""
    migrate(data_dir)
    with writing_meanwhile(data_dir) as waits:
        measured = import_into(data_dir, path)
    longest = f"{max(waits.seconds):.2f} s"
    return Row("another writer's longest wait", "< 1 s", longest, f"{len(waits.seconds)} writes; {measured.note}")


def write_ratings(folder: Path) -> tuple[Path, Path]:
    """The same million ratings sorted by user, and in random order."""
    rng = np.random.default_rng(0)
    columns = (
        np.sort(rng.integers(N_USERS, size=N_ROWS)),
        rng.integers(N_ITEMS, size=N_ROWS),
        rng.integers(1, 11, size=N_ROWS) / 2,
        rng.integers(1_000_000_000, 1_700_000_000, size=N_ROWS),
    )
    lines = np.array([f"{user},{item},{value},{time}\n" for user, item, value, time in zip(*columns, strict=True)])
    by_user, shuffled = folder / "by-user.csv", folder / "shuffled.csv"
    for path, order in ((by_user, np.arange(N_ROWS)), (shuffled, rng.permutation(N_ROWS))):
        path.write_text("user_id,item_id,rating,timestamp\n" + "".join(lines[order].tolist()))
    return by_user, shuffled


def one_rating(folder: Path) -> Path:
    path = folder / "one.csv"
    path.write_text("user_id,item_id,rating\nu,i,3\n")
    return path


def parse(path: Path) -> float:
    """Rows a second from a file to arrays, nothing stored."""
    started = time.perf_counter()
    reader = RatingReader(to_microseconds(datetime.now(UTC)))
    (table,) = recognise(path).tables
    n_rows = sum(len(reader.read(block).ratings) for block in table.blocks())
    return n_rows / (time.perf_counter() - started)


def import_into(data_dir: Path, path: Path, database_url: str = "") -> Measured:
    migrate(data_dir, database_url)
    report_path = data_dir / "report.json"
    arguments = [sys.executable, "-m", "app.cli", "import", str(path), "--json"]
    with report_path.open("wb") as output:
        started = time.perf_counter()
        command = subprocess.Popen(arguments, env=environment(data_dir, database_url), stdout=output)
        peak_rss_bytes = watched_until_its_end(command.pid)
        _, status, usage = os.wait4(command.pid, 0)
        seconds = time.perf_counter() - started
    command.returncode = os.waitstatus_to_exitcode(status)
    if command.returncode:
        raise SystemExit(command.returncode)
    n_rows = json.loads(report_path.read_text())["ratings"]["readable"]
    return Measured(seconds, usage.ru_utime + usage.ru_stime, peak_rss_bytes, n_rows)


def watched_until_its_end(pid: int) -> int:
    """Peak memory of the process (Linux). Not `ru_maxrss`, which starts at the value of the parent process."""
    status = Path(f"/proc/{pid}/status")
    peak = 0
    while fields := [line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM")]:
        peak = int(fields[0][1]) * 1024
        time.sleep(POLL_SECONDS)
    return peak


def migrate(data_dir: Path, database_url: str = "") -> None:
    data_dir.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-m", "app.cli", "migrate"], env=environment(data_dir, database_url), check=True)


def environment(data_dir: Path, database_url: str = "") -> dict[str, str]:
    ours = {"RECKON_DATA_DIR": str(data_dir), "RECKON_DATABASE_URL": database_url, "PYTHONDONTWRITEBYTECODE": ""}
    return os.environ | ours


@dataclass(slots=True)
class Waits:
    """How long each write took."""

    seconds: list[float] = field(default_factory=list)


@contextmanager
def writing_meanwhile(data_dir: Path) -> Iterator[Waits]:
    waits, is_over = Waits(), threading.Event()

    def write() -> None:
        store = Store.open("", data_dir)
        while not is_over.wait(0.02):
            started = time.perf_counter()
            store.ratings.record(IncomingRatings(["other"], ["1"], np.array([3.0]), np.array([len(waits.seconds)])))
            waits.seconds.append(time.perf_counter() - started)
        store.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield waits
    finally:
        is_over.set()
        writer.join()


if __name__ == "__main__":
    from benchmarks.table import as_text

    print(as_text(rows()))
