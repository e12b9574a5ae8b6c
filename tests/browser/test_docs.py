"""`/docs` in Chromium: each operation is opened, tried out and executed as it is filled in.

Not part of `make test`: it needs Chromium and its driver. `make browser`.
"""

import pytest

from tests.support.service import RunningService

selenium = pytest.importorskip("selenium", reason="needs selenium: make browser")

from selenium.webdriver import Chrome  # noqa: E402  skipped where it is missing
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

SECONDS = 60


def test_operations_succeed_as_filled_in(service: RunningService, browser: Chrome) -> None:
    document = service.get("/openapi.json")
    documented = sorted(
        f"{method.upper()} {path}" for path, operations in document["paths"].items() for method in operations
    )
    browser.get(f"{service.address}/docs")
    wait = WebDriverWait(browser, SECONDS)
    wait.until(lambda page: len(page.find_elements(By.CSS_SELECTOR, ".opblock")) == len(documented))
    names = [each.get_attribute("id") for each in browser.find_elements(By.CSS_SELECTOR, ".opblock")]
    statuses = {}
    for name in names:
        block = browser.find_element(By.ID, name)
        statuses[title(block)] = execute(block, wait)
        # A closed block keeps the page small.
        click(block, ".opblock-summary-control")
    assert sorted(statuses) == documented
    failed = {name: status for name, status in statuses.items() if not status.startswith("2")}
    # The service is open: the first key is made on the command line, so there is none to revoke.
    assert failed == {"POST /keys": "409", "DELETE /keys/{key_id}": "404"}


def title(block: WebElement) -> str:
    method = block.find_element(By.CSS_SELECTOR, ".opblock-summary-method").text
    path = block.find_element(By.CSS_SELECTOR, ".opblock-summary-path").get_attribute("data-path")
    return f"{method} {path}"


def execute(block: WebElement, wait: WebDriverWait) -> str:
    """Open the block, press "Try it out" and "Execute", and return the status of the response."""
    click(block, ".opblock-summary-control")
    wait.until(lambda _: block.find_elements(By.CSS_SELECTOR, ".try-out__btn"))
    click(block, ".try-out__btn")
    wait.until(lambda _: block.find_elements(By.CSS_SELECTOR, ".execute"))
    click(block, ".execute")
    shown = ".live-responses-table .response-col_status"
    wait.until(lambda _: block.find_elements(By.CSS_SELECTOR, f"tbody {shown}, tr.response {shown}, {shown}")[1:])
    return str(block.find_elements(By.CSS_SELECTOR, shown)[-1].text.split()[0])


def click(block: WebElement, selector: str) -> None:
    element = block.find_element(By.CSS_SELECTOR, selector)
    # By script: a scrolled page may cover the element.
    block.parent.execute_script("arguments[0].click()", element)
