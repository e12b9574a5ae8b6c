"""S3-compatible storage: in memory for units, and a real server process that enforces permissions."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from app.snapshots.bucket import SnapshotBucket
from app.snapshots.object_store import ObjectStore
from tests.support.service import free_port, wait_until

needs_s3 = pytest.mark.skipif(find_spec("moto") is None, reason="moto is not installed: pip install 'moto[server]'")

BUCKET = "reckon-test"
N_SETUP_CALLS = 4
"""After so many requests the server refuses what the policy of the caller does not allow."""

READ = ("s3:ListBucket", "s3:GetObject")
WRITE = ("s3:PutObject", "s3:DeleteObject")


def memory_bucket() -> SnapshotBucket:
    """A bucket of this process, which honours conditions as S3 does."""
    from obstore.store import MemoryStore  # noqa: PLC0415  an extra

    memory = MemoryStore()
    return SnapshotBucket(ObjectStore("memory:///", lambda _limits: memory))


@dataclass
class Forwarder:
    """What stands between Reckon and the storage. `is_down`: it closes all connections, and takes no new ones.

    `is_silent`: it takes new ones, and passes nothing on.
    """

    target: int
    is_down: bool = False
    is_silent: bool = False
    n_opened: int = 0
    _open: set[socket.socket] = field(default_factory=set)
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=128))

    def __post_init__(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def go_down(self) -> None:
        self.is_down = True
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def fall_silent(self) -> None:
        self.go_down()
        self.is_down, self.is_silent = False, True

    def come_up(self) -> None:
        self.is_down = self.is_silent = False

    def close(self) -> None:
        self.go_down()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.n_opened += 1
            if self.is_down:
                client.close()
                continue
            if self.is_silent:
                self._open.add(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for here, there in ((client, server), (server, client)):
                self._open.add(here)
                threading.Thread(target=self._pass_on, args=(here, there), daemon=True).start()

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(1 << 18):
                there.sendall(data)
        with suppress(OSError):
            there.shutdown(socket.SHUT_RDWR)
        self._open.discard(here)
        here.close()


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server process, and the keys of two users: one may do everything, one may only read."""

    port: int
    full: Mapping[str, str]
    forwarder: Forwarder

    def environment(self, prefix: str, **changed: str) -> dict[str, str]:
        """The variables of a service whose snapshots are below `prefix`."""
        return {
            "AWS_ENDPOINT_URL": self.forwarder.endpoint,
            "AWS_REGION": "us-east-1",
            "RECKON_SNAPSHOT_URL": f"s3://{BUCKET}/{prefix}",
            **self.full,
            **changed,
        }

    def client(self) -> Any:
        """As an operator uses it, past the forwarder."""
        return _client("s3", self.port, self.full)

    def keys(self, prefix: str) -> list[str]:
        listed = self.client().list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/")
        return [each["Key"].removeprefix(f"{prefix}/") for each in listed.get("Contents", ())]

    def read(self, key: str) -> bytes:
        content: bytes = self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        self.client().put_object(Bucket=BUCKET, Key=key, Body=content)


def _client(service: str, port: int, keys: Mapping[str, str]) -> Any:
    # It comes with moto, and has no types.
    return import_module("boto3").client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )


def _is_listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextmanager
def s3_server(folder: Path, *, actions: tuple[str, ...] = READ + WRITE) -> Iterator[S3Server]:
    """A server with a bucket, and a user who may do these actions in it and nothing else."""
    port = free_port()
    environment = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(N_SETUP_CALLS)}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "s3.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: _is_listening(port), 60)
        anyone = {"AWS_ACCESS_KEY_ID": "setup", "AWS_SECRET_ACCESS_KEY": "setup"}
        iam = _client("iam", port, anyone)
        _client("s3", port, anyone).create_bucket(Bucket=BUCKET)
        iam.create_user(UserName="reckon")
        made = iam.create_access_key(UserName="reckon")["AccessKey"]
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": f"arn:aws:s3:::{BUCKET}*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="reckon", PolicyName="reckon", PolicyDocument=policy)
        keys = {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}
        forwarder = Forwarder(port)
        try:
            yield S3Server(port, keys, forwarder)
        finally:
            forwarder.close()
    finally:
        process.terminate()
        process.wait(30)
