"""Placements: a list, an editor made from the schema, a preview, and the history with undo."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import AfterValidator
from starlette.concurrency import run_in_threadpool

from app.console.placement_form import (
    SettingChange,
    SettingGroup,
    TypedPlacement,
    differences,
    form_groups,
    read_placement,
)
from app.console.placement_preview import Preview, preview_of
from app.console.rendering import link, page
from app.console.routing import caller_of, changes, console_router, reads, service_of
from app.errors import ChangedMeanwhileError, InvalidInputError, NotFoundError
from app.serving.placement import Placement, check_name, parse_placement
from app.serving.placement_editor import DeletedVersionError
from app.serving.query import DEFAULT_PLACEMENT
from app.store.placements import KEPT_VERSIONS, PlacementVersion
from app.wiring import Service

router = console_router("/console/placements")

Name = Annotated[str, AfterValidator(check_name)]
Number = Annotated[int, Path(ge=1, lt=2**63)]
MAX_NUMBER = 2**63


@dataclass(frozen=True, slots=True)
class PlacementRow:
    """`changed`: its settings that are not at their defaults. `number`: of its version, 0 if it was never changed."""

    name: str
    number: int
    changed: tuple[SettingChange, ...]


@dataclass(frozen=True, slots=True)
class PlacementsView:
    rows: tuple[PlacementRow, ...]
    deleted: tuple[PlacementRow, ...]
    create: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class VersionRow:
    """`changed`: what differs from the version before. `author`: None where the service was open."""

    number: int
    changed_at: datetime
    author: str | None
    changed: tuple[SettingChange, ...]
    is_deletion: bool
    is_current: bool


@dataclass(frozen=True, slots=True)
class EditorView:
    """`number`: of the version that the form was made from. `exists`: False for one that is to be created."""

    name: str
    number: int
    exists: bool
    groups: tuple[SettingGroup, ...]
    versions: tuple[VersionRow, ...]
    n_problems: int = 0

    @property
    def can_delete(self) -> bool:
        return self.exists and self.number > 0

    @property
    def is_home(self) -> bool:
        return self.name == DEFAULT_PLACEMENT


@dataclass(frozen=True, slots=True)
class ReviewView:
    """What would change. `settings`: as JSON, for the forms. `number`: of the version that is replaced.

    `restored`: the number of the version whose settings these are; None for typed ones. `meanwhile`: the version that
    another operator saved since the form was made.
    """

    name: str
    number: int
    exists: bool
    changed: tuple[SettingChange, ...]
    settings: str
    preview: Preview
    restored: int | None = None
    meanwhile: VersionRow | None = None


@router.get("")
async def show_all(request: Request, create: Annotated[str | None, Query(max_length=200)] = None) -> Response:
    """`create`: the name of a placement to make."""
    service, problem = service_of(request), None
    if create is not None:
        try:
            name = check_name(create.strip())
            return RedirectResponse(link("/console/placements", name, new="yes"), status_code=303)
        except InvalidInputError as error:
            problem = error.detail
    view = await run_in_threadpool(placements_view, service, create or "", problem)
    return page(request, "placements.html", view, status=200 if problem is None else 422)


def placements_view(service: Service, create: str = "", problem: str | None = None) -> PlacementsView:
    stored = service.placement_editor.all()
    names = {each.name for each in stored}
    rows = tuple(PlacementRow(each.name, each.number, _from_defaults(each.settings.document)) for each in stored)
    deleted = tuple(
        PlacementRow(name, current.number, ())
        for name, current in service.store.placements.all_current().items()
        if name not in names
    )
    return PlacementsView(rows, deleted, create, problem)


@router.get("/{name}")
async def show(request: Request, name: Name, new: str = "") -> Response:
    view = await run_in_threadpool(editor_view, service_of(request), name, may_be_new=new == "yes")
    return page(request, "placement.html", view)


def editor_view(
    service: Service,
    name: str,
    typed: TypedPlacement | None = None,
    *,
    number: int | None = None,
    may_be_new: bool = True,
) -> EditorView:
    """`typed`: what the form holds in place of what is stored, `number` then of the version that it was made from."""
    current, settings = _current(service, name)
    versions = version_rows(service.store.placements.versions(name, KEPT_VERSIONS), current)
    if settings is None and not versions and not may_be_new:
        raise NotFoundError("placement", name)
    document: Mapping[str, Any] = (settings or Placement()).document
    groups = form_groups(document)
    if typed is not None:
        groups = form_groups(typed.document, typed.typed, typed.problems)
    return EditorView(
        name,
        current if number is None else number,
        settings is not None,
        groups,
        versions,
        0 if typed is None else len(typed.problems),
    )


def _current(service: Service, name: str) -> tuple[int, Placement | None]:
    """The number of the version and the settings; None for a placement that does not exist."""
    current = service.store.placements.current(name)
    if current.settings is None and name != DEFAULT_PLACEMENT:
        return current.number, None
    return current.number, parse_placement(current.settings or {})


def version_rows(versions: list[PlacementVersion], current: int) -> tuple[VersionRow, ...]:
    """`versions`: newest first."""
    before: list[Mapping[str, Any]] = [each.settings or {} for each in versions[1:]]
    if versions and versions[-1].number == 1:
        before.append({})
    rows = []
    for place, each in enumerate(versions):
        # What the oldest kept version changed is not known.
        changed = differences(before[place], each.settings or {}) if place < len(before) else ()
        author = each.changed_by
        rows.append(
            VersionRow(each.number, each.changed_at, author, changed, each.settings is None, each.number == current)
        )
    return tuple(rows)


def _from_defaults(document: Mapping[str, Any]) -> tuple[SettingChange, ...]:
    return differences({}, document)


@router.post("/{name}/edit")
@reads
async def edit_again(request: Request, name: Name) -> Response:
    """The form once more, with what was typed."""
    form = await request.form()
    typed, number = read_placement(form), _number(form.get("number"))
    view = await run_in_threadpool(editor_view, service_of(request), name, typed, number=number)
    return page(request, "placement.html", view)


@router.post("/{name}/review")
@reads
async def review(request: Request, name: Name) -> Response:
    """What would change, and the lists before and after."""
    service, form = service_of(request), await request.form()
    typed, number = read_placement(form), _number(form.get("number"))
    typed = await run_in_threadpool(_with_names_checked, service, name, typed)
    if typed.settings is None:
        view = await run_in_threadpool(editor_view, service, name, typed, number=number)
        return page(request, "placement.html", view, status=422)
    chosen = str(form.get("user_id", "")).strip()
    return page(request, "placement_review.html", await review_view(service, name, typed.settings, number, chosen))


def _with_names_checked(service: Service, name: str, typed: TypedPlacement) -> TypedPlacement:
    if typed.settings is None:
        return typed
    try:
        service.placement_editor.check(name, typed.settings)
    except InvalidInputError as error:
        problems = {error.field or "": f"{error.detail[0].upper()}{error.detail[1:]}."}
        return TypedPlacement(None, typed.document, typed.typed, problems)
    return typed


async def review_view(
    service: Service, name: str, settings: Placement, number: int, chosen: str = "", restored: int | None = None
) -> ReviewView:
    current, stored = await run_in_threadpool(_current, service, name)
    before = stored or Placement()
    newest: tuple[VersionRow, ...] = ()
    if current != number:
        versions = await run_in_threadpool(service.store.placements.versions, name, 2)
        newest = version_rows(versions, current)[:1]
    return ReviewView(
        name,
        # Once the operator has seen what is stored now, it may be replaced.
        current,
        stored is not None,
        differences(before.document, settings.document),
        json.dumps(settings.document),
        await preview_of(service, name, before, settings, chosen),
        restored,
        newest[0] if newest else None,
    )


@router.get("/{name}/versions/{number}")
async def show_version(request: Request, name: Name, number: Number) -> Response:
    """What a restoration of the version would change."""
    service = service_of(request)
    version = await run_in_threadpool(service.store.placements.version, name, number)
    if version.settings is None:
        raise DeletedVersionError(name, number)
    current, _ = await run_in_threadpool(_current, service, name)
    settings = parse_placement(version.settings)
    return page(request, "placement_review.html", await review_view(service, name, settings, current, restored=number))


@router.post("/{name}")
@changes("placements.put")
async def save(request: Request, name: Name) -> Response:
    """Stores what was reviewed. If another version was saved meanwhile, shows it, and stores nothing."""
    service, form = service_of(request), await request.form()
    typed, number = read_placement(form), _number(form.get("number"))
    if typed.settings is None:
        raise InvalidInputError("; ".join(typed.problems.values()), field="settings")
    author, editor = caller_of(request).key_id, service.placement_editor
    try:
        await run_in_threadpool(editor.put, name, typed.settings, changed_by=author, expected={number})
    except ChangedMeanwhileError:
        view = await review_view(service, name, typed.settings, number)
        return page(request, "placement_review.html", view, status=412)
    return RedirectResponse(link("/console/placements", name, said="saved"), status_code=303)


@router.post("/{name}/delete")
@changes("placements.delete")
async def delete(request: Request, name: Name) -> Response:
    """Raises `ChangedMeanwhileError` if another version is stored than the operator has seen."""
    service, form = service_of(request), await request.form()
    author, number = caller_of(request).key_id, _number(form.get("number"))
    await run_in_threadpool(service.placement_editor.delete, name, changed_by=author, expected={number})
    return RedirectResponse(link("/console/placements", said="deleted"), status_code=303)


@router.post("/{name}/versions/{number}/restore")
@changes("placements.restore")
async def restore(request: Request, name: Name, number: Number) -> Response:
    """Stores the settings of an earlier version as a new one; a version saved meanwhile is shown first."""
    service, form = service_of(request), await request.form()
    author, seen = caller_of(request).key_id, _number(form.get("number"))
    try:
        await run_in_threadpool(service.placement_editor.restore, name, number, changed_by=author, expected={seen})
    except ChangedMeanwhileError:
        version = await run_in_threadpool(service.store.placements.version, name, number)
        settings = parse_placement(version.settings or {})
        view = await review_view(service, name, settings, seen, restored=number)
        return page(request, "placement_review.html", view, status=412)
    return RedirectResponse(link("/console/placements", name, said="restored"), status_code=303)


def _number(text: object) -> int:
    """Raises `InvalidInputError` unless the form says which version it was made from."""
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < len(str(MAX_NUMBER)):
        return int(text)
    raise InvalidInputError("number is that of the version that the form was made from", field="number")
