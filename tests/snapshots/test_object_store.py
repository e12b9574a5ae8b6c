"""What is said of errors of the storage, and what is asked of it without credentials: nothing."""

import pytest

from app.snapshots.errors import ObjectStorageDownError, ObjectStorageError, ObjectStorageRefusedError
from app.snapshots.object_store import SMALL, ObjectStore, check_credentials, explained, open_s3
from tests.support.scripted_server import Reply, scripted

URL = "s3://bucket/prefix"
KEYS = {"AWS_ACCESS_KEY_ID": "an-id", "AWS_SECRET_ACCESS_KEY": "a-key"}
XML = "Server returned non-2xx status code: {}: <Error><Code>{}</Code></Error>"


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set"),
        ({"AWS_ACCESS_KEY_ID": "x"}, "AWS_SECRET_ACCESS_KEY not set"),
        ({"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY not set"),
    ],
)
def test_no_credentials(environment: dict[str, str], missing: str) -> None:
    with pytest.raises(ObjectStorageRefusedError, match=missing):
        check_credentials(URL, environment)


@pytest.mark.parametrize("name", ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"])
def test_other_credentials(name: str) -> None:
    check_credentials(URL, {name: "x"})


def test_without_credentials_no_client_is_made() -> None:
    """It would ask the metadata service of a cloud, which takes a while where there is none."""
    store = ObjectStore(URL, lambda limits: open_s3(URL, limits, {}))
    with pytest.raises(ObjectStorageRefusedError):
        store.check()
    with pytest.raises(ObjectStorageRefusedError):
        store.get("live.json")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (XML.format("404 Not Found", "NoSuchBucket"), "no such bucket"),
        (XML.format("403 Forbidden", "AccessDenied"), "permission denied"),
        ("DeleteObjects request failed for key a: Access Denied (code: AccessDenied)", "permission denied"),
        (XML.format("403 Forbidden", "InvalidAccessKeyId"), "access key is not known"),
        (XML.format("403 Forbidden", "SignatureDoesNotMatch"), "secret"),
        (XML.format("403 Forbidden", "RequestTimeTooSkewed"), "clock of this machine"),
        ("Received redirect without LOCATION, this normally indicates an incorrectly configured region", "region"),
        (
            XML.format("400 Bad Request", "AuthorizationHeaderMalformed") + "wrong; expecting 'eu-west-1'",
            r"another region \(expected eu-west-1\)",
        ),
        (XML.format("405 Method Not Allowed", "x"), "no S3-compatible storage"),
        ("Generic S3 error: ETag Header missing from response MissingEtag", "no S3-compatible storage"),
    ],
)
def test_refusals_are_explained(text: str, meaning: str) -> None:
    error = explained(text, "cannot read live.json")
    assert isinstance(error, ObjectStorageRefusedError)
    assert error.advice
    with pytest.raises(ObjectStorageError, match=meaning):
        raise error


@pytest.mark.parametrize(
    "text",
    [
        XML.format("503 Service Unavailable", "SlowDown"),
        XML.format("500 Internal Server Error", "AccessDenied"),
        "HTTP error: error sending request",
        "HTTP error: operation timed out",
    ],
)
def test_outages_are_no_refusals(text: str) -> None:
    assert isinstance(explained(text, "cannot read live.json"), ObjectStorageDownError)


@pytest.mark.parametrize(
    ("reply", "kind", "meaning"),
    [
        (Reply(301, "<Error><Code>PermanentRedirect</Code></Error>", {}), ObjectStorageRefusedError, "another region"),
        (Reply(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", {}), ObjectStorageRefusedError, "clock"),
        (Reply(503, "<Error><Code>SlowDown</Code></Error>", {}), ObjectStorageDownError, "it answers 503"),
    ],
)
def test_answers_of_a_server(reply: Reply, kind: type[ObjectStorageError], meaning: str) -> None:
    with scripted(reply) as server:
        store = ObjectStore(URL, lambda limits: open_s3(URL, limits, KEYS | {"AWS_ENDPOINT_URL": server.address}))
        # The endpoint of the environment is read by the library.
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**KEYS, "AWS_ENDPOINT_URL": server.address}.items():
                patch.setenv(name, value)
            with pytest.raises(kind, match=meaning):
                store.get("live.json")
        assert len(server.asked) <= 3  # bounded


def test_plain_http_is_for_endpoints_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(Reply()) as server:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": server.address}.items():
            monkeypatch.setenv(name, value)
        store = ObjectStore(URL, lambda limits: open_s3(URL, limits, KEYS))  # as if https:// were named
        with pytest.raises(ObjectStorageRefusedError, match="HTTPS"):
            store.get("live.json")
        assert server.asked == []


def test_a_client_is_made_once_for_each_limit() -> None:
    made = []
    store = ObjectStore(URL, lambda limits: made.append(limits) or open_s3(URL, limits, KEYS))  # type: ignore[func-returns-value]
    store.check()
    store.check()
    assert made == [SMALL]
