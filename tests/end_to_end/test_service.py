"""A rating's and an event's whole way through real processes: import, train, serve, rate, swap, die, stop."""

import http.client
import itertools
import json
import os
import select
import shutil
import signal
import socket
import statistics
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.camps import N_USERS, camp_events, suits
from tests.support.databases import MigratedDatabases
from tests.support.postgres import refusing_connections
from tests.support.service import Instance, RunningService, free_port, wait_until, write_ratings

pytestmark = pytest.mark.xdist_group("end_to_end")


@pytest.fixture(params=["sqlite", "postgres"])
def instance(request: pytest.FixtureRequest, databases: MigratedDatabases, tmp_path: Path) -> Iterator[Instance]:
    with databases.fresh(request.param, tmp_path) as url:
        yield Instance(tmp_path, url)


on_sqlite = pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
"""For what does not depend on the database: each of these serves for some seconds."""


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an instance on SQLite that has imported and trained, to copy: its commands take five seconds."""
    return _filled(Instance(tmp_path_factory.mktemp("trained"))).data_dir


@pytest.fixture
def trained(trained_folder: Path, tmp_path: Path) -> Instance:
    return _copied(trained_folder, tmp_path)


def _copied(trained_folder: Path, folder: Path) -> Instance:
    shutil.copytree(trained_folder, folder, dirs_exist_ok=True)
    return Instance(folder)


def _filled(instance: Instance) -> Instance:
    instance.run("migrate")
    instance.run("import", str(write_ratings(instance.data_dir / "ratings.csv")))
    instance.run("train")
    return instance


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def service(
    request: pytest.FixtureRequest, databases: MigratedDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A trained instance served by two processes, for all tests that leave the lists of its users as they are."""
    folder = tmp_path_factory.mktemp("served")
    if request.param == "sqlite":
        with _copied(request.getfixturevalue("trained_folder"), folder).serving("--processes", "2") as running:
            yield running
    else:
        with (
            databases.fresh("postgres", folder) as url,
            _filled(Instance(folder, url)).serving("--processes", "2") as running,
        ):
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


@pytest.mark.slow
def test_events_alone_teach(instance: Instance) -> None:
    """A service without ratings learns from what is sent; the next event changes the next answer, everywhere."""
    with instance.serving("--processes", "2") as service:
        happened = _sent_events()
        for start in range(0, len(happened), 1_000):
            _send(service, happened[start : start + 1_000])
        card = _train(service)
        assert card["is_led_by_events"]
        assert (card["watermark"]["n_ratings"], card["watermark"]["n_events"]) == (0, len(happened))
        assert _share_suiting(service) > 0.8
        assert service.get("/users/newcomer/recommendations")["strategy"] == "popular"
        _send(service, [_event("newcomer", item, "clicked") for item in (0, 2, 4, 6)])
        answers = [service.get("/users/newcomer/recommendations?limit=10") for _ in range(8)]
        assert {(answer["strategy"], answer["snapshot_version"]) for answer in answers} == {
            ("fold_in", card["version"])
        }
        assert all(answer["items"] == answers[0]["items"] for answer in answers)
        assert sum(int(item["item_id"][1:]) % 2 == 0 for item in answers[0]["items"]) >= 7


def _sent_events() -> list[dict[str, Any]]:
    """One for each that `camp_events` tells of; their times are in order."""
    return [
        _event(user, int(item[1:]), kind, number) | {"at": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}Z"}
        for number, (user, item, kind, *_) in enumerate(camp_events())
    ]


def _event(user: str, item: int, kind: str, number: int = 0) -> dict[str, Any]:
    return {"event_id": f"{user}-{item}-{kind}-{number}", "type": kind, "user_id": user, "item_id": f"i{item}"}


def _send(service: RunningService, happened: list[dict[str, Any]]) -> None:
    status, answer = service.call("POST", "/events", {"events": happened})
    assert (status, answer["stored"]) == (200, len(happened)), answer


def _train(service: RunningService) -> Any:
    """The card of a snapshot of all that was sent, which every process answers from."""
    status, job = service.call("POST", "/training-jobs")
    assert status == 202
    wait_until(lambda: service.get(f"/training-jobs/{job['job_id']}")["state"] not in {"queued", "running"})
    done = service.get(f"/training-jobs/{job['job_id']}")
    assert done["state"] == "succeeded", done
    _wait_for_version(service, done["snapshot_version"])
    return service.get(f"/snapshots/{done['snapshot_version']}")["card"]


def _share_suiting(service: RunningService, n: int = 5) -> float:
    listed = [(user, item) for user in range(0, N_USERS, 3) for item in service.items(f"u{user}", n)]
    return sum(suits(user, int(item[1:])) for user, item in listed) / len(listed)


def test_swap_under_requests(service: RunningService) -> None:
    """Snapshots come and go while requests run: no error, and every process arrives at the newest."""
    stop, problems, versions = threading.Event(), [], set()
    first = service.get("/readyz")["snapshot_version"]

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
            _wait_for_version(service, first + seed)
        assert service.call("POST", f"/snapshots/{first}/activate")[0] == 200
        _wait_for_version(service, first)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert versions == {first, first + 1, first + 2}


def _wait_for_version(service: RunningService, version: int) -> None:
    """Every process is there. One may answer ten requests that come one by one, but not forty that come at once."""
    with ThreadPoolExecutor(8) as threads:

        def served() -> set[int | None]:
            return set(threads.map(lambda _: service.get("/readyz")["snapshot_version"], range(40)))

        wait_until(lambda: served() == {version})


@pytest.mark.slow
def test_killed_processes_come_back(trained: Instance) -> None:
    with trained.serving("--processes", "2") as service:
        for child in service.children():
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: _answers(service))
        assert len(service.items("u0")) == 20


@pytest.mark.slow
def test_dying_worker_stops_nothing(trained: Instance) -> None:
    """Its pauses grow, each death and start is logged, and the API process beside it goes on."""
    with trained.serving() as service:
        api, worker = service.children()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: len(trained.logged("process started again")) == 1)
        (again,) = set(service.children()) - {api}
        os.kill(again, signal.SIGKILL)
        ready: dict[str, Any] = {}

        def restarts_again() -> bool:
            ready.update(service.get("/readyz"))
            return len(trained.logged("process ended")) == 2 and ready["processes"][1]["state"] == "restarting"

        wait_until(restarts_again)
        assert [(each["name"], each["state"], each["last_exit"]) for each in ready["processes"]] == [
            ("api 1", "running", None),
            ("worker", "restarting", "SIGKILL"),
        ]
        assert any("worker" in warning["reason"] for warning in ready["warnings"])
        assert api in service.children()
        assert len(service.items("u0")) == 20
        deaths = [(each["child"], each["signal"], each["pause_seconds"]) for each in trained.logged("process ended")]
        assert deaths == [("worker", "SIGKILL", 1), ("worker", "SIGKILL", 2)]
        assert {each["child"] for each in trained.logged("process started again")} == {"worker"}


def connection_to(service: RunningService) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(service.address.removeprefix("http://"), timeout=20)


@pytest.mark.slow
def test_rolling_restart(trained: Instance) -> None:
    """Every process is another one afterwards, and no request is lost: answers close the connections."""
    with trained.serving() as service, closing(connection_to(service)) as connection:
        before = service.children()
        answers = []
        service.process.send_signal(signal.SIGUSR2)

        def is_restarted() -> bool:
            # The server waits a second for the next request, the test possibly for longer.
            if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
                connection.close()
            connection.request("GET", "/users/u0/recommendations")
            with connection.getresponse() as answer:
                answer.read()
                answers.append((answer.status, answer.headers["connection"]))
            return len(service.children()) == 2 and not set(before) & set(service.children())

        wait_until(is_restarted)
        assert {status for status, _ in answers} == {200}
        assert "close" in {header for _, header in answers}
        wait_until(lambda: {each["state"] for each in service.get("/readyz")["processes"]} == {"running"})


@pytest.mark.slow
@pytest.mark.parametrize("instance", ["postgres"], indirect=True)
def test_process_dies_while_the_database_is_away(instance: Instance) -> None:
    """The other process answers meanwhile; the dead one is back once the database is."""
    with instance.serving("--processes", "2", "--no-worker") as service:
        killed, kept = service.children()
        wait_until(lambda: _answers_without(service, killed))  # it may still be starting, and would die as well
        with refusing_connections(instance.database_url):
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda: len(instance.logged("process ended")) >= 2)
            assert service.call("GET", "/livez")[0] == 200
        # Only the process that was started again can answer.
        wait_until(lambda: _answers_without(service, kept))
        deaths = instance.logged("process ended")
        assert {each["child"] for each in deaths} == {"api 1"}
        assert deaths[1]["exit_code"] != 0


@pytest.mark.slow
def test_unusable_database_is_reported_once(tmp_path: Path) -> None:
    refused = Instance(tmp_path).run("serve", "--port", "0", check=False)
    assert refused.returncode == 1
    assert refused.stderr == "reckon: the database is empty: run `reckon migrate`\n"


def _answers_without(service: RunningService, pid: int) -> bool:
    """Whether another process than this one answers."""
    os.kill(pid, signal.SIGSTOP)
    try:
        return _answers(service)
    finally:
        os.kill(pid, signal.SIGCONT)


def _answers(service: RunningService) -> bool:
    try:
        return service.call("GET", "/livez")[0] == 200
    except OSError:
        return False


@pytest.mark.slow
def test_long_address(trained: Instance) -> None:
    """Also one that the parser of the server would refuse; the connection goes on."""
    with (
        trained.serving("--no-worker") as service,
        closing(http.client.HTTPConnection(service.address.removeprefix("http://"), timeout=30)) as connection,
    ):
        for n_bytes, status in ((50_000, 200), (61_000, 414), (65_536, 414), (2_000_000, 414), (100, 200)):
            path = "/users/ann/recommendations?exclude="
            connection.request("GET", path + "x" * (n_bytes - len(path)))
            answer = connection.getresponse()
            document = json.loads(answer.read())
            assert answer.status == status, n_bytes
            if status == 414:
                assert answer.getheader("content-type") == "application/problem+json"
                assert document["type"] == "urn:reckon:problem:address-too-long"
                assert "POST /recommendations" in document["detail"]


@pytest.mark.slow
def test_as_fast_as_plain_uvicorn(trained: Instance) -> None:
    """A response must not wait for the client's delayed ACK, however its server was started."""
    with trained.serving("--no-worker") as service, _plain_uvicorn(trained) as plain:
        # Each rates an item of its own: the same rating once more would be stored by neither.
        seconds = [_kept_alive_seconds(service.address, "i0"), _kept_alive_seconds(plain, "i1")]
        # In turns, so that other work on the machine slows both.
        rounds = [[next(each) for each in seconds] for _ in range(60)]
        for each in seconds:
            each.close()
    for method in ("GET", "POST"):
        ours, theirs = (statistics.median(each[n][method] for each in rounds) for n in range(2))
        assert ours <= 3 * theirs, method


@contextmanager
def _plain_uvicorn(instance: Instance) -> Iterator[str]:
    """The address of the same app on the same data, behind a socket that uvicorn itself opens."""
    port = str(free_port())
    options = ("--factory", "--port", port, "--loop", "uvloop", "--http", "httptools", "--log-level", "warning")
    process = instance.start("app.main:create_app", *options, module="uvicorn")
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(RunningService(address, process)))
        yield address
    finally:
        process.terminate()
        process.communicate(timeout=120)


def _kept_alive_seconds(address: str, item: str) -> Generator[dict[str, float], None, None]:
    """How long a list and a rating of `item` take, again and again, on one kept-alive connection."""
    with closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)) as connection:
        for n in itertools.count():
            user, seconds = f"u{n % 60}", {}
            rating = json.dumps({"user_id": user, "item_id": item, "value": 1 + n % 5})
            for method, path, body in (("GET", f"/users/{user}/recommendations", None), ("POST", "/ratings", rating)):
                since = time.perf_counter()
                connection.request(method, path, body, {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                seconds[method] = time.perf_counter() - since
                assert answer.status in {200, 201}
            yield seconds


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM])
def test_stop_signals(trained: Instance, number: signal.Signals) -> None:
    """None but SIGTERM waits for a balancer."""
    drain_seconds = "0" if number == signal.SIGTERM else "600"
    with replace(trained, settings={"RECKON_DRAIN_SECONDS": drain_seconds}).serving() as service:
        children = service.children()
        service.process.send_signal(number)
        assert service.process.wait(120) == 0
        assert not any(_lives(child) for child in children)


@pytest.mark.slow
def test_unready_before_the_end(trained: Instance) -> None:
    """SIGTERM: the probe of a balancer fails while requests over new connections are answered; a second signal ends."""
    with replace(trained, settings={"RECKON_DRAIN_SECONDS": "600"}).serving("--processes", "2") as service:
        assert service.call("GET", "/readyz")[0] == 200
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: service.call("GET", "/readyz")[0] == 503)
        for _ in range(10):  # of both processes
            status, problem = service.call("GET", "/readyz")
            assert (status, problem["detail"]) == (503, "the service is about to stop")
            assert service.call("GET", "/livez")[0] == 200
            assert len(service.items("u0")) == 20
        assert service.call("POST", "/ratings", {"user_id": "late", "item_id": "i0", "value": 5})[0] == 201
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0


@pytest.mark.slow
@on_sqlite
def test_children_end_with_a_killed_parent(instance: Instance) -> None:
    """They finish the requests in flight, and leave the port."""
    with instance.serving("--processes", "2") as service:
        children = service.children()
        host, port = service.address.removeprefix("http://").split(":")
        body = json.dumps({"user_id": "u", "item_id": "i", "value": 5}).encode()
        head = f"POST /ratings HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(head.encode())
            assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")  # the request is being worked on
            service.process.kill()
            wait_until(lambda: sum(_lives(child) for child in children) == 1)
            connection.sendall(body)
            assert connection.recv(1_000).startswith(b"HTTP/1.1 201 ")
        wait_until(lambda: not any(_lives(child) for child in children))
        wait_until(lambda: not _is_open(host, int(port)))  # a child is a zombie while its last thread still ends


def _is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=20).close()
    except ConnectionRefusedError:
        return False
    return True


def _lives(pid: int) -> bool:
    """A zombie does not: it waits for a parent to read its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_metrics_of_all_processes(service: RunningService) -> None:
    for _ in range(20):
        service.get("/livez")
    # A request is counted after its answer.
    wait_until(lambda: 'path="/livez",status="200"} 20.0' in service.get("/metrics"))
    assert "reckon_snapshot_age_seconds" in service.get("/metrics")


def test_processes_are_listed(service: RunningService) -> None:
    """Each within a second or two, with what all of them did."""

    def versions() -> dict[str, object]:
        return {each["name"]: each["snapshot_version"] for each in service.get("/processes")["processes"]}

    # A new snapshot reaches one after the other.
    wait_until(lambda: {"api 1", "api 2", "worker"} <= versions().keys() and versions()["api 1"] == versions()["api 2"])
    assert versions()["api 1"] is not None
    assert versions()["worker"] is None
    assert {each["is_alive"] for each in service.get("/processes")["processes"]} == {True}
    service.items("u1")
    wait_until(lambda: service.get("/processes")["activity"]["strategies"] != {})
    # The import of its data was another process.
    assert service.get("/arrivals")["totals"]["ratings"]["n"] == service.get("/counts")["ratings"] > 0
    assert service.get("/imports")["imports"][0]["state"] == "succeeded"


@pytest.mark.slow
def test_damaged_snapshot_is_not_served(trained: Instance) -> None:
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


@pytest.mark.slow
@on_sqlite
def test_address_of_others_needs_leave(instance: Instance) -> None:
    refused = instance.run("serve", "--host", "0.0.0.0", check=False)  # noqa: S104  that it is refused is the point
    assert refused.returncode == 1
    assert "--insecure" in refused.stderr
