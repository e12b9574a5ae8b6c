"""Objects in S3-compatible storage. The only home of obstore, which the extra `object-store` installs.

Every request has a time limit and is repeated a bounded number of times. Every error is one of ours, and says what an
operator can do about it.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from app.errors import InvalidInputError
from app.snapshots.errors import (
    ObjectChangedError,
    ObjectStorageDownError,
    ObjectStorageError,
    ObjectStorageRefusedError,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Opened

CONNECT_SECONDS = 3.0
N_RETRIES = 2
PART_BYTES = 16 << 20
PARTS_AT_ONCE = 4
CHUNK_BYTES = 8 << 20
MAX_SMALL_BYTES = 1 << 20

ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
OTHER_CREDENTIALS = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
)
"""Each of them says by itself where credentials come from, or that there are none. Without any of these variables,
obstore would ask the metadata service of a cloud, which takes long where there is none."""


class Limits(NamedTuple):
    """Seconds: for a whole request, for each read of its answer, and for all of its repetitions."""

    request: float
    read: float
    repeating: float


SMALL = Limits(request=10.0, read=10.0, repeating=10.0)
DOWNLOAD = Limits(request=3_600.0, read=20.0, repeating=30.0)
"""A whole object in one request: only the time without progress tells that it hangs."""
RANGE = Limits(request=120.0, read=20.0, repeating=30.0)
"""A part of an object, some MB."""
UPLOAD = Limits(request=120.0, read=120.0, repeating=60.0)
"""Each request sends `PART_BYTES` at most."""


class AlreadyThereError(Exception):
    """An object that was to be created, or replaced in a given state, has another state now."""


@dataclass(frozen=True, slots=True)
class Found:
    """`e_tag`: of the state that was read."""

    content: bytes
    e_tag: str


class ObjectState(NamedTuple):
    """`e_tag`: the entity tag; empty where the storage gives none."""

    size: int
    e_tag: str


@dataclass(frozen=True)
class ObjectStore:
    """The objects below `url`, by keys relative to it.

    `open`: makes the client with these time limits; at the first use, because a process may never need it.
    """

    url: str
    open: Callable[[Limits], "Opened"]
    _opened: dict[Limits, "Opened"] = field(default_factory=dict, compare=False)

    @classmethod
    def at(cls, url: str) -> "ObjectStore":
        """The storage at an `s3://bucket/prefix`, with the credentials and the endpoint of the standard variables."""
        return cls(url, lambda limits: open_s3(url, limits, os.environ))

    def check(self) -> None:
        """Raises `InvalidInputError` without obstore, and `ObjectStorageRefusedError` without credentials."""
        self._with(SMALL)

    def get(self, key: str) -> Found | None:
        """A small object; None if there is none. One that is too long is cut after `MAX_SMALL_BYTES` + 1."""
        obstore = _obstore()
        with self._told(f"read {key}"):
            try:
                answer = obstore.get(self._with(SMALL), key)
                content = b""
                for chunk in answer.stream(min_chunk_size=MAX_SMALL_BYTES + 1):
                    content += bytes(chunk)
                    if len(content) > MAX_SMALL_BYTES:
                        break
            except FileNotFoundError as error:
                _refuse_no_bucket(error)
                return None
            return Found(content[: MAX_SMALL_BYTES + 1], answer.meta["e_tag"] or "")

    def chunks(self, key: str) -> Iterator[memoryview] | None:
        """The content of a large object, in pieces; None if there is none."""
        obstore = _obstore()
        with self._told(f"read {key}"):
            try:
                answer = obstore.get(self._with(DOWNLOAD), key)
            except FileNotFoundError as error:
                _refuse_no_bucket(error)
                return None

        def pieces() -> Iterator[memoryview]:
            stream = iter(answer.stream(min_chunk_size=CHUNK_BYTES))
            while True:
                with self._told(f"read {key}"):
                    chunk = next(stream, None)
                if chunk is None:
                    return
                yield memoryview(chunk)

        return pieces()

    def read_range(self, key: str, state: ObjectState, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of an object that must still have the state `state`.

        Raises `ObjectChangedError` where it was removed or replaced.
        """
        obstore = _obstore()
        options: Any = {"range": (start, end), **({"if_match": state.e_tag} if state.e_tag else {})}
        what = None
        with self._told(f"read {key}"):
            try:
                return bytes(obstore.get(self._with(RANGE), key, options=options).bytes())
            except FileNotFoundError as error:
                _refuse_no_bucket(error)
                what = "removed"
            except obstore.exceptions.PreconditionError:
                what = "replaced"
        raise ObjectChangedError(
            f"{self.url}/{key} was {what} while it was read",
            "Train again when nothing writes there, or let writers add objects without changing those that are there.",
        )

    def state(self, key: str) -> ObjectState | None:
        """Of an object; None if there is none."""
        obstore = _obstore()
        with self._told(f"read {key}"):
            try:
                return _state(obstore.head(self._with(SMALL), key))
            except FileNotFoundError as error:
                _refuse_no_bucket(error)
                return None

    def put(self, key: str, content: bytes, *, replaces: str | None = None, is_new: bool = False) -> str:
        """Write a small object and return its entity tag.

        `replaces`: the entity tag of the object that it may replace. `is_new`: it must not exist yet. Raises
        `AlreadyThereError` where it has another state.
        """
        obstore = _obstore()
        mode: Any = {"e_tag": replaces} if replaces is not None else "create" if is_new else "overwrite"
        with self._told(f"write {key}"):
            try:
                return str(obstore.put(self._with(SMALL), key, content, mode=mode)["e_tag"])
            except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError) as error:
                raise AlreadyThereError from error
            except FileNotFoundError as error:
                _refuse_no_bucket(error)
                # Of one that was to be replaced.
                raise AlreadyThereError from error

    def upload(self, key: str, file: Path) -> None:
        """Write a large object, in parts."""
        obstore = _obstore()
        file.stat()  # an error of this file is none of the storage
        with self._told(f"write {key}"):
            obstore.put(self._with(UPLOAD), key, file, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Key -> size of all objects below the folder `prefix`."""
        return {key: state.size for key, state in self.states(prefix)}

    def states(self, prefix: str) -> Iterator[tuple[str, ObjectState]]:
        """The keys and states of all objects below the folder `prefix`; empty: of all objects."""
        obstore = _obstore()
        with self._told(f"list {prefix or 'objects'}"):
            for page in obstore.list(self._with(SMALL), prefix or None):
                yield from ((each["path"], _state(each)) for each in page)

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders in the folder `prefix`."""
        obstore = _obstore()
        with self._told(f"list {prefix}"):
            found = obstore.list_with_delimiter(self._with(SMALL), prefix)["common_prefixes"]
        return [each.rstrip("/").rpartition("/")[2] for each in found]

    def remove(self, keys: Collection[str]) -> None:
        """Remove objects; those that are gone are no error."""
        obstore = _obstore()
        if not keys:
            return
        with self._told("remove objects"):
            try:
                obstore.delete(self._with(SMALL), sorted(keys))
            except FileNotFoundError as error:
                _refuse_no_bucket(error)

    def _with(self, limits: Limits) -> "Opened":
        if limits not in self._opened:
            self._opened[limits] = self.open(limits)
        return self._opened[limits]

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Errors of the library as ours."""
        obstore = _obstore()
        try:
            yield
        except (obstore.exceptions.BaseError, FileNotFoundError) as error:
            raise explained(str(error), f"{self.url}: cannot {what}") from error


def _state(found: Any) -> ObjectState:
    return ObjectState(found["size"], found["e_tag"] or "")


def open_s3(url: str, limits: Limits, environment: Mapping[str, str]) -> "Opened":
    """Raises `ObjectStorageRefusedError` where `environment` names no credentials."""
    _obstore()
    from obstore.store import from_url  # noqa: PLC0415  as in `_obstore`

    check_credentials(url, environment)
    endpoint = next((text for name in ENDPOINT_VARIABLES if (text := environment.get(name))), "")
    options: Any = {
        # A plain endpoint is one that an operator has named.
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "timeout": timedelta(seconds=limits.request),
        "read_timeout": timedelta(seconds=limits.read),
    }
    again: Any = {
        "max_retries": N_RETRIES,
        "retry_timeout": timedelta(seconds=limits.repeating),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=1),
            "base": 2,
        },
    }
    return from_url(url, client_options=options, retry_config=again)


def check_credentials(url: str, environment: Mapping[str, str]) -> None:
    """Raises `ObjectStorageRefusedError` where `environment` names no credentials."""
    if all(environment.get(name) for name in KEY_VARIABLES) or any(environment.get(name) for name in OTHER_CREDENTIALS):
        return
    missing = " and ".join(name for name in KEY_VARIABLES if not environment.get(name))
    raise ObjectStorageRefusedError(
        f"{url}: there are no credentials: {missing} not set", "Set them in the environment of every process."
    )


_EXPLAINED: tuple[tuple[str, str, str], ...] = (
    (
        "NoSuchBucket",
        "there is no such bucket",
        "Make the bucket, or correct its name (RECKON_SNAPSHOT_URL, or --from).",
    ),
    (
        "InvalidAccessKeyId",
        "the access key is not known",
        "Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and look at the endpoint (AWS_ENDPOINT_URL).",
    ),
    (
        "SignatureDoesNotMatch",
        "the secret does not belong to the access key",
        "Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    ),
    ("ExpiredToken", "the credentials have expired", "Renew them (AWS_SESSION_TOKEN)."),
    (
        "RequestTimeTooSkewed",
        "the clock of this machine is too far from that of the storage",
        "Synchronise the clock of this machine.",
    ),
    (
        "PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException|Received redirect",
        "the bucket is in another region",
        "Correct AWS_REGION, or the endpoint (AWS_ENDPOINT_URL).",
    ),
    ("BadScheme", "the endpoint does not use HTTPS", "Name an http:// endpoint in AWS_ENDPOINT_URL if that is wanted."),
    (
        r"AccessDenied|PermissionDenied|status code: 40[13]",
        "permission denied",
        (
            "Allow s3:ListBucket on the bucket, and s3:GetObject, and for what publishes also s3:PutObject and"
            " s3:DeleteObject, on its objects."
        ),
    ),
    (
        r"status code: 4\d\d|MissingEtag|Metadata \{",
        "what answers is no S3-compatible storage, or does not know the request",
        "Look at the endpoint (AWS_ENDPOINT_URL).",
    ),
)
"""What is found in the text of an error, what it means, and what to do about it; the first that fits. obstore has no
classes for most of these."""


def explained(text: str, what: str) -> ObjectStorageError:
    """Our error for the text of one of obstore. `what`: what could not be done."""
    # 429 and 5xx end by themselves.
    if not re.search(r"status code: (429|5\d\d)", text):
        for pattern, meaning, advice in _EXPLAINED:
            if re.search(pattern, text):
                # AWS names the region in which the bucket is.
                region = re.search(r"expecting '([a-z0-9-]+)'", text)
                where = f" (expected {region[1]})" if region else ""
                return ObjectStorageRefusedError(f"{what}: {meaning}{where}", advice)
    status = re.search(r"status code: (\d+)", text)
    why = f"it answers {status[1]}" if status else "it does not answer"
    return ObjectStorageDownError(
        f"{what}: {why}", "Look at the storage and the network; what needs it tries again by itself."
    )


def _refuse_no_bucket(error: FileNotFoundError) -> None:
    """A missing bucket looks like a missing object. Raises the error again, which then is explained."""
    if "NoSuchBucket" in str(error):
        raise error


def _obstore() -> Any:
    """Imported at the first use, since it is an extra, and starts threads of its own."""
    try:
        import obstore  # noqa: PLC0415  see above
        import obstore.exceptions  # noqa: PLC0415
    except ImportError as error:
        raise InvalidInputError(
            "object storage needs obstore: pip install 'reckon[object-store]', or name no address that begins with s3://"
        ) from error
    return obstore
