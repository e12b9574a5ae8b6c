"""Work that goes on after its request keeps the catalogue of its tenant open: here one can be open at a time."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.console import data_quality, prepared
from app.console.data_quality import DataQualityView
from app.settings import Settings
from app.wiring import Service
from tests.support.console import BEING_MADE, Console
from tests.support.keys import GuardedApp, bearer
from tests.support.service import wait_until

QUALITY = "/console/data/quality"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedApp]:
    opened = GuardedApp(Settings(data_dir=tmp_path))
    for name in ("cinema", "news"):
        opened.tenant(name)
    opened.app.state.tenants.most_open = 1
    yield opened
    opened.close()


@pytest.fixture
def cinema(guarded: GuardedApp) -> Iterator[Console]:
    opened = Console(guarded.app)
    with opened.client:
        opened.log_in(guarded.key("admin", tenant="cinema"))
        yield opened


@pytest.fixture
def news(guarded: GuardedApp) -> dict[str, str]:
    """The headers of requests for the other tenant."""
    return bearer(guarded.key("console", tenant="news"))


def test_view_holds_the_lease(
    guarded: GuardedApp, cinema: Console, news: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    real = data_quality.data_quality_view

    def slow(service: Service) -> DataQualityView:
        begun.set()
        may_end.wait(60)
        return real(service)

    monkeypatch.setattr(prepared, "WAIT_SECONDS", 0)
    monkeypatch.setattr(data_quality, "data_quality_view", slow)
    assert BEING_MADE in cinema.get(QUALITY).text
    begun.wait(60)
    assert cinema.client.get("/counts", headers=news).status_code == 503
    assert guarded.app.state.tenants.names == {"cinema"}
    may_end.set()
    assert "Data quality" in cinema.page(QUALITY)
    wait_until(lambda: cinema.client.get("/counts", headers=news).status_code == 200)
    assert guarded.app.state.tenants.names == {"news"}


def test_import_holds_the_lease(guarded: GuardedApp, cinema: Console, news: dict[str, str], tmp_path: Path) -> None:
    """Until it has recorded its end and removed its file."""
    sent = {"file": ("ratings.csv", b"user_id,item_id,rating\nann,alien,5\nbob,alien,4\n")}
    page = cinema.done("/console/data/uploads", files=sent)
    assert cinema.done(f"{page}/import") == "/console/data?said=imported"
    assert cinema.client.get("/counts", headers=news).status_code == 503
    assert guarded.app.state.tenants.names == {"cinema"}
    wait_until(lambda: cinema.client.get("/counts", headers=news).status_code == 200)
    assert list((tmp_path / "tenants/cinema/uploads").glob("*")) == []
    own = bearer(guarded.key("admin", tenant="cinema"))
    (entry,) = cinema.client.get("/imports", headers=own).json()["imports"]
    assert entry["state"] == "succeeded"
