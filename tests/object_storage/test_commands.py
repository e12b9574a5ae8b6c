"""`reckon doctor`, `reckon snapshots upload` and `reckon serve` with object storage."""

import json
import shutil
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.cli.api_process import FINISH_SECONDS
from app.snapshots.object_store import KEY_VARIABLES
from tests.object_storage.test_serving import learned, opened
from tests.support.object_storage import READ, S3Server, s3_server
from tests.support.service import Instance, wait_until

__all__ = ["learned"]

SECRET = KEY_VARIABLES[1]


def instance(folder: Path, server: S3Server, prefix: str, **changed: str) -> Instance:
    return Instance(folder, settings=server.environment(prefix, **changed))


def finding(of: Instance) -> dict[str, Any]:
    found = json.loads(of.run("doctor", "--json", check=False).stdout)
    return next(dict(each) for each in found if each["check"] == "object storage")


def test_upload_and_doctor(learned: Path, folder: Path, storage: S3Server, prefix: str) -> None:
    shutil.copytree(learned, folder)
    service = instance(folder, storage, prefix)
    before = finding(service)
    assert before["state"] == "problem"
    assert "does not have the live snapshot 2" in before["detail"]
    assert "reckon snapshots upload" in before["advice"]
    done = service.run("snapshots", "upload")
    assert done.stdout.splitlines() == ["snapshot 1 is uploaded", "snapshot 2 is uploaded"]
    assert service.run("snapshots", "upload").stdout.strip() == "all snapshots are there"
    assert json.loads(storage.read(f"{prefix}/live.json"))["version"] == 2
    assert finding(service)["state"] == "ok"
    assert not [key for key in storage.keys(prefix) if key.startswith("checks/")]


def test_doctor_names_what_is_wrong(
    learned: Path, folder: Path, storage: S3Server, prefix: str, tmp_path: Path
) -> None:
    shutil.copytree(learned, folder)
    secret = finding(instance(folder, storage, prefix, **{SECRET: "wrong"}))
    assert (secret["state"], "secret does not belong" in secret["detail"]) == ("problem", True)
    none = finding(instance(folder, storage, prefix, AWS_ACCESS_KEY_ID=""))
    assert "there are no credentials" in none["detail"]
    storage.forwarder.go_down()
    assert "it does not answer" in finding(instance(folder, storage, prefix))["detail"]
    storage.forwarder.come_up()
    storage.write(f"{prefix}/live.json", b'{"database_id": "another"}')
    foreign = finding(instance(folder, storage, prefix))
    with opened(folder) as store:
        assert f"database another, and this is {store.instance.database_id}" in foreign["detail"]
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3", actions=READ) as read_only:
        found = finding(instance(folder, read_only, "p"))
        assert found["state"] == "warning"
        assert "can be read and not written" in found["detail"]
        assert "s3:PutObject" in found["advice"]


def test_nothing_starts_without_credentials(folder: Path, storage: S3Server, prefix: str) -> None:
    service = instance(folder, storage, prefix, AWS_ACCESS_KEY_ID="", **{SECRET: ""})
    service.run("migrate")
    for command in (("serve", "--port", "0"), ("worker",)):
        done = service.run(*command, check=False, timeout_seconds=60)
        assert done.returncode == 1
        assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set" in done.stderr


@pytest.mark.parametrize("url", ["http://bucket/x", "s3://", "s3://UPPER/x", "s3://bucket//x", "s3://id:key@bucket/x"])
def test_urls_that_are_refused(folder: Path, url: str) -> None:
    done = Instance(folder, settings={"RECKON_SNAPSHOT_URL": url}).run("doctor", check=False)
    assert done.returncode != 0
    assert "RECKON_SNAPSHOT_URL" in done.stderr


def test_stops_while_a_request_waits_for_a_download(
    learned: Path, folder: Path, storage: S3Server, prefix: str
) -> None:
    """The request is answered, and the storage, which does not answer, is not waited for."""
    shutil.copytree(learned, folder)
    service = instance(folder, storage, prefix)
    service.run("snapshots", "upload")
    with service.serving("--no-worker") as running, ThreadPoolExecutor() as pool:
        wait_until(lambda: running.call("GET", "/readyz")[0] == 200)
        storage.forwarder.fall_silent()
        shutil.rmtree(folder / "snapshots/000001")
        n_opened = storage.forwarder.n_opened
        request = urllib.request.Request(f"{running.address}/snapshots/1/activate", method="POST")
        waiting = pool.submit(urllib.request.urlopen, request, timeout=20)
        wait_until(lambda: storage.forwarder.n_opened > n_opened)
        stopped_at = time.monotonic()
        running.process.terminate()
        with pytest.raises(urllib.error.HTTPError) as refused:
            waiting.result()
        assert (refused.value.code, refused.value.headers["retry-after"]) == (503, "1")
        assert "this process stops" in json.loads(refused.value.read())["detail"]
        running.process.wait(60)
        assert time.monotonic() - stopped_at < FINISH_SECONDS
