"""The pages of a service that holds nothing, and of one whose users like or dislike."""

from collections.abc import Iterator

import pytest

from tests.support.service import Instance, RunningService, wait_until

selenium = pytest.importorskip("selenium", reason="needs selenium: make browser")

from selenium.webdriver import Chrome  # noqa: E402  skipped where it is missing
from selenium.webdriver.common.by import By  # noqa: E402

from tests.browser.pages import faults_at, faults_of_pages  # noqa: E402
from tests.browser.person import WIDE, click, listed, opened, resize, wait  # noqa: E402

N_USERS, N_ITEMS = 24, 12


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    made = Instance(tmp_path_factory.mktemp("empty"))
    made.run("migrate")
    with made.serving("--no-worker") as running:
        yield running


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """With a snapshot of two tastes."""
    made = Instance(tmp_path_factory.mktemp("binary"))
    made.run("migrate")
    made.run("scale", "set", "0:1")
    with made.serving("--no-worker") as running:
        ratings = [
            {"user_id": f"u{u}", "item_id": f"i{i}", "value": int(u % 2 == i % 2)}
            for u in range(N_USERS)
            for i in range(N_ITEMS)
            if (u + i // 2) % 3
        ]
        status, answer = running.call("POST", "/ratings/batch", {"ratings": ratings})
        assert (status, answer["rejected"]) == (200, 0)
        made.run("train", "--accept", timeout_seconds=600)
        wait_until(lambda: running.get("/readyz")["snapshot_version"] == 1)
        yield running


def test_empty(empty: RunningService, page: Chrome) -> None:
    faults, kinds = faults_of_pages(page, empty.address, name="empty-")
    assert faults == {}
    assert "console/placements/home" in kinds


@pytest.mark.parametrize(
    "path",
    [
        "/console/try?user=u1",
        "/console/items/i1",
        "/console/users/u1",
        "/console/learning/snapshots/1",
        "/console/data",
        "/console/data/quality",
    ],
)
def test_binary(binary: RunningService, page: Chrome, path: str) -> None:
    """The pages that show ratings or measures of them."""
    assert faults_at(page, binary.address, path, name="binary-") == {}


def test_like_and_dislike(binary: RunningService, page: Chrome) -> None:
    resize(page, WIDE)
    opened(page, f"{binary.address}/console/try?user=visitor-1")
    first = page.find_element(By.CSS_SELECTOR, ".try-list li form.rate")
    choices = first.find_elements(By.NAME, "value")
    shown = [(each.get_attribute("value"), each.text.partition("\n")[0].split()[0]) for each in choices]
    assert shown == [("1", "Like"), ("0", "Dislike")]
    rate(page, 1)
    assert rated(binary) == [1]
    rate(page, 0)
    assert sorted(rated(binary)) == [0, 1]
    assert page.find_elements(By.CSS_SELECTOR, ".try-rated button[aria-pressed=true]")[1:]


def rate(browser: Chrome, value: int) -> None:
    """Rate the first item of the list, and wait for the next list."""
    before = listed(browser)
    click(browser, f".try-list li form.rate button[value='{value}']")
    wait(browser, lambda: listed(browser) != before)


def rated(service: RunningService) -> list[float]:
    return [each["value"] for each in service.get("/users/visitor-1/ratings")["ratings"]]
