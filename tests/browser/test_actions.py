"""Every act of the console, done in Chromium by clicks, on both databases. `service` answers what came of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.databases import MigratedDatabases
from tests.support.service import Instance, RunningService, write_ratings

selenium = pytest.importorskip("selenium", reason="needs selenium: make browser")

from selenium.webdriver import Chrome  # noqa: E402  skipped where it is missing
from selenium.webdriver.common.by import By  # noqa: E402

from tests.browser.person import WIDE, click, confirm, dismiss, opened, resize, text_of, wait, write  # noqa: E402


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def instance(
    request: pytest.FixtureRequest, databases: MigratedDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Instance]:
    """With ratings of two tastes, and two snapshots."""
    folder = tmp_path_factory.mktemp("acts")
    with databases.fresh(request.param, folder) as url:
        made = Instance(folder, url)
        made.run("import", str(write_ratings(folder / "ratings.csv")))
        made.run("train")
        made.run("train", "--seed", "1", "--accept")
        yield made


@pytest.fixture(scope="module")
def service(instance: Instance) -> Iterator[RunningService]:
    # No worker: a run that is started waits.
    with instance.serving("--no-worker") as running:
        yield running


@pytest.fixture
def go(page: Chrome) -> Chrome:
    resize(page, WIDE)
    return page


def at(service: RunningService, browser: Chrome, path: str) -> None:
    opened(browser, f"{service.address}{path}")


def leave_for(service: RunningService, browser: Chrome, path: str, selector: str) -> None:
    """Open the page that has such an element. A file that is still arriving may end the way there."""

    def is_there() -> bool:
        at(service, browser, path)
        return bool(browser.find_elements(By.CSS_SELECTOR, selector))

    wait(browser, is_there)


def test_item(service: RunningService, go: Chrome) -> None:
    at(service, go, "/console/items/i1")
    write(go, "[name=title]", "The First")
    write(go, "[name=year]", "1999")
    write(go, "[name='attribute.name']", "mood")
    write(go, "[name='attribute.value']", "glad")
    click(go, "form[action='/console/items/i1'] button")
    wait(go, lambda: "Saved." in text_of(go))
    stored = service.get("/items/i1")
    assert (stored["title"], stored["year"], stored["attributes"]) == ("The First", 1999, {"mood": "glad"})
    click(go, "form[action$='/availability'] button")
    wait(go, lambda: not service.get("/items/i1")["is_available"])
    wait(go, lambda: "Show it again" in text_of(go))
    click(go, "form[action$='/availability'] button")
    wait(go, lambda: service.get("/items/i1")["is_available"])


def test_search_and_filter(service: RunningService, go: Chrome) -> None:
    at(service, go, "/console/items")
    write(go, "[name=q]", "First")
    wait(go, lambda: text_of(go, "#found").startswith("1 of"))
    assert "The First" in text_of(go, "#found")
    at(service, go, "/console/items")
    write(go, "[name=filter]", "year > ")
    wait(go, lambda: "cannot be read at character" in text_of(go, "#found"))
    write(go, "[name=filter]", "year > 1990")
    wait(go, lambda: text_of(go, "#found").startswith("1 of"))
    at(service, go, "/console/users")
    write(go, "[name=q]", "u59")
    wait(go, lambda: "u59" in text_of(go, "#users") and "u58" not in text_of(go, "#users"))


def test_user(service: RunningService, go: Chrome) -> None:
    """Looked at from all sides, exported, and erased."""
    for part in ("", "/lists", "/taste"):
        at(service, go, f"/console/users/u5{part}")
        assert "u5" in text_of(go, "h1")
    at(service, go, "/console/users/u5/export")
    click(go, "form[action$='/export'] button")
    leave_for(service, go, "/console/users/u5/erase", "form[action$='/erase'] button")
    click(go, "form[action$='/erase'] button")
    wait(go, lambda: "The user is erased" in text_of(go))
    assert service.call("GET", "/users/u5")[0] == 404


def test_placement(service: RunningService, go: Chrome) -> None:
    """Made, changed, restored and deleted."""
    at(service, go, "/console/placements")
    write(go, "#create", "shelf")
    click(go, "form[action='/console/placements'] button")
    wait(go, lambda: "/console/placements/shelf" in go.current_url)
    for number, diversity in enumerate(("0.2", "0.4"), 1):
        write(go, "[name=diversity]", diversity)
        click(go, "form[action$='/review'] button")
        wait(go, lambda: go.find_elements(By.CSS_SELECTOR, "form[action='/console/placements/shelf'] button"))
        click(go, "form[action='/console/placements/shelf'] button")
        wait(go, lambda: "Saved." in text_of(go))
        assert service.get("/placements/shelf/versions")["versions"][0]["number"] == number
        at(service, go, "/console/placements/shelf")
    at(service, go, "/console/placements/shelf/versions/1")
    click(go, "form[action$='/restore'] button")
    wait(go, lambda: service.get("/placements/shelf")["settings"]["diversity"] == 0.2)
    at(service, go, "/console/placements/shelf")
    click(go, "form[action$='/delete'] button")
    assert "shelf" in confirm(go)
    wait(go, lambda: service.call("GET", "/placements/shelf")[0] == 404)


def test_learning(service: RunningService, go: Chrome) -> None:
    """Another snapshot is made live, then the newest one followed again; a run is started and cancelled.

    An act that is refused when the page asks changes nothing.
    """
    at(service, go, "/console/learning/compare?a=1&b=2")
    assert go.find_elements(By.CSS_SELECTOR, "main table")
    at(service, go, "/console/learning/snapshots/1")
    click(go, "form[action$='/snapshots/1/activate'] button")
    wait(go, lambda: service.get("/snapshots/1")["is_live"])
    at(service, go, "/console/learning")
    click(go, "#follow")
    assert "newest snapshot" in dismiss(go)
    at(service, go, "/console/learning")
    assert service.get("/snapshots/1")["is_live"]
    click(go, "#follow")
    confirm(go)
    wait(go, lambda: service.get("/snapshots/2")["is_live"])
    at(service, go, "/console/learning")
    click(go, "form[action='/console/learning/jobs'] button")
    wait(go, lambda: service.get("/training-jobs/latest")["state"] == "queued")
    # Both pages that offer it are renewed every two seconds while the run waits.
    for path in ("/console/learning", f"/console/learning/jobs/{service.get('/training-jobs/latest')['job_id']}"):
        at(service, go, path)
        click(go, "form[action$='/cancel'] button")
        assert "Cancel this run?" in dismiss(go)
        at(service, go, path)
        assert service.get("/training-jobs/latest")["state"] == "queued"
    click(go, "form[action$='/cancel'] button")
    confirm(go)
    wait(go, lambda: service.get("/training-jobs/latest")["state"] == "cancelled")


def test_event_types(service: RunningService, go: Chrome) -> None:
    at(service, go, "/console/data")
    write(go, "#type-name", "liked it")
    write(go, "#type-weight", "2")
    click(go, "button[name=new]")
    wait(go, lambda: "liked it" in {each["name"] for each in service.get("/event-types")["event_types"]})
    at(service, go, "/console/data")
    write(go, "[aria-label='Weight of liked it']", "3")
    click(go, "[aria-label='Set the weight of liked it']")
    wait(go, lambda: 3 in {each["weight"] for each in service.get("/event-types")["event_types"]})
    at(service, go, "/console/data")
    click(go, "[aria-label='Delete the type liked it']")
    assert "liked it" in confirm(go)
    wait(go, lambda: "liked it" not in {each["name"] for each in service.get("/event-types")["event_types"]})


def test_scale_and_export(service: RunningService, go: Chrome) -> None:
    at(service, go, "/console/data")
    write(go, "#new-scale", "1:5")
    click(go, "form[action='/console/data/scale'] button")
    wait(go, lambda: "Saved." in text_of(go) or go.find_elements(By.CSS_SELECTOR, ".problem"))
    at(service, go, "/console/data")
    click(go, "form[action$='/export/ratings'] button")
    leave_for(service, go, "/console/users", "#users")


def test_upload(service: RunningService, go: Chrome, tmp_path: Path) -> None:
    """Corrected by hand, tried without storing anything, and discarded."""
    file = tmp_path / "mine.csv"
    file.write_text("who,what,how much\nann,i1,4\nbob,i2,5\n")
    before = service.get("/counts")["ratings"]
    at(service, go, "/console/data")
    go.find_element(By.ID, "file").send_keys(str(file))
    click(go, "form.drop button")
    wait(go, lambda: "/uploads/" in go.current_url)
    if go.find_elements(By.ID, "columns"):
        write(go, "#columns", "user=who,item=what,rating=how much")
        click(go, "form[action$='/correct'] button:not([formaction])")
        wait(go, lambda: "columns=" in go.current_url)
    click(go, "button[formaction$='/dry-run']")
    wait(go, lambda: "2" in text_of(go) and "Dry run" in text_of(go))
    click(go, "button[formaction$='/discard']")
    wait(go, lambda: go.current_url.partition("?")[0].endswith("/console/data"))
    assert service.get("/counts")["ratings"] == before


def test_rate(service: RunningService, go: Chrome) -> None:
    at(service, go, "/console/try?user=visitor-1")
    write(go, "#q", "The First")
    wait(go, lambda: go.find_elements(By.CSS_SELECTOR, "#found form.rate"))
    click(go, "#found form.rate input[type=radio]")
    wait(go, lambda: service.call("GET", "/users/visitor-1/ratings")[0] == 200)
    wait(go, lambda: go.find_elements(By.CSS_SELECTOR, "form[action='/console/try/ratings/delete'] button"))
    click(go, "form[action='/console/try/ratings/delete'] button")
    wait(go, lambda: service.get("/users/visitor-1/ratings")["ratings"] == [])


def test_keys_and_sessions(instance: Instance, service: RunningService, go: Chrome) -> None:
    """The last one: a key closes the service. What was typed before the session ended is sent after a new log-in."""
    key = instance.run("keys", "create", "--scope", "admin").stdout.split()[-1]
    wait(go, lambda: service.call("GET", "/counts")[0] == 401)
    go.get(f"{service.address}/console/data")
    wait(go, lambda: go.find_elements(By.ID, "key"))
    write(go, "#key", key)
    click(go, "form[action='/console/login'] button")
    # The address of the log-in ends with that of the page as well.
    wait(go, lambda: go.current_url == f"{service.address}/console/data")
    go.get(f"{service.address}/console/operations/keys")
    click(go, "[name=scopes][value=console]")
    write(go, "#note", "a colleague")
    click(go, "form[action='/console/operations/keys'] button")
    wait(go, lambda: "The new key" in text_of(go))
    go.get(f"{service.address}/console/operations/keys")
    row = next(each for each in go.find_elements(By.CSS_SELECTOR, "tbody tr") if "a colleague" in each.text)
    row.find_element(By.CSS_SELECTOR, "button.danger").click()
    confirm(go)
    wait(go, lambda: "The key is revoked" in text_of(go))
    go.get(f"{service.address}/console/data")
    write(go, "#type-name", "kept")
    write(go, "#type-weight", "1")
    go.delete_all_cookies()
    click(go, "button[name=new]")
    wait(go, lambda: "Your session has ended" in text_of(go))
    kept = go.current_window_handle
    click(go, "main a[target=_blank]")
    wait(go, lambda: len(go.window_handles) == 2)
    go.switch_to.window(next(each for each in go.window_handles if each != kept))
    wait(go, lambda: go.find_elements(By.ID, "key"))
    write(go, "#key", key)
    click(go, "form[action='/console/login'] button")
    wait(go, lambda: go.current_url.endswith("/"))
    go.close()
    go.switch_to.window(kept)
    click(go, "main form button")
    wait(go, lambda: "Send this form again?" in text_of(go))
    click(go, "main form button")
    wait(go, lambda: "Saved." in text_of(go))
    assert "kept" in text_of(go)
    click(go, "form[action='/console/logout'] button")
    wait(go, lambda: go.find_elements(By.ID, "key"))
    go.get_log("browser")  # the statuses 401 and 403 of the forms
