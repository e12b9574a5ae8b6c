"""Numbers, times and texts as pages show them, and that nothing of a text becomes part of a page."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from app.console import rendering
from app.console.covers import cover_of, is_shown
from app.console.plots import Plot, Sparkline, bars, channel
from app.console.rendering import (
    MISSING,
    STATIC,
    TEMPLATES,
    ago,
    as_json,
    cell,
    coded,
    duration,
    link,
    moment,
    n_bytes,
    number,
    percent,
    shown,
    within,
)

NAN = float("nan")
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(1234567), "1,234,567"),
        (number(0.12345, 3), "0.123"),
        (number(None), MISSING),
        (number(NAN), MISSING),
        (percent(0.1234), "12.3 %"),
        (percent(None), MISSING),
        (n_bytes(999), "999 bytes"),
        (n_bytes(1_500), "1.5 kB"),
        (n_bytes(2.5e12), "2.5 TB"),
        (duration(0.0123), "12 ms"),
        (duration(2.55), "2.5 s"),
        (duration(75), "1 min 15 s"),
        (duration(3_600), "1 h"),
        (duration(90_061), "1 d 1 h"),
        (within(4.0, 5.0), "4.0 s"),
        (within(math.inf, 5.0), "more than 5 s"),
        (within(math.inf, 3_600.0), "more than 1 h"),
        (within(None, 5.0), MISSING),
        (shown(["a", True, None, 1.50]), f"a, yes, {MISSING}, 1.5"),
        (shown({}), MISSING),
        (shown(12_345_678.0), "12345678"),
        (shown(0.1234567891), "0.1234567891"),
        (cell(12_345_678.4), "12345678"),
        (cell(0.1234567891), "0.123457"),
        (cell(3.0), "3"),
        (cell(NAN), "nan"),
        (cell("a"), "a"),
    ],
)
def test_formats(text: str, expected: str) -> None:
    assert text == expected


def test_times() -> None:
    at = datetime(2026, 11, 30, 23, 5, 1, tzinfo=timezone(timedelta(hours=2)))
    assert moment(at) == '<time datetime="2026-11-30T21:05:01Z">2026-11-30 21:05 UTC</time>'
    assert ago(datetime.now(UTC) - timedelta(minutes=5, seconds=3)).split(">")[1] == "5 min 3 s ago</time"
    assert ago(datetime.now(UTC) + timedelta(hours=1)).split(">")[1] == "just now</time"  # the clocks differ
    assert ago(None) == MISSING


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped(text: str) -> None:
    made = TEMPLATES.from_string('<a title="{{ x }}">{{ x }}</a>{{ [x]|shown }}').render(x=text)
    assert not any(each in made for each in ("<script", "<img", '"><'))
    assert as_json({"a": text}).count("<") == 0


def test_scripts_of_plots() -> None:
    """One template names them, and the pages with plots include it."""
    folder = Path(rendering.__file__).parent / "templates"
    assert [each.name for each in folder.iterdir() if "vega-lite" in each.read_text()] == ["plot_scripts.html"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Start `reckon worker`.", "Start <code>reckon worker</code>."),
        ("a ` b", "a ` b"),
        ("`<b>` and `c` ` <i>", "<code>&lt;b&gt;</code> and <code>c</code> ` &lt;i&gt;"),
        ("plain", "plain"),
    ],
)
def test_coded(text: str, expected: str) -> None:
    assert coded(text) == expected


def test_undefined() -> None:
    with pytest.raises(UndefinedError):
        TEMPLATES.from_string("{{ view.missing }}").render(view=object())


def test_link() -> None:
    assert link("/console/users", "a/b?c#d é", q=None, page=2) == "/console/users/a%2Fb%3Fc%23d%20%C3%A9?page=2"
    assert link("/x", filter=["a", "b&c"]) == "/x?filter=a&filter=b%26c"


def test_vendored_files() -> None:
    """They are what their publishers released; see ORIGIN."""
    folder = STATIC / "vendor"
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    files = {each.name for each in folder.iterdir()} - {"SHA256SUMS", "ORIGIN"}
    assert sums == {name: sha256((folder / name).read_bytes()).hexdigest() for name in files}


@pytest.mark.parametrize(
    "template", sorted((Path(rendering.__file__).parent / "templates").rglob("*.html")), ids=lambda path: path.name
)
def test_nothing_inline(template: Path) -> None:
    """The policy would refuse it, in the browser alone."""
    text = template.read_text()
    assert not any(each in text for each in ("style=", "<style"))
    assert not any(f" on{event}=" in text for event in ("click", "load", "error", "submit", "change", "input"))
    assert not any(each in text for each in ("javascript:", "|safe"))
    assert text.count("<script") == text.count("<script src=") + text.count('<script type="application/json">')


@dataclass
class Drawn:
    plot: Plot


def test_plot() -> None:
    plot = Plot("Title", "Meaning.", ("a.b", "n"), [("</script>", 1), ("y", None)], bars("a.b", "n"))
    assert plot.spec["encoding"]["x"]["field"] == "a\\.b"
    html = TEMPLATES.from_string('{% import "parts.html" as parts %}{{ parts.plot(view.plot) }}').render(
        view=Drawn(plot)
    )
    assert html.count("</script>") == 1
    assert "<td>&lt;/script&gt;</td>" in html
    with pytest.raises(ValueError, match="has not 2 values"):
        Plot("Title", "Meaning.", ("a", "b"), [(1,)], {})


def test_plot_of_many() -> None:
    plot = Plot("Title", "Meaning.", ("n",), [(n,) for n in range(250)], {})
    assert (len(plot.rows_shown), plot.n_left_out, len(plot.spec["data"]["values"])) == (200, 50, 250)


@pytest.mark.parametrize(
    ("values", "points"),
    [([], ""), ([0, 0], "0.0,29.0 100.0,29.0"), ([1, 2], "0.0,15.0 100.0,1.0"), ([3], "0.0,1.0")],
)
def test_sparkline(values: list[float], points: str) -> None:
    assert Sparkline(values, "label").points == points


def test_channel_names() -> None:
    assert channel("a[0].b\\", "nominal")["field"] == "a\\[0\\]\\.b\\\\"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://i.example/x.jpg", True),
        ("http://i.example/x.jpg", False),
        ("javascript:alert(1)", False),
        (None, False),
    ],
)
def test_cover(url: str | None, kept: bool) -> None:
    cover: Any = cover_of("The Shawshank Redemption " * 100, ["Drama"], url)
    assert (cover.image_url == url) == (kept or url is None)
    assert (len(cover.lines), cover.shade) == (5, cover_of("x", ["Drama"]).shade)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://i.example/x.jpg", True),
        ("https://a.b.example.org/x.jpg", True),
        ("https://example.org/x.jpg", False),
        ("https://evil.example/x.jpg", False),
        ("http://i.example/x.jpg", False),
        ("https://i.example:8443/x.jpg", False),
        ("https://i.example:x/", False),
        ("https://evil.example/?i.example", False),
    ],
)
def test_pictures(url: str, shown: bool) -> None:
    assert is_shown(url, {"i.example", "*.example.org"}) == shown
