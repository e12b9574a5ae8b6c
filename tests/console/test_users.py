"""Users: found, erased and exported."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from app.console.users import N_LISTED, users_view
from app.entities import User
from app.settings import Settings
from app.wiring import Service
from tests.support.console import Console
from tests.support.keys import GuardedApp

PAGE = "/console/users"
HOSTILE = '"><img src=x onerror=alert(1)>'


def test_pages(service: Service) -> None:
    first = users_view(service)
    assert len(first.users) == N_LISTED
    assert first.first == ""
    cursors, seen = [first.next], [each.user_id for each in first.users]
    while cursors[-1]:
        view = users_view(service, cursor=cursors[-1].partition("cursor=")[2])
        assert view.first == PAGE
        seen += [each.user_id for each in view.users]
        cursors.append(view.next)
    assert len(seen) == len({*seen}) == service.store.users.count()


def test_search(console: Console, service: Service) -> None:
    service.store.users.record([User("Ann", country="FI", attributes={"age": 31, "note": HOSTILE})])
    (found,) = users_view(service, "aNN").users
    assert (found.user_id, found.country) == ("Ann", "FI")
    page = console.page(f"{PAGE}?q=ann")
    assert "<img src=x" not in page
    assert "age: 31" in page
    assert "No id of a user contains" in console.text(f"{PAGE}?q=%3Cb%3E")
    assert console.get(f"{PAGE}?cursor=x").status_code == 422
    assert console.get(f"{PAGE}?q={'x' * 201}").status_code == 422


def test_empty(empty: Console) -> None:
    assert "There are no users yet" in empty.text(PAGE)


def test_erase(console: Console, service: Service) -> None:
    user_id = users_view(service).users[0].user_id
    asked = console.text(f"{PAGE}/{user_id}/erase")
    assert "It cannot be undone." in asked
    assert "Within 1 d nothing is left" in asked
    assert service.store.users.get(user_id) is not None  # asking changes nothing
    receipt = console.text(console.done(f"{PAGE}/{user_id}/erase"))
    assert "The user is erased" in receipt
    assert "Snapshots and files follow until" in receipt
    assert service.store.users.get(user_id) is None
    (entry,) = service.store.audit.entries(1)
    assert (entry.action, entry.outcome) == ("users.delete", "succeeded")
    assert entry.target == service.store.erasures.latest(limit=1)[0].erasure_id
    assert console.done(f"{PAGE}/{user_id}/erase").endswith("said=unchanged")
    assert console.get(f"{PAGE}/{user_id}/erase").status_code == 404


def test_export(console: Console, service: Service) -> None:
    user_id = users_view(service).users[0].user_id
    assert "It holds personal data" in console.text(f"{PAGE}/{user_id}/export")
    got = console.post(f"{PAGE}/{user_id}/export")
    assert got.headers["content-disposition"] == 'attachment; filename="user.json"'
    assert got.content == console.client.get(f"/users/{user_id}/export").content
    assert json.loads(got.content)["user"]["user_id"] == user_id
    assert service.store.audit.entries(2)[1].action == "users.export"
    assert console.post(f"{PAGE}/nobody/export").status_code == 404


@pytest.mark.parametrize("path", ["", "/lists", "/taste", "/erase", "/export"])
def test_unknown(console: Console, path: str) -> None:
    for user_id in ("nobody", HOSTILE):
        got = console.get(f"{PAGE}/{quote(user_id, safe='')}{path}")
        assert (got.status_code, "<img src=x" in got.text) == (404, False)
    assert console.get(f"{PAGE}/{'x' * 129}{path}").status_code == 422


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedApp]:
    opened = GuardedApp(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


def test_looking(guarded: GuardedApp) -> None:
    """A key that may only look can neither erase nor take data along."""
    guarded.store.users.record([User("u")])
    console = Console(guarded.app)
    with console.client:
        console.log_in(guarded.key("console"))
        for act in ("erase", "export"):
            page = console.page(f"{PAGE}/u/{act}")
            assert ("Your key may look only" in page, f'action="{PAGE}/u/{act}"' in page) == (True, False)
            assert console.post(f"{PAGE}/u/{act}").status_code == 403
    assert guarded.store.users.get("u") is not None
