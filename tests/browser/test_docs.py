"""`/docs` in Chromium: each operation is opened, tried out and executed as it is filled in.

Not part of `make test`: it needs Chromium and its driver. `make browser`.
"""

import shutil
from collections.abc import Iterator

import pytest

from app.intake.generated import write_catalogue
from tests.support.service import Instance, RunningService

selenium = pytest.importorskip("selenium", reason="needs selenium: make browser")

from selenium.webdriver import Chrome, ChromeOptions  # noqa: E402  skipped where it is missing
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

SECONDS = 60
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """What `reckon demo` serves without network: the generated catalogue, trained by the default recipe."""
    folder = tmp_path_factory.mktemp("demo")
    instance = Instance(folder / "data")
    instance.run("migrate")
    instance.run("import", str(write_catalogue(folder / "generated")))
    instance.run("train", timeout_seconds=600)
    # No worker: the training job that is tried out stays in the queue.
    with instance.serving("--no-worker") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    binary = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Chromium and chromedriver (Debian: chromium chromium-driver)")
    options = ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"):
        options.add_argument(argument)
    options.add_argument("--window-size=1400,2000")
    opened = Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


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
