"""Texts that would run, break out of their place or break the page if they were not shown as text, in all fields."""

import csv
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from tests.support.service import RunningService

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
MIRRORED = "\u202e\u200fgnp.tac\u2067"
LINK = "javascript:alert(1)"
TEMPLATE = "{{ 7 * 7 }}${7*7}`'-alert(1)-'"
TEXTS = (SCRIPT, IMAGE, MIRRORED, LINK, TEMPLATE)
IDS = (IMAGE, MIRRORED, LINK, TEMPLATE, "W" * 128, "a%2Fb?q=1#x&amp;y", "<svg onload=alert(1)>")
"""Ids contain no `/`."""

LONG_TITLE = "W" * 1_000
LONGEST_TITLE = f"{SCRIPT}{'W' * 9_975}"
"""An import stores titles of any length."""

N_USERS, N_ITEMS = 24, 24


def item_id(number: int) -> str:
    return (*IDS, *(f"<u>{each}" for each in range(N_ITEMS)))[number]


def user_id(number: int) -> str:
    return (*IDS, *(f"<u>{each}" for each in range(N_USERS)))[number]


def fill(service: RunningService) -> None:
    """Items, users, ratings of two tastes, event types, events and a placement."""
    for name in IDS:
        accepted(service, "PUT", f"/event-types/{quote(name, safe='')}", {"weight": 1})
    accepted(service, "POST", "/items/batch", {"items": [item(number) for number in range(N_ITEMS)]})
    for field in ("url", "image_url"):
        assert service.call("PATCH", f"/items/{quote(item_id(0), safe='')}", {field: LINK})[0] == 422
    accepted(service, "POST", "/users/batch", {"users": [user(number) for number in range(N_USERS)]})
    ratings = [
        {"user_id": user_id(u), "item_id": item_id(i), "value": 5 if u % 2 == i % 2 else 1}
        for u in range(N_USERS)
        for i in range(N_ITEMS)
        if (u + i // 2) % 3
    ]
    accepted(service, "POST", "/ratings/batch", {"ratings": ratings})
    events = [
        {
            "event_id": f"{number}{IMAGE}",
            "type": IDS[number % len(IDS)],
            "user_id": user_id(number),
            "item_id": item_id(number),
            "placement": "home",
        }
        for number in range(N_USERS)
    ]
    accepted(service, "POST", "/events", {"events": events})
    of_category = f'categories contains "{SCRIPT}"'
    settings = {
        "filter": f'title != "{SCRIPT}"',
        "boost": f"{of_category} -> 2",
        "promote": of_category,
        "allow_unknown": True,
    }
    accepted(service, "PUT", "/placements/shelf", settings)


def item(number: int) -> dict[str, object]:
    text = TEXTS[number % len(TEXTS)]
    return {
        "item_id": item_id(number),
        "title": LONG_TITLE if number == N_ITEMS - 1 else f"{text} {number}",
        "description": f"{text} {'W' * 5_000}",
        "categories": [text, TEXTS[number % 2]],
        "attributes": {text: text, "taste": [SCRIPT, IMAGE], "W" * 64: "W" * 1_000},
        "created_by": user_id(number),
        "url": f"https://x.example/'-alert(1)-'?{LINK}",
        "image_url": f"https://x.example/'onerror='alert(1)?{LINK}",
        "year": 2000,
    }


def user(number: int) -> dict[str, object]:
    text = TEXTS[number % len(TEXTS)]
    return {"user_id": user_id(number), "attributes": {text: text, "W" * 64: "W" * 1_000}}


def accepted(service: RunningService, method: str, path: str, body: object) -> None:
    status, answer = service.call(method, path, body)
    assert status < 300, answer
    assert not answer.get("rejected"), answer


def write_items(path: Path) -> Path:
    """All items, one with the longest title, one whose addresses are scripts, and one without an id."""
    rows = [
        *((item_id(number), f"{TEXTS[number % len(TEXTS)]} {number}", SCRIPT, "", "") for number in range(N_ITEMS)),
        (f"{IMAGE}long", LONGEST_TITLE, IMAGE, "", SCRIPT),
        (f"{IMAGE}link", IMAGE, SCRIPT, LINK, LINK),
        ("", SCRIPT, "", "", IMAGE),
    ]
    return write(path, ["item_id", "title", "categories", "url", SCRIPT], rows)


def write_ratings(path: Path) -> Path:
    """Every third row has a value that is no number."""
    rows = [
        (user_id(u), item_id(i), (5 if u % 2 == i % 2 else 1) if (u + i) % 3 else SCRIPT)
        for u in range(N_USERS)
        for i in range(N_ITEMS)
    ]
    return write(path, ["user_id", "item_id", "rating"], rows)


def write(path: Path, names: list[str], rows: Sequence[tuple[object, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    return path
