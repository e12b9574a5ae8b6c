"""A rating's whole way through real processes: import, train, serve, rate, swap, die, stop."""

import os
import signal
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import MigratedDatabases
from tests.support.service import Installation, RunningService, wait_until, write_ratings

pytestmark = pytest.mark.xdist_group("end_to_end")


@pytest.fixture(params=["sqlite", "postgres"])
def installation(
    request: pytest.FixtureRequest, databases: MigratedDatabases, tmp_path: Path
) -> Iterator[Installation]:
    with databases.fresh(request.param, tmp_path) as url:
        yield Installation(tmp_path, url)


on_sqlite = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
"""For what does not depend on the database: each of these trains and serves for some seconds."""


@pytest.fixture
def trained(installation: Installation) -> Installation:
    installation.run("import", str(write_ratings(installation.data_dir / "ratings.csv")))
    installation.run("train")
    return installation


@pytest.fixture
def service(trained: Installation) -> Iterator[RunningService]:
    with trained.serving("--processes", "2") as running:
        yield running


def test_new_user_is_known_everywhere(service: RunningService) -> None:
    """Three ratings change the very next answer, whichever process gives it."""
    before = service.get("/users/newcomer/recommendations")
    assert before["strategy"] == "popular"
    for item in ("i0", "i2", "i4"):
        status, _ = service.call("POST", "/ratings", {"user_id": "newcomer", "item_id": item, "value": 5})
        assert status == 201
        for _ in range(8):
            assert item not in service.items("newcomer", 100)
    for item in ("i1", "i3", "i5"):
        service.call("POST", "/ratings", {"user_id": "newcomer", "item_id": item, "value": 1})
    answers = [service.get("/users/newcomer/recommendations") for _ in range(8)]
    assert {answer["strategy"] for answer in answers} == {"fold_in"}
    lists = [[item["item_id"] for item in answer["items"]] for answer in answers]
    assert all(each == lists[0] for each in lists)
    predicted = {item["item_id"]: item["predicted_rating"] for item in answers[0]["items"]}
    even = [rating for item, rating in predicted.items() if int(item[1:]) % 2 == 0]
    odd = [rating for item, rating in predicted.items() if int(item[1:]) % 2 == 1]
    assert sum(even) / len(even) > sum(odd) / len(odd) + 0.5


def test_catalogue_change_is_known_everywhere(service: RunningService) -> None:
    first = service.items("u0", 5)[0]
    assert service.call("PUT", f"/items/{first}", {"title": "Gone", "is_available": False})[0] == 200
    assert all(first not in service.items("u0", 100) for _ in range(8))
    service.call("PUT", f"/items/{first}", {"title": "Back"})
    assert all(service.items("u0", 5)[0] == first for _ in range(8))


def test_swap_under_requests(service: RunningService) -> None:
    """Snapshots come and go while requests run: no error, and every process arrives at the newest."""
    stop, problems, versions = threading.Event(), [], set()

    def ask(worker: int) -> None:
        n = 0
        while not stop.is_set():
            n += 1
            status, answer = service.call("GET", f"/users/u{(n * 7 + worker) % 60}/recommendations")
            if status != 200 or not answer["items"] or answer["strategy"] != "personalized":
                problems.append(answer)
            versions.add(answer.get("snapshot_version"))

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    try:
        for seed in (1, 2):
            service.call("POST", "/training-jobs", {"seed": seed})
            _wait_for_version(service, seed + 1)
        assert service.call("POST", "/snapshots/1/activate")[0] == 200
        _wait_for_version(service, 1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert versions == {1, 2, 3}


def _wait_for_version(service: RunningService, version: int) -> None:
    wait_until(lambda: all(service.get("/readyz")["snapshot_version"] == version for _ in range(10)))


@on_sqlite
def test_killed_process_comes_back(service: RunningService) -> None:
    children = [
        int(pid) for pid in Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    ]
    for child in children:
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: _answers(service))
    assert len(service.items("u0")) == 20


def _answers(service: RunningService) -> bool:
    try:
        return service.call("GET", "/livez")[0] == 200
    except OSError:
        return False


@on_sqlite
def test_stop_is_clean(trained: Installation) -> None:
    with trained.serving() as running:
        service = running
    assert service.process.returncode == 0


@on_sqlite
def test_metrics_of_all_processes(service: RunningService) -> None:
    for _ in range(20):
        service.get("/livez")
    with urllib.request.urlopen(f"{service.address}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert 'path="/livez",status="200"} 20.0' in text
    assert "reckon_snapshot_age_seconds" in text


@on_sqlite
def test_damaged_snapshot_is_not_served(trained: Installation) -> None:
    """Damage to the live folder: the service starts all the same, and answers popular items."""
    (folder,) = [path for path in (trained.data_dir / "snapshots").iterdir() if path.is_dir()]
    largest = max(folder.glob("*.npy"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[-1] ^= 1
    largest.chmod(0o600)
    largest.write_bytes(bytes(content))
    with trained.serving("--no-worker") as service:
        answer = service.get("/users/u0/recommendations")
        assert (answer["strategy"], answer["snapshot_version"]) == ("popular", None)
        assert answer["items"]


@on_sqlite
def test_address_of_others_needs_leave(installation: Installation) -> None:
    refused = installation.run("serve", "--host", "0.0.0.0", check=False)  # noqa: S104  that it is refused is the point
    assert refused.returncode == 1
    assert "--insecure" in refused.stderr
