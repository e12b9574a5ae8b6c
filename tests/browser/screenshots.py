"""`python -m tests.browser.screenshots FOLDER`: pictures of the console for its documentation, of generated films."""

import os
import sys
import tempfile
import time
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from app.intake.generated import write_catalogue
from tests.support.service import Instance, RunningService

SIZE = "1100,1400"
SECONDS = 60
RATED = (("1", 5), ("2", 4), ("10", 5))


def main() -> int:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reckon-screenshots-") as made:
        instance = Instance(Path(made) / "data")
        instance.run("migrate")
        instance.run("import", str(write_catalogue(Path(made) / "generated")))
        instance.run("train", timeout_seconds=900)
        with instance.serving() as service:
            prepare(service)
            browser = opened()
            try:
                for name, path in pages().items():
                    browser.get(f"{service.address}{path}")
                    WebDriverWait(browser, SECONDS).until(is_drawn)
                    time.sleep(1)  # animations
                    browser.save_screenshot(str(folder / f"{name}.png"))
            finally:
                browser.quit()
    return 0


def prepare(service: RunningService) -> None:
    """Ratings of a visitor, and lists that were asked for, so that no page is empty."""
    for item_id, value in RATED:
        service.call("POST", "/ratings", {"user_id": "visitor-1", "item_id": item_id, "value": value})
    for number in range(1, 200):
        service.get(f"/users/{number}/recommendations")
    for number in range(20):
        service.get(f"/users/new-{number}/recommendations")
    time.sleep(12)  # until the processes have reported


def pages() -> dict[str, str]:
    return {
        "home": "/",
        "try": "/console/try?user=visitor-1",
        "learning": "/console/learning",
        "placements": "/console/placements/home",
        "data": "/console/data",
    }


def opened() -> Chrome:
    options = ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={SIZE}"):
        options.add_argument(argument)
    options.binary_location = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    return Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def is_drawn(browser: Chrome) -> bool:
    drawings = browser.find_elements(By.CSS_SELECTOR, ".drawing")
    return all(each.find_elements(By.CSS_SELECTOR, "canvas, svg") for each in drawings)


if __name__ == "__main__":
    sys.exit(main())
