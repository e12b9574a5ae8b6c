"""Data: what is stored, imports and exports, the rating scale and the types of events."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Form, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.console.imports import UPLOAD_PATH
from app.console.rendering import link, page
from app.console.routing import changes, console_router, may_change, service_of, settings_of
from app.entities import EventType, RatingScale, clean_id
from app.errors import ConflictError, InvalidInputError, NotFoundError, ReckonError
from app.intake.table_csv import TABLES, table_csv
from app.intake.uploads import Upload, Uploads
from app.store.imports import ImportEntry
from app.wiring import Service

N_IMPORTS = 20
PATH = "/console/data"

router = console_router(PATH)


@dataclass(frozen=True, slots=True)
class Sent:
    """A form that was refused: `problem` says why, and the rest is what was sent."""

    form: str
    problem: str
    scale: str = ""
    name: str = ""
    weight: str = ""
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FailedImport:
    """`problem`: why. `again`: the page with the file, which is still there."""

    problem: str
    again: str


@dataclass(frozen=True, slots=True)
class DataView:
    """`totals`: how many there are of each kind. `uploads`: files that were not imported yet, shown to those who may
    import. `failed`: the last import of an upload, if it failed and the file is still there. `refused`: the form that
    was refused last.
    """

    totals: Sequence[tuple[str, int]]
    scale: RatingScale
    event_types: Sequence[EventType]
    tables: Sequence[str]
    imports: Sequence[ImportEntry]
    is_importing: bool
    uploads: Sequence[Upload] = ()
    failed: FailedImport | None = None
    refused: Sent | None = None


@router.get("")
async def show(request: Request) -> Response:
    return page(request, "data.html", await _view_of(request))


async def _view_of(request: Request) -> DataView:
    view = await run_in_threadpool(data_view, service_of(request))
    if not may_change(request):
        return view
    uploads = await run_in_threadpool(Uploads(settings_of(request).data_dir).waiting)
    # The process that is to remove an imported file may have been restarted.
    taken = {each.upload_id for each in view.imports if each.state in {"running", "succeeded"}}
    waiting = [each for each in uploads if each.upload_id not in taken]
    return replace(view, uploads=waiting, failed=failed_import(view.imports, waiting))


def failed_import(imports: Sequence[ImportEntry], uploads: Sequence[Upload]) -> FailedImport | None:
    """The newest import of an upload, if it failed and its file is among `uploads`. `imports`: newest first."""
    last = next((each for each in imports if each.upload_id is not None), None)
    if last is None or last.state not in {"failed", "interrupted"}:
        return None
    if last.upload_id not in {each.upload_id for each in uploads}:
        return None
    page = link(UPLOAD_PATH, last.upload_id)
    again = f"{page}?{last.upload_options}" if last.upload_options else page
    return FailedImport(last.reason or "it was interrupted", again)


def data_view(service: Service) -> DataView:
    store = service.store
    imports = store.imports.latest(limit=N_IMPORTS)
    return DataView(
        totals=[(kind, total.n) for kind, total in sorted(store.arrivals.totals().items())],
        scale=store.instance.scale(),
        event_types=list(store.events.types().values()),
        tables=list(TABLES),
        imports=imports,
        is_importing=any(each.state == "running" for each in imports),
    )


@router.post("/scale")
@changes("scale.set")
async def set_scale(request: Request, scale: Annotated[str, Form(max_length=100)] = "") -> Response:
    """Stored ratings are never rescaled: refused while one would fall outside."""
    try:
        parsed = RatingScale.parse(scale.strip())
        await run_in_threadpool(service_of(request).store.instance.set_scale, parsed)
    except ReckonError as error:
        return await _refused(request, error, Sent("scale", error.detail, scale=scale))
    return RedirectResponse(f"{PATH}?said=saved", status_code=303)


@router.post("/event-types")
@changes("event-types.put")
async def put_event_type(
    request: Request,
    name: Annotated[str, Form(max_length=500)] = "",
    weight: Annotated[str, Form(max_length=50)] = "",
    flags: Annotated[list[str] | None, Form()] = None,
    new: Annotated[str, Form()] = "",
) -> Response:
    """A change applies at once, also to events stored before. `new`: `on` for a type that is to be added."""
    chosen, events = frozenset(flags or []), service_of(request).store.events
    request.state.audited = name[:100]
    try:
        declared = EventType(clean_id(name, "name"), _weight(weight), "exposure" in chosen, "consumption" in chosen)
        if new == "on" and declared.name in {each.name for each in (await run_in_threadpool(events.types)).values()}:
            raise ConflictError(f"there is a type {declared.name!r} already: change its weight in the table")
        await run_in_threadpool(events.put_type, declared)
    except ReckonError as error:
        return await _refused(request, error, Sent("type", error.detail, name=name, weight=weight, flags=chosen))
    return RedirectResponse(f"{PATH}?said=saved", status_code=303)


@router.post("/event-types/{name}/delete")
@changes("event-types.delete")
async def delete_event_type(request: Request, name: str) -> Response:
    try:
        await run_in_threadpool(service_of(request).store.events.delete_type, name)
    except ReckonError as error:
        return await _refused(request, error, Sent("type", error.detail, name=name))
    return RedirectResponse(f"{PATH}?said=deleted", status_code=303)


async def _refused(request: Request, error: ReckonError, sent: Sent) -> Response:
    return page(request, "data.html", replace(await _view_of(request), refused=sent), status=error.status)


def _weight(text: str) -> float:
    """Raises `InvalidInputError` unless the text is a finite number."""
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight) or abs(weight) >= 1e300:  # noqa: PLR2004  the bound of the column
        raise InvalidInputError(f"{text[:50]!r} is no number, such as 1 or -0.5", field="weight")
    return weight


@router.post("/export/{table}")
@changes("database.export")
async def export(request: Request, table: str, spreadsheet: Annotated[str, Form()] = "") -> Response:
    """A table as a CSV file, as `reckon export` writes it, sent while it is read.

    `spreadsheet`: with `on`, text that a spreadsheet would run as a formula is marked.
    """
    if table not in TABLES:
        raise NotFoundError("table", table)
    content = table_csv(table, service_of(request).store, is_marked=spreadsheet == "on")
    headers = {"Content-Disposition": f'attachment; filename="{table}.csv"'}
    return StreamingResponse(content, media_type="text/csv; charset=utf-8", headers=headers)
