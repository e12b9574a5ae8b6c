"""The pages of a service whose users, items and files hold scripts, markup and texts without an end.

Each text must be shown as text. What ran would open a dialog, which fails the test; what the policy of the pages has
kept from running is an error in the console of the browser, which does as well.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Instance, RunningService, wait_until

selenium = pytest.importorskip("selenium", reason="needs selenium: make browser")

from selenium.webdriver import Chrome  # noqa: E402  skipped where it is missing
from selenium.webdriver.common.by import By  # noqa: E402

from tests.browser import hostile  # noqa: E402
from tests.browser.hostile import IMAGE, LINK, MIRRORED, SCRIPT, TEMPLATE  # noqa: E402
from tests.browser.pages import faults_of, faults_of_pages, picture  # noqa: E402
from tests.browser.person import NARROW, WIDE, click, opened, resize, text_of, wait  # noqa: E402

BROUGHT_IN = """
return [...document.querySelectorAll(
  'script:not([src]):not([type="application/json"]), [onload], [onerror], img[src="x"], [href^="javascript:" i], u'
)].map((each) => each.outerHTML.slice(0, 200))
"""
"""What no page of the console holds by itself."""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    made = Instance(tmp_path_factory.mktemp("hostile"))
    made.run("migrate")
    return made


@pytest.fixture(scope="module")
def service(instance: Instance) -> Iterator[RunningService]:
    """With two snapshots."""
    with instance.serving("--no-worker") as running:
        hostile.fill(running)
        for seed in (0, 1):
            instance.run("train", "--accept", "--seed", str(seed), timeout_seconds=600)
        wait_until(lambda: running.get("/readyz")["snapshot_version"] == 2)
        yield running


def upload(browser: Chrome, service: RunningService, file: Path) -> None:
    opened(browser, f"{service.address}/console/data")
    browser.find_element(By.ID, "file").send_keys(str(file))
    click(browser, "form.drop button")
    wait(browser, lambda: "/uploads/" in browser.current_url and browser.find_elements(By.TAG_NAME, "h1"))


def looked_at(browser: Chrome, name: str) -> dict[str, list[Any]]:
    """What is wrong with the open page, which an act has led to, by the name of the size."""
    faults = {}
    for size, kind in ((WIDE, "wide"), (NARROW, "narrow")):
        resize(browser, size)
        picture(browser, f"hostile-{name}-{kind}")
        if found := [*faults_of(browser), *browser.execute_script(BROUGHT_IN)]:
            faults[kind] = found
    return faults


def test_uploads(service: RunningService, page: Chrome, tmp_path: Path) -> None:
    """What is recognised in a file, a dry run, an import, and the rows that it rejects."""
    resize(page, WIDE)
    file = hostile.write_items(tmp_path / "items '-alert(1)-' &lt;b&gt;.csv")
    upload(page, service, file)
    assert {SCRIPT, IMAGE, LINK} <= set(
        page.execute_script("return [...document.querySelectorAll('bdi')].map((each) => each.textContent)")
    )
    assert looked_at(page, "preview") == {}
    resize(page, WIDE)
    click(page, "button[formaction$='/dry-run']")
    wait(page, lambda: "Dry run" in text_of(page))
    assert looked_at(page, "dry-run") == {}
    resize(page, WIDE)
    click(page, "button[formaction$='/import']")
    wait(page, lambda: "succeeded" in text_of(page, "#imports tbody tr:first-child"))
    page.get(page.find_element(By.CSS_SELECTOR, "#imports tbody tr:first-child a").get_attribute("href"))
    assert SCRIPT in text_of(page)
    assert looked_at(page, "import") == {}
    # This one stays, for the pages that list it.
    resize(page, WIDE)
    upload(page, service, hostile.write_ratings(tmp_path / "ratings <img src=x onerror=alert(1)>.csv"))


def test_every_page(service: RunningService, page: Chrome) -> None:
    def brought_in() -> list[Any]:
        return list(page.execute_script(BROUGHT_IN))

    faults, kinds = faults_of_pages(page, service.address, brought_in, name="hostile-")
    assert faults == {}
    assert {
        "console/learning/compare",
        "console/learning/compare/lists",
        "console/learning/snapshots/*",
        "console/items/*",
        "console/users/*",
        "console/placements/shelf",
        "console/data/uploads/*",
        "console/data/imports/*",
    } <= kinds


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("/console/items", (SCRIPT, IMAGE, MIRRORED, LINK, TEMPLATE)),
        ("/console/users", (IMAGE, MIRRORED, LINK, TEMPLATE)),
        ("/console/try", (IMAGE, LINK, TEMPLATE)),
        ("/console/data", (IMAGE, MIRRORED, LINK, TEMPLATE)),
        ("/console/placements/shelf", (SCRIPT,)),
        ("/console/learning/compare/lists?a=1&b=2", (SCRIPT, IMAGE, MIRRORED, LINK, TEMPLATE)),
    ],
)
def test_shown_as_text(service: RunningService, page: Chrome, path: str, texts: tuple[str, ...]) -> None:
    resize(page, WIDE)
    opened(page, f"{service.address}{path}")
    values = page.execute_script(
        "return [document.body.textContent, ...[...document.querySelectorAll('input, textarea')].map((e) => e.value)]"
    )
    shown = "\n".join(values)
    assert [each for each in texts if each not in shown] == []


@pytest.mark.parametrize("text", [SCRIPT, IMAGE])
@pytest.mark.parametrize(
    ("path", "field"), [("/console/try", "#q"), ("/console/items", "[name=q]"), ("/console/items", "[name=filter]")]
)
def test_search(service: RunningService, page: Chrome, path: str, field: str, text: str) -> None:
    """What was typed, and what is found by it, are put into the page by htmx."""
    resize(page, WIDE)
    opened(page, f"{service.address}{path}")
    before = page.find_element(By.ID, "found")
    page.find_element(By.CSS_SELECTOR, field).send_keys(text)
    wait(page, lambda: page.find_element(By.ID, "found") != before)
    assert page.execute_script(BROUGHT_IN) == []


def test_report(instance: Instance, page: Chrome, tmp_path: Path) -> None:
    """That of `reckon evaluate`, which needs no service."""
    ratings = hostile.write_ratings(tmp_path / "ratings <img src=x onerror=alert(1)>.csv")
    items = hostile.write_items(tmp_path / "items.csv")
    report = tmp_path / "report.html"
    options = ("--items", str(items), "--report", str(report), "--split", "random:0.2")
    instance.run("evaluate", str(ratings), *options, timeout_seconds=300)
    resize(page, WIDE)
    page.get(report.as_uri())
    shown = page.execute_script("return document.body.textContent")
    assert [each for each in ("ratings <img src=x onerror=alert(1)>.csv", SCRIPT, IMAGE) if each not in shown] == []
    assert page.execute_script(BROUGHT_IN) == []
