"""Placements in the console: the form from the schema, the preview, saving, and the history with undo."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.console.placement_form import DEFAULTS, differences, form_groups
from app.console.placements import ReviewView, editor_view, placements_view, review_view
from app.serving.placement import PLACEMENT, Placement
from app.settings import Settings
from app.wiring import Service
from tests.support.console import Console, text_of
from tests.support.keys import GuardedApp

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


def fields_of(service: Service, name: str, **typed: Any) -> dict[str, Any]:
    """The form as a browser sends it, with these inputs changed; None is a box that is not marked."""
    view = editor_view(service, name)
    sent: dict[str, Any] = {"number": str(view.number)}
    for each in (each for group in view.groups for each in group.inputs):
        sent[each.name] = list(each.chosen) if each.kind == "choices" else each.value
    return {name: value for name, value in (sent | typed).items() if value not in (None, "", [])}


def reviewed(console: Console, name: str, settings: Placement, number: int, chosen: str = "") -> ReviewView:
    service: Service = console.client.app.state.service  # type: ignore[attr-defined]  # an application
    portal = console.client.portal
    assert portal is not None
    view: ReviewView = portal.call(lambda: review_view(service, name, settings, number, chosen))
    return view


def to_save(settings: Placement, number: int) -> dict[str, str]:
    return {"settings": json.dumps(settings.document), "number": str(number)}


def test_form_has_every_setting() -> None:
    """With its bounds and documentation, from the schema alone."""
    inputs = {each.name: each for group in form_groups(DEFAULTS) for each in group.inputs}
    schema = PLACEMENT.json_schema()["properties"]
    assert inputs.keys() == schema.keys()
    assert all(each.kind != "json" for each in inputs.values())
    for name, each in inputs.items():
        assert each.description.partition(";")[0] == schema[name]["description"].partition(";")[0]
        assert "null" not in each.description
    assert (inputs["novelty"].kind, inputs["novelty"].bounds, inputs["novelty"].value) == ("number", "0 to 1", "0")
    assert inputs["rotation_half_life_hours"].bounds == "above 0 to 1,000,000"
    assert "nearest" in inputs["sources"].options
    assert all(group.meaning for group in form_groups(DEFAULTS))


def test_form_in_words(console: Console) -> None:
    text = console.page("/console/placements/home")
    assert "<code>created_by</code>" in text
    assert "none marked: all" in text
    assert "`" not in text


@pytest.mark.parametrize("path", ["/console/placements/A%20b", "/console/placements/-x"])
def test_bad_name(console: Console, path: str) -> None:
    got = console.get(path)
    assert got.status_code == 422
    assert "1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit" in text_of(got.text)


def test_saved(console: Console, service: Service) -> None:
    typed = fields_of(
        service, "home", novelty="0.25", category_cap="3", filter='"even" in\r\ncategories', consume_again="yes"
    )
    text = console.post("/console/placements/home/review", typed)
    assert text.status_code == 200
    assert service.placement_editor.get("home").number == 0  # only shown
    settings = Placement(novelty=0.25, category_cap=3, filter='"even" in\ncategories', consume_again=True)
    assert console.done("/console/placements/home", to_save(settings, 0)) == "/console/placements/home?said=saved"
    stored = service.placement_editor.get("home")
    assert (stored.number, stored.settings) == (1, settings)
    assert [each.action for each in service.store.audit.entries(1)] == ["placements.put"]
    # The form of what is stored gives the same again.
    again = console.post("/console/placements/home/review", fields_of(service, "home"))
    assert "nothing would change" in again.text


def test_sources(console: Console, service: Service) -> None:
    typed = fields_of(service, "home", sources=["popular", "newest"])
    got = console.post("/console/placements/home/review", typed)
    assert "popular, newest" in got.text
    settings = Placement(sources=("popular", "newest"))
    console.done("/console/placements/home", to_save(settings, 0))
    assert service.placement_editor.get("home").settings == settings
    assert editor_view(service, "home").groups[0].inputs[0].chosen == ("popular", "newest")


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ({"novelty": "2"}, "less than or equal to 1"),
        ({"novelty": "much"}, "A number is needed."),
        ({"novelty": "nan"}, "finite"),
        ({"freshness_half_life_days": "0"}, "greater than 0"),
        ({"category_cap": "2.5"}, "A whole number is needed."),
        ({"category_cap": "0"}, "greater than or equal to 1"),
        ({"sources": ["popular", "made-up"]}, "should be"),
        ({"filter": "year >="}, "At character 7"),
        ({"filter": "yaer > 1990"}, "year"),
        ({"boost": '"eve" in categories -> 2'}, "even"),
        ({"promote": "x" * 5_001}, "at most 5000 characters"),
        ({"demote": HOSTILE}, "At character "),
    ],
)
def test_refused(console: Console, service: Service, typed: dict[str, Any], problem: str) -> None:
    """The message stands beside the setting, and what was typed is kept."""
    got = console.post("/console/placements/home/review", fields_of(service, "home", recurring="0.125", **typed))
    assert got.status_code == 422
    assert problem in got.text
    assert 'value="0.125"' in got.text
    (name,) = typed
    marked = got.text.split(f'id="s-{name}"')[-1] if name != "sources" else got.text
    assert 'aria-invalid="true"' in marked.split(">")[0] or name == "sources"
    assert not any(each in got.text for each in ("<script>alert", "<img src=x"))


def test_unknown_name_allowed(console: Console, service: Service) -> None:
    typed = fields_of(service, "home", filter="colour = 'red'", allow_unknown="yes")
    got = console.post("/console/placements/home/review", typed)
    assert (got.status_code, "no item has an attribute" in got.text) == (200, True)


def test_preview(console: Console, service: Service) -> None:
    """Lists of three users before and after, and of one of choice."""
    settings = Placement(filter='"even" in categories', consume_again=True)
    view = reviewed(console, "home", settings, 0, chosen="nobody yet")
    assert view.preview.users[0].who == "of your choice"
    assert [each.who for each in view.preview.users[1:]] == [
        "with few choices",
        "with a typical number of choices",
        "with many choices",
    ]
    catalogue = service.serving.current.catalogue
    for user in view.preview.users:
        got = console.client.post(
            "/placements/home/preview",
            json={"user_id": user.user_id, "limit": 10, "settings": {"filter": settings.filter, "consume_again": True}},
        )
        assert [each.item_id for each in user.after] == [each["item_id"] for each in got.json()["items"]]
        rows = [catalogue.row_of_id(each.item_id) for each in user.after]
        assert all("even" in names for names in catalogue.categories_by_name([row for row in rows if row is not None]))  # type: ignore[arg-type]  # a list indexes as well
        before = [each.item_id for each in user.before]
        for place, each in enumerate(user.after):
            assert each.moved == (before.index(each.item_id) - place if each.item_id in before else None)
        assert set(user.gone) == set(before) - {each.item_id for each in user.after}
    assert view.preview.before.diversity is not None
    assert reviewed(console, "home", settings, 0, chosen="a/b").preview.problem is not None


def test_preview_of_nothing_left(console: Console) -> None:
    view = reviewed(console, "home", Placement(filter="item_id = 'nothing'"), 0)
    assert view.preview.after.coverage is None
    assert any("leave no item" in each for each in view.preview.notes)


def test_two_operators(console: Console, service: Service) -> None:
    """The second is told what the first has saved; nothing of either is lost."""
    mine, theirs = Placement(novelty=0.5), Placement(diversity=0.5)
    service.placement_editor.put("home", theirs, changed_by="4f1d09c2ab77", expected={0})
    got = console.post("/console/placements/home", to_save(mine, 0))
    assert got.status_code == 412
    assert "4f1d09c2ab77" in got.text
    assert "Diversity from <bdi>0</bdi> to <bdi>0.5</bdi>" in got.text
    assert service.placement_editor.get("home").settings == theirs
    assert 'name="number" value="1"' in got.text
    console.done("/console/placements/home", to_save(mine, 1))
    assert [each.number for each in editor_view(service, "home").versions] == [2, 1]
    assert console.post("/console/placements/home/delete", {"number": "1"}).status_code == 412
    assert console.post("/console/placements/home/versions/1/restore", {"number": "1"}).status_code == 412


def test_history(console: Console, service: Service) -> None:
    editor = service.placement_editor
    editor.put("email", Placement(novelty=0.1), changed_by="a key")
    editor.put("email", Placement(novelty=0.2), changed_by=None)
    editor.delete("email", changed_by=None)
    versions = editor_view(service, "email").versions
    assert [(each.number, each.author, each.is_deletion) for each in versions] == [
        (3, None, True),
        (2, None, False),
        (1, "a key", False),
    ]
    assert [(one.name, one.before, one.after) for one in versions[1].changed] == [("novelty", "0.1", "0.2")]
    assert [each.name for each in placements_view(service).deleted] == ["email"]
    assert "Return to version 1" in console.text("/console/placements/email/versions/1")
    console.done("/console/placements/email/versions/1/restore", {"number": "3"})
    assert editor.get("email").settings == Placement(novelty=0.1)
    assert [each.action for each in service.store.audit.entries(1)] == ["placements.restore"]
    for number, status in ((3, 409), (99, 404), (0, 422)):
        assert console.get(f"/console/placements/email/versions/{number}").status_code == status


def test_created_and_deleted(console: Console, service: Service) -> None:
    assert console.get("/console/placements?create=email").headers["location"] == "/console/placements/email?new=yes"
    assert "It does not exist" in console.text("/console/placements/email?new=yes")
    assert console.get("/console/placements/email").status_code == 404
    console.done("/console/placements/email", to_save(Placement(), 0))
    assert [each.name for each in placements_view(service).rows] == ["home", "email"]
    console.done("/console/placements/email/delete", {"number": "1"})
    assert [each.name for each in placements_view(service).rows] == ["home"]
    for name in ("Two words", "", "x" * 65, HOSTILE):
        got = console.get("/console/placements", params={"create": name})
        assert (got.status_code, "<script>alert" in got.text) == (422, False)


@pytest.mark.parametrize("fields", [{}, {"number": "-1"}, {"number": "9" * 30}, {"number": "0", "settings": "[1]"}])
def test_malformed(console: Console, service: Service, fields: dict[str, str]) -> None:
    for path in ("review", "edit"):
        assert console.post(f"/console/placements/home/{path}", {"settings": "{}"} | fields).status_code == 422
    assert console.post("/console/placements/home", {"settings": "{}"} | fields).status_code == 422
    assert service.placement_editor.get("home").number == 0


def test_changed_further(console: Console) -> None:
    got = console.post("/console/placements/home/edit", to_save(Placement(novelty=0.375), 0))
    assert 'value="0.375"' in got.text


def test_differences() -> None:
    assert differences({}, DEFAULTS) == ()
    assert differences({"sources": ["popular"]}, Placement(sources=("popular",)).document) == ()
    (one,) = differences({"category_cap": 3}, DEFAULTS)
    assert (one.label, one.before, one.after) == ("Category cap", "3", "not set")


def test_empty(empty: Console) -> None:
    assert "There is no earlier version" in empty.text("/console/placements/home")
    got = empty.post("/console/placements/home/review", to_save(Placement(novelty=0.5), 0))
    assert (got.status_code, "There are no users yet" in got.text) == (200, True)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedApp]:
    opened = GuardedApp(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


def test_who_may_only_look(guarded: GuardedApp) -> None:
    console, key = Console(guarded.app), guarded.key("console")
    with console.client:
        console.log_in(key)
        text = console.post("/console/placements/home/review", to_save(Placement(novelty=0.5), 0))
        assert (text.status_code, "may save it" in text.text) == (200, True)
        for path in ("", "/delete", "/versions/1/restore"):
            assert console.post(f"/console/placements/home{path}", to_save(Placement(), 0)).status_code == 403
        assert "New placement" not in console.text("/console/placements")
