"""What a person does in a browser."""

from collections.abc import Callable
from typing import Literal

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 30
WIDE, NARROW = (1280, 1600), (390, 844)

UNFOLD = """
for (let each = arguments[0].closest("details"); each; each = each.parentElement.closest("details")) each.open = true;
arguments[0].scrollIntoView({block: "center"});
"""


def errors_of(browser: Chrome) -> list[str]:
    """What the console of the browser says of scripts, the policy and requests since it was asked last."""
    return [each["message"] for each in browser.get_log("browser") if each["level"] in {"SEVERE", "WARNING"}]


def resize(browser: Chrome, size: tuple[int, int]) -> None:
    """The size of the page, below the smallest window of Chromium as well."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def is_drawn(browser: Chrome) -> bool:
    """Whether each plot has been drawn."""
    drawings = browser.find_elements(By.CSS_SELECTOR, ".drawing")
    return all(each.find_elements(By.CSS_SELECTOR, "canvas, svg") for each in drawings)


def opened(browser: Chrome, address: str) -> None:
    browser.get(address)
    WebDriverWait(browser, SECONDS).until(is_drawn)


def wait(browser: Chrome, until: Callable[[], object]) -> None:
    WebDriverWait(browser, SECONDS, ignored_exceptions=[WebDriverException]).until(lambda _: until())


def click(browser: Chrome, selector: str) -> None:
    element = browser.find_element(By.CSS_SELECTOR, selector)
    # Whatever it is folded in is opened first.
    browser.execute_script(UNFOLD, element)
    element.click()


def confirm(browser: Chrome) -> str:
    """Say yes to the question that the page asks, and return it."""
    return _answer(browser, "accept")


def dismiss(browser: Chrome) -> str:
    """Say no to the question that the page asks, and return it."""
    return _answer(browser, "dismiss")


def _answer(browser: Chrome, answer: Literal["accept", "dismiss"]) -> str:
    wait(browser, lambda: browser.switch_to.alert)
    alert = browser.switch_to.alert
    text = str(alert.text)
    getattr(alert, answer)()
    return text


def write(browser: Chrome, selector: str, text: str) -> WebElement:
    """Write the text in place of what the field holds."""
    field = browser.find_element(By.CSS_SELECTOR, selector)
    browser.execute_script(UNFOLD, field)
    field.clear()
    field.send_keys(text)
    return field


def text_of(browser: Chrome, selector: str = "main") -> str:
    return str(browser.find_element(By.CSS_SELECTOR, selector).text)


def listed(browser: Chrome) -> list[str]:
    """The titles of the list of Try it, as they are shown."""
    return [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".try-list .title")]


def reach(browser: Chrome, selector: str, most: int = 60) -> None:
    """Press Tab until an element of the selector has the focus."""
    for _ in range(most):
        if browser.execute_script("return document.activeElement.matches(arguments[0])", selector):
            return
        keys(browser, Keys.TAB)
    raise AssertionError(f"{selector} is not reached by Tab")


def keys(browser: Chrome, text: str) -> None:
    ActionChains(browser).send_keys(text).perform()
