"""What a body may be before it is parsed."""

import json
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from app.intake.json_limits import MAX_CONTAINERS, MAX_DEPTH, MAX_KEYS, MAX_VALUES, JsonTooComplexError, check_json

JSON = {"content-type": "application/json"}

LIMITS: list[tuple[Callable[[int], bytes], int, str]] = [
    (lambda n: b"[" * n, MAX_DEPTH, "nested at most 32 deep"),
    (lambda n: b'{"a":' * n, MAX_DEPTH, "nested at most 32 deep"),
    (lambda n: b'[{},"' + b"}" * 40 + b'"' + b",[{" * ((n - 1) // 2) + b"[" * ((n - 1) % 2), MAX_DEPTH, "nested"),
    (lambda n: b"{" + b",".join(b'"%d":[]' % key for key in range(n)) + b"}", MAX_KEYS, "at most 256 fields"),
    (lambda n: b'[{"a":{}},{' + b'"":1,' * n, MAX_KEYS, "at most 256 fields"),
    (lambda n: b'{"":{' + b'"":0,' * (n - 1) + b'"":[{"":1}]},' + b'"":0,' * (n - 1), MAX_KEYS, "fields"),
    (lambda n: b"[" + b"[]," * (n - 1), MAX_CONTAINERS, "at most 30,000 objects"),
    (lambda n: b"[" + b"1," * n, MAX_VALUES, "at most 70,000 values"),
]


@pytest.mark.parametrize(("body", "limit", "problem"), LIMITS)
def test_limit(body: Callable[[int], bytes], limit: int, problem: str) -> None:
    check_json(body(limit))
    with pytest.raises(JsonTooComplexError, match=problem):
        check_json(body(limit + 1))


def test_strings_do_not_count() -> None:
    check_json(json.dumps([['[{"\\' * 1_000, ":" * 1_000, "\\"], "\\\\", ",", '"' * 999, "[" * 100]).encode())


values = st.recursive(
    st.none() | st.text(alphabet='{}[]:,"\\a\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='[{":\\'), inner),
    max_leaves=20,
)


@given(values)
def test_any_json(value: object) -> None:
    """However it looks, a small body passes, also behind so many brackets in a string that it is looked at."""
    check_json(json.dumps(["[" * 100, value]).encode())


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/training-jobs"), ("PUT", "/placements/home"), ("PATCH", "/items/x")]
)
def test_nested_body(client: TestClient, method: str, path: str) -> None:
    """A recipe, a placement and attributes, which hold free JSON."""
    for depth in (30, 900, 300_000):
        body = b'{"recipe":' + b"[" * depth + b"]" * depth + b"}"
        answer = client.request(method, path, content=body, headers=JSON)
        is_deep = depth > MAX_DEPTH
        assert answer.status_code == (400 if is_deep else 422)
        assert answer.json()["type"].endswith("json-too-complex" if is_deep else "invalid-input")


def test_many_unknown_fields(client: TestClient) -> None:
    """One error, for the first object, however many fields it has."""
    unknown = {f"field-{number}": 1 for number in range(200)}
    answer = client.post("/recommendations", json={"ratings": [unknown, unknown]})
    assert [each["field"] for each in answer.json()["errors"]] == ["body.ratings.0"]
    assert answer.json()["errors"][0]["detail"] == "200 fields are given, and there are 2"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "text/json", "json"])
def test_not_json(client: TestClient, content_type: str | None) -> None:
    """Also where the body is empty, and where no body is expected but a page says that it sends one."""
    headers = {} if content_type is None else {"content-type": content_type}
    for method, path in (("POST", "/training-jobs"), ("PUT", "/items/x"), ("POST", "/ratings")):
        answer = client.request(method, path, headers=headers, content=b"")
        assert (answer.status_code, answer.json()["type"]) == (415, "urn:reckon:problem:not-json")
    if content_type is not None:
        assert client.post("/users/ann/merge/bob", headers=headers).status_code == 415
    assert client.get("/training-jobs/latest").status_code == 404


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/a.b+json"]
)
def test_json(client: TestClient, content_type: str) -> None:
    assert client.put("/items/x", content=b"{}", headers={"content-type": content_type}).status_code == 201


@pytest.mark.parametrize(
    ("header", "status"), [(("content-encoding", "gzip"), 415), (("transfer-encoding", "gzip, chunked"), 501)]
)
def test_encoded_body(client: TestClient, header: tuple[str, str], status: int) -> None:
    answer = client.post("/ratings", content=b"\x1f\x8b", headers=dict([header, *JSON.items()]))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
