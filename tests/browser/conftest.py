"""A service as `reckon demo` serves it without network, and Chromium.

Not part of `make test`: the tests need Chromium and its driver. `make browser`.
"""

import shutil
from collections.abc import Iterator

import pytest

from app.intake.generated import write_catalogue
from tests.support.service import Instance, RunningService

selenium = pytest.importorskip("selenium", reason="needs selenium: make browser")

from selenium.webdriver import Chrome, ChromeOptions  # noqa: E402  skipped where it is missing
from selenium.webdriver.chrome.service import Service  # noqa: E402

from tests.browser.person import errors_of  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server", "--window-size=1280,2000"),
    # Chromium would ask for updates and the like, and its failures would be those of the pages.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """The generated catalogue, trained by the default recipe."""
    folder = tmp_path_factory.mktemp("demo")
    instance = Instance(folder / "data")
    instance.run("migrate")
    instance.run("import", str(write_catalogue(folder / "generated")))
    instance.run("train", timeout_seconds=600)
    return instance


@pytest.fixture(scope="module")
def service(demo: Instance) -> Iterator[RunningService]:
    # No worker: a training job that is tried out stays in the queue.
    with demo.serving("--no-worker") as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    binary = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("needs Chromium and chromedriver (Debian: chromium chromium-driver)")
    options = ChromeOptions()
    options.binary_location = binary
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


@pytest.fixture
def page(browser: Chrome) -> Iterator[Chrome]:
    """The browser; the test fails by errors in its console."""
    browser.get_log("browser")  # those of the test before
    yield browser
    assert errors_of(browser) == []
