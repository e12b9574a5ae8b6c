"""What must hold for each page of the console, on a wide screen and on a phone."""

import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome

from app.console.rendering import SECTIONS
from tests.browser.person import NARROW, WIDE, errors_of, opened, resize

Looks = Callable[[], list[Any]]
VENDOR = Path(__file__).parent / "vendor"
MAX_PAGES = 60
SERIOUS = {"serious", "critical"}
LEFT_OUT = re.compile(r"/(static|logout|login|metrics)\b|/export\b|\.csv\b|[?&](cursor|said)=")
"""Links that lead to files, or to the same page again."""

LINKS = 'return [...document.querySelectorAll("main a[href]")].map((each) => each.href)'
HORIZONTAL = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
CHECK = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then((result) => done(result.violations.map(
  (each) => ({id: each.id, impact: each.impact, nodes: each.nodes.slice(0, 3).map((node) => node.html)}))));
"""


def picture(browser: Chrome, name: str) -> None:
    folder = os.environ.get("RECKON_SCREENSHOTS")
    if folder is None:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def kind_of(path: str) -> str:
    """Pages that differ by what they are about alone are of one kind."""
    path = path.partition("?")[0]
    parts = path.strip("/").split("/")
    return "/".join(part if place < 2 or re.fullmatch(r"[a-z-]+", part) else "*" for place, part in enumerate(parts))


def name_of(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind_of(path).replace("*", "one").lower()).strip("-") or "home"


def links_of(browser: Chrome, address: str) -> Iterator[str]:
    """The paths of the console that the open page links to."""
    for link in browser.execute_script(LINKS):
        path = link.removeprefix(address).partition("#")[0]
        if path.startswith("/console/") and not LEFT_OUT.search(path):
            yield path


def faults_of_pages(
    browser: Chrome, address: str, looks: Looks = list, name: str = ""
) -> tuple[dict[str, list[Any]], set[str]]:
    """What is wrong with the pages that links lead to from Home on, one of each kind, and which kinds were found.

    `looks`, `name`: as of `faults_at`.
    """
    paths, seen = [each.path for each in SECTIONS], {kind_of(each.path) for each in SECTIONS}
    faults: dict[str, list[Any]] = {}
    for path in paths:
        faults |= faults_at(browser, address, path, looks, name)
        for target in links_of(browser, address):
            if kind_of(target) not in seen and len(paths) < MAX_PAGES:
                seen.add(kind_of(target))
                paths.append(target)
    return faults, seen


def faults_at(browser: Chrome, address: str, path: str, looks: Looks = list, name: str = "") -> dict[str, list[Any]]:
    """What is wrong with the page, by its path and the kind of screen.

    `looks`: returns what else is wrong with the open page. `name`: of the service, in names of pictures.
    """
    faults = {}
    for size, kind in ((WIDE, "wide"), (NARROW, "narrow")):
        resize(browser, size)
        opened(browser, f"{address}{path}")
        picture(browser, f"{name}{name_of(path)}-{kind}")
        if found := [*faults_of(browser), *looks()]:
            faults[f"{path} ({kind})"] = found
    return faults


def faults_of(browser: Chrome) -> list[Any]:
    """What is wrong with the open page: errors in the console, its width, and what axe finds."""
    found: list[Any] = errors_of(browser)
    if (excess := browser.execute_script(HORIZONTAL)) > 0:
        found.append(f"{excess} pixels too wide")
    browser.execute_script(axe())
    return found + [each for each in browser.execute_async_script(CHECK) if each["impact"] in SERIOUS]


@cache
def axe() -> str:
    return (VENDOR / "axe.min.js").read_text()
