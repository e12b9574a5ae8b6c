"""A page in a visitor's browser sends what browsers let it send to a service that the browser reaches."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.store import migrate
from faults.trial import Figure, Trial
from tests.support.service import Instance

SHOP = "https://shop.example.com"
EVIL = "https://evil.example"
JSON = {"content-type": "application/json"}

Ask = Callable[[str, str, Mapping[str, str]], int]
"""Sends an empty body, or `{}` where the content type is JSON; returns the status."""

PAGES: dict[str, tuple[Mapping[str, str], int]] = {
    "another site": (JSON | {"origin": EVIL, "sec-fetch-site": "cross-site"}, 403),
    "another site, old browser": (JSON | {"origin": EVIL}, 403),
    "another port": (JSON | {"origin": "http://localhost:3000", "sec-fetch-site": "same-site"}, 403),
    "a sandboxed frame": (JSON | {"origin": "null", "sec-fetch-site": "cross-site"}, 403),
    "a form": ({"content-type": "application/x-www-form-urlencoded", "origin": EVIL}, 403),
    "a form without an origin": ({"content-type": "application/x-www-form-urlencoded"}, 415),
    "plain text without an origin": ({"content-type": "text/plain"}, 415),
    "an upload without an origin": ({"content-type": "multipart/form-data; boundary=x"}, 415),
    "a page whose name leads here": (JSON | {"host": "evil.example", "origin": "http://evil.example"}, 421),
    "such a page, as of the same origin": (JSON | {"host": "evil.example", "sec-fetch-site": "same-origin"}, 421),
    "a name that looks like ours": (JSON | {"host": "localhost.evil.example:8000"}, 421),
}
"""Who asks -> the headers of the request, and the status of its refusal."""

ALLOWED: dict[str, Mapping[str, str]] = {
    "no page": JSON,
    "an allowed origin": JSON | {"origin": SHOP, "sec-fetch-site": "cross-site"},
    "the documentation": JSON | {"host": "localhost:8000", "origin": "http://localhost:8000"},
}


def run(trial: Trial) -> Iterator[Figure]:
    with _service(trial) as (ask, document):
        operations = [
            (method.upper(), re.sub(r"{version}", "1", path).replace("{", "").replace("}", ""))
            for path, methods in document["paths"].items()
            for method in methods
            if method != "get"
        ]
        if trial.size == "test":
            operations = trial.choose.sample(operations, 6)
        accepted = [
            f"{method} {path} of {page}"
            for page, (headers, status) in PAGES.items()
            for method, path in operations
            if ask(method, path, headers) != status
        ]
        n_asked = len(PAGES) * len(operations)
        seen = f"{n_asked - len(accepted)} of {n_asked} {accepted[:3] or ''}"
        yield Figure("changes requested by foreign pages, refused", "all", seen, is_reached=not accepted)
        refused = [
            f"{method} {path} of {page}"
            for page, headers in ALLOWED.items()
            for method, path in operations
            if ask(method, path, headers) in {403, 415, 421}
        ]
        n_asked = len(ALLOWED) * len(operations)
        seen = f"{len(refused)} of {n_asked} {refused[:3] or ''}"
        yield Figure("changes requested by allowed pages, refused", "0", seen, is_reached=not refused)


@contextmanager
def _service(trial: Trial) -> Iterator[tuple[Ask, dict[str, Any]]]:
    folder = trial.fresh_folder("data")
    if trial.size == "test":
        migrate("", folder)
        with TestClient(
            create_app(Settings(data_dir=folder, cors_origins=SHOP)), base_url="http://localhost"
        ) as client:

            def ask_in_process(method: str, path: str, headers: Mapping[str, str]) -> int:
                return client.request(method, path, headers=headers, content=_content(headers)).status_code

            yield ask_in_process, client.get("/openapi.json").json()
        return
    instance = Instance(folder, settings={"RECKON_CORS_ORIGINS": SHOP})
    instance.run("migrate")
    with instance.serving("--no-worker") as service:

        def ask(method: str, path: str, headers: Mapping[str, str]) -> int:
            request = urllib.request.Request(service.address + path, _content(headers), dict(headers), method=method)
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code

        yield ask, service.get("/openapi.json")


def _content(headers: Mapping[str, str]) -> bytes:
    return json.dumps({}).encode() if headers["content-type"] == JSON["content-type"] else b"a=1"
