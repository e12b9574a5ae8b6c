"""The pages of the console in Chromium, as a person uses them.

Each test fails by errors in the browser's console, which are those of scripts, of the policy and of requests. Pictures
of all pages are kept in the folder RECKON_SCREENSHOTS, where it is set.
"""

from hashlib import sha256
from pathlib import Path

import pytest

from app.console.rendering import SECTIONS
from tests.support.service import RunningService

selenium = pytest.importorskip("selenium", reason="needs selenium: make browser")

from selenium.webdriver import Chrome, Keys  # noqa: E402  skipped where it is missing
from selenium.webdriver.common.by import By  # noqa: E402

from tests.browser.pages import VENDOR, faults_of_pages  # noqa: E402
from tests.browser.person import WIDE, click, confirm, keys, listed, opened, reach, resize, text_of, wait  # noqa: E402


def test_axe_is_what_was_released() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text().splitlines()
    for digest, name in (line.split() for line in lines):
        assert sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_every_page(service: RunningService, page: Chrome) -> None:
    """It is drawn without errors, accessible, and as wide as the screen, also on a phone."""
    faults, kinds = faults_of_pages(page, service.address)
    assert faults == {}
    assert "console/data/imports/*" in kinds


def test_try_it_by_keyboard(service: RunningService, page: Chrome) -> None:
    """Choose a user, search, rate, see the list change, ask why an item is not in it and why one is: by keys alone."""
    resize(page, WIDE)
    opened(page, f"{service.address}/console/try")
    reach(page, "#user")
    keys(page, f"typist{Keys.ENTER}")  # in place of the text, which Tab selects
    wait(page, lambda: "user=typist" in page.current_url and page.find_elements(By.ID, "q"))
    before = listed(page)
    reach(page, "#q")
    items = service.get("/items?limit=100")["items"]
    keys(page, next(each["title"] for each in items if each["title"] not in before))
    wait(page, lambda: page.find_elements(By.CSS_SELECTOR, "#found a[hx-get]"))
    reach(page, "#found a[hx-get]")
    keys(page, Keys.ENTER)
    wait(page, lambda: "By score alone" in text_of(page, "#why-not"))
    reach(page, "#found input[type=radio]")
    keys(page, Keys.ARROW_RIGHT)
    wait(page, lambda: "Rated" in text_of(page, "#change"))
    assert listed(page) != before
    assert service.get("/users/typist/ratings")["ratings"]
    assert text_of(page, "#who").startswith("typist")
    reach(page, ".try-list details > summary", most=120)
    keys(page, Keys.ENTER)
    assert page.execute_script("return document.activeElement.parentElement.open")


def test_without_scripts(service: RunningService, page: Chrome) -> None:
    """Reading works, and so do the forms."""
    resize(page, WIDE)
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        for section in SECTIONS:
            page.get(f"{service.address}{section.path}")
            assert page.find_element(By.CSS_SELECTOR, "main h1").text
        page.get(f"{service.address}/console/learning/snapshots/1")
        assert page.find_elements(By.CSS_SELECTOR, ".plot table")
        page.get(f"{service.address}/console/data")
        form = page.find_element(By.CSS_SELECTOR, 'form[action="/console/data/scale"]')
        form.find_element(By.NAME, "scale").send_keys("nonsense")
        form.find_element(By.TAG_NAME, "button").click()
        assert page.find_element(By.CSS_SELECTOR, ".problem").text
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        page.get_log("browser")  # the status 422 of the form


def test_import_by_hand(service: RunningService, page: Chrome, tmp_path: Path) -> None:
    """A file is chosen, looked at and imported; what it rejected is shown."""
    file = tmp_path / "more ratings.csv"
    file.write_text("user,item,rating\nann,1,4\nbob,2,5\ncem,3,eleven\n")
    resize(page, WIDE)
    opened(page, f"{service.address}/console/data")
    page.find_element(By.ID, "file").send_keys(str(file))
    click(page, "form.drop button")
    wait(page, lambda: "/uploads/" in page.current_url)
    assert "ann" in page.find_element(By.CSS_SELECTOR, "main table").text
    click(page, "button[formaction$='/import']")
    newest = "#imports tbody tr:first-child"
    wait(
        page, lambda: {"more_ratings.csv", "succeeded"} <= set(page.find_element(By.CSS_SELECTOR, newest).text.split())
    )
    # The table is exchanged every two seconds while an import is in progress.
    page.get(page.find_element(By.CSS_SELECTOR, f"{newest} a").get_attribute("href"))
    assert "eleven" in page.find_element(By.CSS_SELECTOR, "main").text
    assert service.get("/users/bob/ratings")["ratings"][0]["value"] == 5


def test_change_a_placement(service: RunningService, page: Chrome) -> None:
    """A change is looked at before it is saved, and taken back afterwards."""
    resize(page, WIDE)
    opened(page, f"{service.address}/console/placements/home")
    field = page.find_element(By.NAME, "novelty")
    field.clear()
    field.send_keys("0.5")
    click(page, "button[formaction$='/review'], form[action$='/review'] button:not([formaction])")
    wait(page, lambda: "novelty" in page.find_element(By.CSS_SELECTOR, "main").text.lower())
    click(page, "form[action='/console/placements/home'] button")
    wait(page, lambda: service.get("/placements/home")["settings"]["novelty"] == 0.5)


def test_train_and_cancel(service: RunningService, page: Chrome) -> None:
    """No worker runs here, so the run waits and is cancelled."""
    resize(page, WIDE)
    opened(page, f"{service.address}/console/learning")
    click(page, "form[action='/console/learning/jobs'] button")
    wait(page, lambda: service.get("/training-jobs/latest")["state"] == "queued")
    job_id = service.get("/training-jobs/latest")["job_id"]
    opened(page, f"{service.address}/console/learning/jobs/{job_id}")
    click(page, f"form[action$='/{job_id}/cancel'] button")
    confirm(page)
    wait(page, lambda: service.get("/training-jobs/latest")["state"] == "cancelled")
