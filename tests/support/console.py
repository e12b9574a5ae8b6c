"""The console as a browser without JavaScript uses it."""

import re
import time
from html import unescape
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

FORM_TOKEN = re.compile(r'<meta name="form-token" content="([^"]*)">')

BEING_MADE = 'hx-trigger="load delay'
"""Of a page in the place of one that is being made, which asks for it again."""

N_ASKED = 1_000


class Console:
    """Keeps the session cookie, and sends the token of the session with every form."""

    def __init__(self, app: FastAPI) -> None:
        self.client = TestClient(
            app, base_url="http://localhost", follow_redirects=False, raise_server_exceptions=False
        )

    def get(self, path: str, **options: Any) -> Response:
        return self.client.get(path, **options)

    def page(self, path: str) -> str:
        """The HTML of a page that must exist, once it is made (see `app.console.prepared`)."""
        for _ in range(N_ASKED):
            got = self.client.get(path)
            assert got.status_code == 200, (path, got.status_code, text_of(got.text)[:500])
            if BEING_MADE not in got.text:
                return got.text
            time.sleep(0.02)
        raise AssertionError(f"{path} was never made")

    def text(self, path: str) -> str:
        """What a reader sees of the page, with single blanks between words."""
        return text_of(self.page(path))

    def token(self) -> str:
        found = FORM_TOKEN.search(self.client.get("/console/login", follow_redirects=True).text)
        assert found is not None
        return found[1]

    def post(self, path: str, fields: dict[str, Any] | None = None, **options: Any) -> Response:
        """Send a form; lists are fields that are given several times."""
        return self.client.post(path, data={"form_token": self.token(), **(fields or {})}, **options)

    def done(self, path: str, fields: dict[str, Any] | None = None, **options: Any) -> str:
        """Send a form that must succeed; the address of the page that is shown then."""
        got = self.post(path, fields, **options)
        assert got.status_code == 303, (path, got.status_code, text_of(got.text)[:500])
        return got.headers["location"]

    def log_in(self, key: str) -> Response:
        return self.post("/console/login", {"key": key})


def text_of(html: str) -> str:
    without_scripts = re.sub(r"<(script|style|head)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", without_scripts)).split())
