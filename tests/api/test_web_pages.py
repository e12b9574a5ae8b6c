"""What a page in a visitor's browser can do with a service that the browser reaches."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from app.api.docs import STATIC
from app.main import create_app
from app.settings import Settings
from app.store import migrate

SHOP = "https://shop.example.com"
PAGE = "https://evil.example"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("service")
    migrate("", folder)
    settings = Settings(data_dir=folder, cors_origins=SHOP, allowed_hosts="reckon.example.com, .Internal.example.com")
    with TestClient(create_app(settings), base_url="http://localhost:8000") as client:
        yield client


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:80", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "[::1]", "10.0.0.7", "api:8000"),
        *("a.localhost", "reckon.example.com", "Reckon.Example.com:443", "a.internal.example.com", "[fe80::1%25eth0]"),
    ],
)
def test_own_host(service: TestClient, host: str) -> None:
    for method in ("GET", "DELETE"):
        assert service.request(method, "/items/x", headers={"host": host}).status_code in {404, 204}


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
        ),
        *(
            "evil.example/localhost",
            "evil.example#localhost",
            "",
            ":8000",
            "localhost:port",
            "example.com",
            "x.example.com",
        ),
        *(
            "xreckon.example.com",
            "internal.example.com.evil",
            "127.0.0.1.",
            "0x7f.1",
            "evil.example, localhost",
            "[::1",
        ),
    ],
)
def test_foreign_host(service: TestClient, host: str) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE"):
        answer = service.request(method, "/livez", headers={"host": host})
        assert answer.status_code == 421
        assert method == "HEAD" or answer.json()["type"] == "urn:reckon:problem:host-not-allowed"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_several_hosts(service: TestClient) -> None:
    assert service.get("/livez", headers=[("host", "localhost"), ("host", "localhost")]).status_code == 421


def test_many_hosts(service: TestClient) -> None:
    """The names remembered are few, however many there are."""
    for number in range(300):
        assert service.get("/livez", headers={"host": f"name-{number}"}).status_code == 200


def test_any_host(tmp_path: Path) -> None:
    migrate("", tmp_path)
    with TestClient(create_app(Settings(data_dir=tmp_path, allowed_hosts="*"))) as client:
        assert client.get("/livez", headers={"host": "evil.example"}).status_code == 200


@pytest.mark.parametrize(
    "hosts", ["http://a.example.com", "a.example.com:80", "*.example.com", "a.example.com/", "a..b"]
)
def test_bad_setting(hosts: str) -> None:
    with pytest.raises(ValidationError, match="not the name of a host"):
        Settings(allowed_hosts=hosts)


CROSS_SITE = [
    {"origin": PAGE, "sec-fetch-site": "cross-site"},
    {"origin": PAGE},
    {"origin": "null"},
    {"origin": "null", "sec-fetch-site": "cross-site"},
    {"origin": "http://localhost:3000", "sec-fetch-site": "same-site"},
    {"origin": "http://localhost:3000"},
    {"origin": "http://shop.example.com"},
    {"origin": f"{SHOP}.evil.example"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "none, cross-site"},
]
OWN_OR_ALLOWED = [
    {},
    {"origin": SHOP, "sec-fetch-site": "cross-site"},
    {"origin": SHOP.upper()},
    {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"},
    {"origin": "http://localhost:8000"},
    {"origin": "https://localhost:8000"},
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
]


def changes(service: TestClient) -> list[tuple[str, str]]:
    """Every operation that is not a GET."""
    paths = service.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), re.sub(r"{version}", "1", path).replace("{", "").replace("}", ""))
        for path, operations in paths.items()
        for method in operations
        if method != "get"
    ]


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_cross_site(service: TestClient, headers: dict[str, str]) -> None:
    for method, path in changes(service):
        answer = service.request(method, path, headers=JSON | headers)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:reckon:problem:cross-site-request")
        assert "access-control-allow-origin" not in answer.headers
    assert service.get("/livez", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", OWN_OR_ALLOWED)
def test_own_or_allowed(service: TestClient, headers: dict[str, str]) -> None:
    for method, path in changes(service):
        assert service.request(method, path, headers=JSON | headers).status_code not in {403, 415, 421}


def test_any_origin(tmp_path: Path) -> None:
    migrate("", tmp_path)
    with TestClient(create_app(Settings(data_dir=tmp_path, cors_origins="*"))) as client:
        assert client.delete("/items/x", headers={"origin": PAGE, "sec-fetch-site": "cross-site"}).status_code == 204


def test_headers_of_answers(service: TestClient) -> None:
    for path in ("/livez", "/items/none", "/nothing", "/docs", "/static/docs.js", "/items?unknown=1"):
        got = service.get(path).headers
        assert (got["x-content-type-options"], got["referrer-policy"]) == ("nosniff", "no-referrer")


def test_docs(service: TestClient) -> None:
    """The page holds no script or style of its own, and all that it names is there."""
    page = service.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-frame-options"] == "DENY"
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) == 4
    assert [service.get(path).status_code for path in named] == [200] * 4
    assert re.findall(r"<script>|<style|style=|\son\w+=|javascript:", page.text) == []
    assert service.get(re.findall(r'url: "([^"]+)"', (STATIC / "docs.js").read_text())[0]).status_code == 200


@pytest.mark.parametrize(
    "path", ["/items/", "/items//", "//evil.example/nope", "/ratings/", "/docs/", "/static", "/static/"]
)
def test_no_redirect(service: TestClient, path: str) -> None:
    """None is built from the host that the request names, or from a path that looks like a host."""
    answer = service.get(path, follow_redirects=False)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "location" not in answer.headers
