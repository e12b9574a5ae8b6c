"""An item: what is shown of it, and how its fields are changed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.console.item import ItemView, item_view
from app.entities import Item
from app.serving.placement import Placement
from app.settings import Settings
from app.wiring import Service
from tests.support.console import Console
from tests.support.events import happened
from tests.support.keys import GuardedApp
from tests.support.user_states import tasteful_ratings

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


def viewed(console: Console, item_id: str, **asked: Any) -> ItemView:
    service: Service = console.client.app.state.service  # type: ignore[attr-defined]  # an application
    portal = console.client.portal
    assert portal is not None
    view: ItemView = portal.call(lambda: item_view(service, item_id, **asked))
    return view


def fields_of(view: ItemView, **typed: Any) -> dict[str, Any]:
    """The form as a browser sends it, with these inputs changed."""
    form = view.form
    sent: dict[str, Any] = {each.name: each.value for each in form.fields}
    sent |= {f"was.{each.name}": each.was for each in form.fields}
    for part in ("name", "kind", "value", "was"):
        sent[f"attribute.{part}"] = [getattr(each, part) for each in form.attributes]
    return sent | typed


def test_learned(console: Console) -> None:
    learned = viewed(console, "item-0").learned
    given = tasteful_ratings()
    stored = [value for item_id, value in zip(given.item_id, given.value.tolist(), strict=True) if item_id == "item-0"]
    assert (learned.source, learned.n_choices) == ("learned", len(stored))
    assert learned.mean_rating == pytest.approx(np.mean(stored))
    assert sum(row[1] for row in learned.histogram.rows) == len(stored)
    assert [row[0] for row in learned.histogram.rows] == [f"{each:g}" for each in sorted(set(stored))]
    unrated = viewed(console, "unrated-0").learned
    assert (unrated.source, unrated.n_choices, unrated.histogram.rows) == ("nothing", 0, [])


def test_newer_than_snapshot(console: Console, service: Service) -> None:
    service.store.items.record([Item("new", categories=("even",)), Item("newest")])
    assert [viewed(console, each).learned.source for each in ("new", "newest")] == ["features", "nothing"]
    assert viewed(console, "new").learned.n_choices is None


def test_similar(console: Console) -> None:
    view = viewed(console, "item-0")
    assert len(view.similar.items) == 10
    taste = viewed(console, "item-0", kind="taste").similar
    assert {name for each in taste.items for name in each.contributions} == {"taste"}
    chosen_next = viewed(console, "item-0", kind="next").similar
    assert {name for each in chosen_next.items for name in each.contributions} <= {"next"}
    assert console.get("/console/items/item-0?kind=odd").status_code == 422


def test_use(console: Console, service: Service) -> None:
    rows = happened(
        ("e1", "shown", "ann", "item-0", 1),
        ("e2", "shown", "bob", "item-0", 2),
        ("e3", "clicked", "bob", "item-0", 3),
        ("e4", "disliked", "ann", "item-0", 4),
    )
    service.store.events.record(replace(rows, placement=["home", "home", "home", None]))
    use = viewed(console, "item-0").use
    assert (use.n_shown, use.n_chosen, use.rate) == (2, 1, 0.5)
    assert [(each.placement, each.n_shown, each.n_chosen) for each in use.by_placement] == [("home", 2, 1)]
    assert "Send an event of the type shown" in console.text("/console/items/item-1")


def test_never_shown(console: Console, service: Service) -> None:
    """Events of choices alone: the page says how to send those of showing."""
    service.store.events.record(happened(("e1", "clicked", "bob", "item-0", 1)))
    text = console.text("/console/items/item-0")
    assert "None of its events shows the item. Send an event of the type shown" in text
    assert "Chosen ? Events of other types with a positive weight. 1 events" in text


def test_many_events(console: Console, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only some are counted, each number says so."""
    monkeypatch.setattr("app.store.events.MAX_COUNTED", 2)
    service.store.events.record(happened(*((f"e{n}", "shown", f"u{n}", "item-0", n) for n in range(3))))
    text = console.text("/console/items/item-0")
    assert text.count("of the first 20,000 events") == 3
    assert "None of" not in text


def test_lists(console: Console, service: Service) -> None:
    view = viewed(console, "item-0", lists="home")
    assert view.lists is not None
    assert len(view.lists.places) > 0
    given = tasteful_ratings()
    rated = set(zip(given.user_id, given.item_id, strict=True))
    assert all((place.user_id, "item-0") not in rated for place in view.lists.places)
    service.placement_editor.put("picked", Placement(filter='item_id != "item-0"'), changed_by=None)
    refused = viewed(console, "item-0", lists="picked").lists
    assert refused is not None
    assert {each.rules for each in refused.places} == {("filter",)}
    assert refused.n_shown == 0
    assert console.get("/console/items/item-0?lists=nowhere").status_code == 422


def test_edited(console: Console, service: Service) -> None:
    before = Item(
        "film",
        title="Film",
        categories=("Drama",),
        year=1990,
        attributes={"minutes": 90, "dubbed": True, "tags": ["a"]},
    )
    service.store.items.record([before])
    view = viewed(console, "film")
    sent = fields_of(view, title=" Film II ", categories="Drama\r\nCrime\r\nDrama", year="", url="https://a.example/1")
    sent["attribute.value"] = ["no", "91.5", "a\r\nb, c", "x"]
    sent["attribute.name"][3] = "mood"
    assert console.done("/console/items/film", sent) == "/console/items/film?said=saved"
    assert service.store.items.get("film") == Item(
        "film",
        title="Film II",
        categories=("Drama", "Crime"),
        url="https://a.example/1",
        attributes={"minutes": 91.5, "dubbed": False, "tags": ["a", "b, c"], "mood": "x"},
    )
    assert [each.action for each in service.store.audit.entries(1)] == ["items.patch"]


def test_only_what_differs(console: Console, service: Service) -> None:
    """Two operators who change different fields of an item: neither undoes the other's change."""
    service.store.items.record([Item("film", title="Film", attributes={"minutes": 90, "mood": "sad"})])
    view = viewed(console, "film")
    console.done("/console/items/film", fields_of(view, year="1990"))
    sent = fields_of(view, title="Other")
    sent["attribute.value"][1] = ""
    console.done("/console/items/film", sent)
    assert service.store.items.get("film") == Item("film", title="Other", year=1990, attributes={"minutes": 90})
    assert console.done("/console/items/film", fields_of(viewed(console, "film"))).endswith("said=unchanged")


def test_same_field(console: Console, service: Service) -> None:
    """Two operators who change the same field: the second is told what the first has written, and may replace it."""
    service.store.items.record([Item("film", title="Film", attributes={"mood": "sad"})])
    view = viewed(console, "film")
    first, second = fields_of(view, title="First"), fields_of(view, title="Second", year="1990")
    first["attribute.value"][0], second["attribute.value"][0] = "glad", "wild"
    console.done("/console/items/film", first)
    told = console.post("/console/items/film", second)
    assert (told.status_code, "it is “First” now" in told.text, "it is “glad” now" in told.text) == (422, True, True)
    assert 'name="was.title" value="First"' in told.text
    assert service.store.items.get("film") == Item("film", title="First", attributes={"mood": "glad"})
    second["was.title"], second["attribute.was"][0] = "First", "text\nglad"
    console.done("/console/items/film", second)
    assert service.store.items.get("film") == Item("film", title="Second", year=1990, attributes={"mood": "wild"})
    # Who writes the same as the other, or removes what is gone, has nothing to decide.
    first["title"], first["attribute.value"][0] = "Second", "wild"
    console.done("/console/items/film", first)


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ({"year": "1990.5"}, "A whole number is needed."),
        ({"year": "20000"}, "less than or equal to 10000"),
        ({"year": "9" * 5_000}, "A whole number is needed."),
        ({"url": "javascript:alert(1)"}, "must begin with http"),
        ({"title": "x" * 1_001}, "at most 1000 characters"),
        ({"title": "a\x01b"}, "control characters"),
        ({"categories": "\n".join(map(str, range(51)))}, "at most 50 items"),
        ({"available_until": "tomorrow"}, "datetime"),
        ({"available_until": "2030-01-01T00:00:00"}, "timezone"),
        ({"created_by": "a/b"}, "must not contain"),
        ({"attribute.value": ["1e999"], "attribute.kind": ["number"], "attribute.name": ["n"]}, "finite"),
        ({"attribute.value": ["ten"], "attribute.kind": ["number"], "attribute.name": ["n"]}, "A number is needed."),
        ({"attribute.value": ["ja"], "attribute.kind": ["yes or no"], "attribute.name": ["n"]}, "Write yes or no."),
        ({"attribute.value": ["x"], "attribute.name": [""]}, "An attribute needs a name."),
        ({"attribute.value": ["x"], "attribute.name": ["n" * 65]}, "at most 64 characters"),
    ],
)
def test_refused(empty: Console, typed: dict[str, Any], problem: str) -> None:
    """The message stands beside the field, and what was typed is kept."""
    empty.client.put("/items/film", json={"title": "Film"})
    got = empty.post("/console/items/film", fields_of(viewed(empty, "film"), **typed))
    assert got.status_code == 422
    assert problem in got.text
    for value in typed.values():
        assert (value if isinstance(value, str) else value[0])[:50].split("\n")[0] in got.text
    assert empty.client.get("/items/film").json()["attributes"] == {}
    assert empty.client.get("/items/film").json()["title"] == "Film"


def test_availability(console: Console, service: Service) -> None:
    for answer, is_available in (("no", False), ("yes", True)):
        console.done("/console/items/item-0/availability", {"is_available": answer})
        item = service.store.items.get("item-0")
        assert item is not None
        assert item.is_available is is_available
    assert console.post("/console/items/item-0/availability", {"is_available": "maybe"}).status_code == 422
    assert console.post("/console/items/nothing/availability", {"is_available": "no"}).status_code == 404


def test_hostile_texts(console: Console, service: Service) -> None:
    odd = Item(
        "a?b&c",
        title=HOSTILE,
        categories=(HOSTILE, 'a "b" \\'),
        description=HOSTILE * 50,
        attributes={HOSTILE: HOSTILE},
        created_by="<b>",
        added_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    service.store.items.record([odd])
    html = console.page("/console/items/a%3Fb%26c")
    assert not any(each in html for each in ("<script>alert", "<img src=x", "<b>"))


def test_unknown(console: Console) -> None:
    assert console.get("/console/items/nothing").status_code == 404
    assert console.get("/console/items/%00").status_code == 422
    assert console.post("/console/items/nothing", {"title": "x", "was.title": ""}).status_code == 404


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedApp]:
    opened = GuardedApp(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


def test_who_may_only_look(guarded: GuardedApp) -> None:
    guarded.store.items.record([Item("film")])
    console, key = Console(guarded.app), guarded.key("console")
    with console.client:
        console.log_in(key)
        assert "<form" not in console.page("/console/items/film").split("<main")[1]
        assert console.post("/console/items/film", {"title": "x", "was.title": ""}).status_code == 403
        assert console.post("/console/items/film/availability", {"is_available": "no"}).status_code == 403
    assert guarded.store.items.get("film") == Item("film")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines(console: Console, service: Service, end: str) -> None:
    """Browsers send them as CR LF, whichever they were: what is not changed stays as it is."""
    before = Item("film", title=f"A{end}B", description=f"One{end}Two", attributes={"note": f"x{end}y"})
    service.store.items.record([before])
    view = viewed(console, "film")
    assert {each.name for each in view.form.fields if each.is_long} >= {"title", "description"}

    def as_sent(value: Any) -> Any:
        return [as_sent(each) for each in value] if isinstance(value, list) else value.replace("\n", "\r\n")

    sent = {name: as_sent(value) for name, value in fields_of(view, year="1990").items()}
    console.done("/console/items/film", sent)
    assert service.store.items.get("film") == replace(before, year=1990)
