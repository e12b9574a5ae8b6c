"""Which pages may call the API from a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from app.main import create_app
from app.settings import Settings
from app.store import migrate

SHOP = "https://shop.example.com"


@contextmanager
def opened(folder: Path, origins: str) -> Iterator[TestClient]:
    migrate("", folder)
    with TestClient(create_app(Settings(data_dir=folder, cors_origins=origins))) as client:
        yield client


@pytest.mark.parametrize("origins", [SHOP, f"http://localhost:3000, {SHOP.upper()}", "*"])
def test_allowed(tmp_path: Path, origins: str) -> None:
    with opened(tmp_path, origins) as client:
        got = client.get("/users/ann/recommendations", headers={"origin": SHOP})
        assert got.headers["access-control-allow-origin"] == ("*" if origins == "*" else SHOP)
        exposed = {each.strip().lower() for each in got.headers["access-control-expose-headers"].split(",")}
        assert {"etag", "idempotency-replayed", "retry-after", "x-request-id"} <= exposed
        assert "access-control-allow-credentials" not in got.headers
        # The page must be able to read what is wrong, too.
        refused = client.get("/items/none", headers={"origin": SHOP})
        assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (404, True)
        for method in ("PUT", "PATCH", "DELETE"):
            asked = {"origin": SHOP, "access-control-request-method": method}
            asked["access-control-request-headers"] = "content-type, if-none-match"
            preflight = client.options("/items/x", headers=asked)
            assert preflight.status_code == 200
            assert method in preflight.headers["access-control-allow-methods"]
            assert "content-type" in preflight.headers["access-control-allow-headers"].lower()
            assert "access-control-allow-credentials" not in preflight.headers


@pytest.mark.parametrize("origins", ["", "http://shop.example.com", "https://shop.example.com:8443"])
def test_others_are_not(tmp_path: Path, origins: str) -> None:
    with opened(tmp_path, origins) as client:
        asked = {"origin": SHOP, "access-control-request-method": "PUT"}
        for answer in (client.get("/livez", headers={"origin": SHOP}), client.options("/items/x", headers=asked)):
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origins", ["shop.example.com", f"{SHOP}/", f"{SHOP}/cart", f"*,{SHOP}", "https://*.a.com", "null"]
)
def test_bad_setting(origins: str) -> None:
    with pytest.raises(ValidationError):
        Settings(cors_origins=origins)
