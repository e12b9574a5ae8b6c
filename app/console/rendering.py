"""Turns a template and a view model into a page.

Templates escape everything that they insert, and fail for a name that the view model does not have. They hold no inline
scripts and styles, which the Content-Security-Policy would refuse.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from app import __version__
from app.console.covers import is_shown
from app.errors import ReckonError

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
MISSING = "\N{EN DASH}"
"""Shown in place of a value that is not known."""


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the navigation. `path`: of its first page; its other pages are below."""

    name: str
    path: str


SECTIONS = (
    Section("Home", "/"),
    Section("Try it", "/console/try"),
    Section("Users", "/console/users"),
    Section("Items", "/console/items"),
    Section("Placements", "/console/placements"),
    Section("Learning", "/console/learning"),
    Section("Data", "/console/data"),
    Section("Operations", "/console/operations"),
)

MESSAGES = {
    "saved": "Saved.",
    "deleted": "Deleted.",
    "restored": "The earlier version is in force again.",
    "started": "The training run waits for the worker.",
    "cancelled": "The training run is being cancelled.",
    "activated": "The snapshot is live and pinned: later runs publish without going live.",
    "followed": "The newest snapshot is live, and later ones will be.",
    "erased": "The user is erased from every answer. The receipt says when nothing is left.",
    "imported": "The import has started.",
    "unchanged": "Nothing was changed.",
    "revoked": "The key is revoked: every process refuses it within 5 seconds.",
}
"""What a page says after an act, by the parameter `said` of its address, which holds no text of its own."""


def number(value: float | None, digits: int = 0) -> str:
    """With separators of thousands, such as `12,345.7`."""
    return MISSING if value is None or value != value else f"{value:,.{digits}f}"  # noqa: PLR0124  NaN


def percent(share: float | None, digits: int = 1) -> str:
    """`share`: from 0 to 1."""
    return MISSING if share is None or share != share else f"{100 * share:.{digits}f} %"  # noqa: PLR0124  NaN


def n_bytes(value: float | None) -> str:
    if value is None:
        return MISSING
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(value) < 1_000:  # noqa: PLR2004  SI prefixes
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1_000
    return f"{value:,.1f} TB"


def duration(seconds: float | None) -> str:
    """With the two largest units, such as `3 h 20 min`."""
    if seconds is None:
        return MISSING
    if seconds < 1:
        return f"{1_000 * seconds:.{1 if seconds < 0.01 else 0}f} ms"  # noqa: PLR2004  below it, tenths matter
    if seconds < 10:  # noqa: PLR2004  below it, tenths matter
        return f"{seconds:.1f} s"
    parts: list[str] = []
    rest = round(seconds)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        n, rest = divmod(rest, size)
        if n and len(parts) < 2:  # noqa: PLR2004
            parts.append(f"{n} {unit}")
        elif parts:
            break
    return " ".join(parts)


def within(seconds: float | None, longest: float) -> str:
    """A time of which no more is known beyond `longest`, where it is infinite."""
    if seconds is None or math.isfinite(seconds):
        return duration(seconds)
    return f"more than {duration(longest).replace('.0 ', ' ')}"


def moment(at: datetime | None) -> Markup:
    """A time in UTC, which `console.js` shows in the time zone of the viewer."""
    if at is None:
        return escape(MISSING)
    utc = at.astimezone(UTC)
    # Both are digits and punctuation alone.
    return Markup('<time datetime="{}">{}</time>').format(f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%Y-%m-%d %H:%M} UTC")


def ago(at: datetime | None) -> Markup:
    """How long ago a time was; the time itself is shown when it is pointed at."""
    if at is None:
        return escape(MISSING)
    utc = at.astimezone(UTC)
    seconds = max((datetime.now(UTC) - utc).total_seconds(), 0)
    text = "just now" if seconds < 1 else f"{duration(round(seconds))} ago"
    return Markup('<time datetime="{}" class="ago" title="{}">{}</time>').format(
        f"{utc:%Y-%m-%dT%H:%M:%SZ}", f"{utc:%Y-%m-%d %H:%M:%S} UTC", text
    )


def shown(value: object) -> str:
    """Any value of a document as text: lists with commas, flags as yes and no, numbers with all of their digits."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(shown, value)) if value else MISSING
    if isinstance(value, dict):
        return "; ".join(f"{name}: {shown(each)}" for name, each in value.items()) if value else MISSING
    return str(value)


def cell(value: object) -> str:
    """As `shown`, in the table of a plot: with six digits of a number, and all those before the point."""
    if isinstance(value, float) and math.isfinite(value):
        value = float(f"{value:.6g}") if abs(value) < 1e6 else round(value)  # noqa: PLR2004  it has more than six
    return shown(value)


def coded(text: str) -> Markup:
    """A text in which what stands between backticks is code."""
    code = Markup("<code>{}</code>")
    return Markup().join(code.format(part) if place % 2 else escape(part) for place, part in enumerate(_split(text)))


def _split(text: str) -> list[str]:
    parts = text.split("`")
    # A single backtick is itself.
    return parts if len(parts) % 2 else [*parts[:-2], f"{parts[-2]}`{parts[-1]}"]


def link(path: str, *parts: object, **parameters: object) -> str:
    """The address of a page: the parts escaped as segments of the path, and the parameters that are not None."""
    address = "/".join([path, *(quote(str(part), safe="") for part in parts)])
    given = {name: value for name, value in parameters.items() if value is not None and value != ""}
    return f"{address}?{urlencode(given, doseq=True)}" if given else address


@cache
def asset(name: str) -> str:
    """The address of a file in `static`, which changes with its content, so that browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/console/static/{name}?v={digest}"


def as_json(value: object) -> Markup:
    """JSON for a `<script type="application/json">`, which nothing in it can end."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "number": number,
        "percent": percent,
        "bytes": n_bytes,
        "duration": duration,
        "within": within,
        "moment": moment,
        "ago": ago,
        "shown": shown,
        "cell": cell,
        "coded": coded,
        "as_json": as_json,
    }
    environment.globals |= {
        "link": link,
        "asset": asset,
        "sections": SECTIONS,
        "messages": MESSAGES,
        "version": __version__,
        "missing": MISSING,
    }
    return environment


TEMPLATES = _environment()


def page(request: Request, template: str, view: object, *, status: int = 200) -> HTMLResponse:
    """The page of a view model, which its template knows as `view`."""
    state = request.scope["state"]
    caller, session = state.get("caller"), state.get("session")
    path = request.url.path
    text = TEMPLATES.get_template(template).render(
        view=view,
        path=path,
        section=_section_of(path),
        said=MESSAGES.get(request.query_params.get("said", "")),
        form_token="" if session is None else session.form_token,
        may_change=caller is not None and "admin" in caller.scopes,
        may_look=caller is not None and "console" in caller.scopes,
        is_open=state.get("is_open", False),
        tenant=None if caller is None else caller.tenant,
        shows_image=partial(is_shown, hosts=state.get("image_hosts", ())),
    )
    return HTMLResponse(text, status_code=status)


def _section_of(path: str) -> Section | None:
    return next((each for each in SECTIONS if path == each.path or path.startswith(f"{each.path}/")), None)


@dataclass(frozen=True, slots=True)
class ProblemView:
    """`status`: of HTTP."""

    title: str
    detail: str
    status: int
    request_id: str


def problem_page(request: Request, error: ReckonError) -> Response:
    """What went wrong, as a page; as a part of a page where htmx asks."""
    view = ProblemView(error.title, error.detail, error.status, request.scope["state"].get("request_id", ""))
    response = page(request, "problem.html", view, status=error.status)
    for name, value in error.headers.items():
        if name.lower() != "www-authenticate":  # a browser would ask for a password
            response.headers[name] = value
    return response
