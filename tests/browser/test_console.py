"""The pages of the console in Chromium, as a person uses them.

Each test fails by errors in the browser's console, which are those of scripts, of the policy and of requests. Pictures
of all pages are kept in the folder RECKON_SCREENSHOTS, where it is set.
"""

import os
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app.console.rendering import SECTIONS
from tests.support.service import RunningService

selenium = pytest.importorskip("selenium", reason="needs selenium: make browser")

from selenium.webdriver import Chrome  # noqa: E402  skipped where it is missing
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

VENDOR = Path(__file__).parent / "vendor"
SECONDS = 30
MAX_PAGES = 60
WIDE, NARROW = (1280, 1600), (390, 844)
SERIOUS = {"serious", "critical"}
LEFT_OUT = re.compile(r"/(static|logout|login)\b|/export\b|[?&](cursor|said)=")
"""Links that lead to files, or to the same page again."""

HORIZONTAL = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
CHECK = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then((result) => done(result.violations.map(
  (each) => ({id: each.id, impact: each.impact, nodes: each.nodes.slice(0, 3).map((node) => node.html)}))));
"""


@pytest.fixture
def page(browser: Chrome) -> Iterator[Chrome]:
    browser.get_log("browser")  # those of the test before
    yield browser
    assert errors_of(browser) == []


def errors_of(browser: Chrome) -> list[str]:
    return [each["message"] for each in browser.get_log("browser") if each["level"] in {"SEVERE", "WARNING"}]


def resize(browser: Chrome, size: tuple[int, int]) -> None:
    """The size of the page, below the smallest window of Chromium as well."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def picture(browser: Chrome, name: str) -> None:
    folder = os.environ.get("RECKON_SCREENSHOTS")
    if folder is None:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def is_drawn(browser: Chrome) -> bool:
    """Whether each plot has been drawn."""
    drawings = browser.find_elements(By.CSS_SELECTOR, ".drawing")
    return all(each.find_elements(By.CSS_SELECTOR, "canvas, svg") for each in drawings)


def opened(browser: Chrome, address: str) -> None:
    browser.get(address)
    WebDriverWait(browser, SECONDS).until(is_drawn)


def kind_of(path: str) -> str:
    """Pages that differ by what they are about alone are of one kind."""
    path = path.partition("?")[0]
    parts = path.strip("/").split("/")
    return "/".join(part if place < 2 or re.fullmatch(r"[a-z-]+", part) else "*" for place, part in enumerate(parts))


def found_pages(browser: Chrome, address: str) -> list[str]:
    """The pages that links lead to from Home on, one of each kind, in the order in which they are found."""
    found, seen = [each.path for each in SECTIONS], {kind_of(each.path) for each in SECTIONS}
    for path in found:
        browser.get(f"{address}{path}")
        for link in browser.find_elements(By.CSS_SELECTOR, "main a[href]"):
            target = str(link.get_attribute("href")).removeprefix(address).partition("#")[0]
            is_page = target.startswith("/console/") and not LEFT_OUT.search(target)
            if is_page and kind_of(target) not in seen and len(found) < MAX_PAGES:
                seen.add(kind_of(target))
                found.append(target)
    return found


def name_of(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind_of(path).lower()).strip("-") or "home"


def test_axe_is_what_was_released() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text().splitlines()
    for digest, name in (line.split() for line in lines):
        assert sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_every_page(service: RunningService, page: Chrome) -> None:
    """It is drawn without errors, accessible, and as wide as the screen, also on a phone."""
    axe = (VENDOR / "axe.min.js").read_text()
    faults: dict[str, Any] = {}
    pages = found_pages(page, service.address)
    assert len(pages) >= len(SECTIONS)
    for path in pages:
        for size, kind in ((WIDE, "wide"), (NARROW, "narrow")):
            resize(page, size)
            opened(page, f"{service.address}{path}")
            picture(page, f"{name_of(path)}-{kind}")
            found: list[Any] = errors_of(page)
            if (excess := page.execute_script(HORIZONTAL)) > 0:
                found.append(f"{excess} pixels too wide")
            page.execute_script(axe)
            found += [each for each in page.execute_async_script(CHECK) if each["impact"] in SERIOUS]
            if found:
                faults[f"{path} ({kind})"] = found
    assert faults == {}
