"""`reckon import`: reads ratings, items, users, events, event types and placements from files into the database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.file_hints import (
    ColumnsOption,
    DateFormatOption,
    DecimalOption,
    EncodingOption,
    KindOption,
    MissingOption,
    file_hints,
)
from app.cli.terminal import shown_progress, table_console

if TYPE_CHECKING:
    from app.intake.hints import FileHints
    from app.intake.preview import FilePreview
    from app.intake.report import Counts, ImportReport


def import_(
    path: Path = typer.Argument(help="A file, folder or zip: MovieLens, CSV, TSV, JSONL, Parquet, or an export"),
    columns: ColumnsOption = None,
    kind: KindOption = None,
    encoding: EncodingOption = None,
    missing: MissingOption = [],  # noqa: B006  typer copies it
    date_format: DateFormatOption = None,
    decimal: DecimalOption = None,
    scale: str | None = typer.Option(
        None, help="MIN:MAX[:STEP], binary, pairs or amounts; by default the first import detects it"
    ),
    is_summed: bool = typer.Option(
        False, "--sum", help="Add up the amounts of rows of the same user and item; rows without a value count 1"
    ),
    is_strict: bool = typer.Option(
        False, "--strict", help="Exit with 1 if more than 1 % of the rows of a kind were rejected"
    ),
    is_previewed: bool = typer.Option(
        False, "--preview", help="Show what the files and their columns are and the first rows as stored; store nothing"
    ),
    rows: int = typer.Option(5, min=1, max=1_000, help="How many rows of each file --preview shows"),
    is_replacing: bool = typer.Option(
        False, "--replace", help="Replace whole items and users: what a row does not name is reset"
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Read and count all rows without storing them"),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON"),
    import_id: str = typer.Option("", hidden=True, help="The record that the console has begun for this import"),
) -> None:
    r"""Import ratings, items, users, events, event types and placements from files into the database.

    Importing a file twice changes nothing. The newest rating of a user for an item wins, an event is stored once by its
    id, and a placement or event type of the same name is replaced. A row of an item or user changes only the fields and
    attributes that it names: an empty cell changes nothing, the cell \N or a null of JSON clears. In a file without
    event ids, rows that are equal in type, user, item and time are one event. Event types that do not exist are
    created: common names such as view, addtocart and purchase with a weight, others with the weight 0. A file without
    ratings, of users and items alone, holds pairs. With --sum, the amounts of one import are added up and the sums
    replace what is stored; other kinds of values are refused. Rows that are not valid are written to a file in
    RECKON_DATA_DIR/rejected with line number and reason. Ratings whose value stands for a missing one, such as 0 beside
    grades from 1 to 10, are set aside with a note.

    Exit code: 0 if rows were read, even if others were rejected; 1 if the files could not be read or no row of them
    could, or with --strict if more than 1 % of the rows of a kind were rejected; 2 for wrong options; 130 after Ctrl-C.
    """
    hints = file_hints(columns, kind, encoding, missing, date_format, decimal)
    if is_previewed:
        _preview(path, hints, rows, as_json=as_json)
        return
    from app.entities import RatingScale
    from app.intake.importing import import_path
    from app.serving.placement_config import settings_to_store
    from app.settings import Settings
    from app.store import Store

    settings = Settings()
    wanted = None if scale is None else RatingScale.parse(scale)
    is_rejecting = settings.unknown_items == "reject"
    store = Store.open(settings.database_url, settings.data_dir, rejects_unknown_items=is_rejecting)
    try:
        with shown_progress(is_quiet=as_json) as progress:
            report = import_path(
                path,
                store,
                rejected_dir=settings.data_dir / "rejected",
                check_settings=settings_to_store,
                hints=hints,
                scale=wanted,
                is_summed=is_summed,
                is_replacing=is_replacing,
                is_dry_run=dry_run,
                import_id=import_id,
                progress=progress,
            )
    except KeyboardInterrupt:
        typer.echo("reckon: interrupted; run the same command again to finish the import", err=True)
        raise typer.Exit(130) from None
    finally:
        store.close()
    typer.echo(json.dumps(report.as_json()) if as_json else "\n".join(_lines(report)))
    # Some rejected rows are normal in real data.
    if report.is_unreadable or (is_strict and report.warnings):
        raise typer.Exit(1)


def _preview(path: Path, hints: "FileHints", n_rows: int, *, as_json: bool) -> None:
    from app.intake.preview import preview

    files = preview(path, n_rows, hints)
    if as_json:
        typer.echo(json.dumps({"files": [file.as_json() for file in files]}))
        return
    for file in files:
        _show(file)
    typer.echo("preview, nothing stored")


def _show(file: "FilePreview") -> None:
    from rich.table import Table
    from rich.text import Text

    from app.intake.preview import IGNORED
    from app.intake.recognition.refusals import printable

    if file.kind is None:
        typer.echo(f"not imported: {file.problem}")
        return
    typer.echo(f"{printable(file.file)}: {file.kind.label} ({file.format})")
    shown = {printable(name): use for name, use in file.columns.items()}
    uses = [f"{name} -> {use}" if name != use else name for name, use in shown.items() if use != IGNORED]
    ignored = [name for name, use in shown.items() if use == IGNORED]
    typer.echo(f"  columns  {', '.join(uses)}")
    if ignored:
        typer.echo(f"  ignored  {', '.join(ignored)}")
    table = Table(*(file.rows[0] if file.rows else ()))
    for row in file.rows:
        # Text, because a title may look like markup of rich.
        table.add_row(*(Text(printable(_cell(value))) for value in row.values()))
    if file.rows:
        table_console().print(table)
    for rejected in file.rejected:
        typer.echo(f"  rejected line {rejected.line}: {printable(rejected.reason)}")


def _cell(value: object) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _lines(report: "ImportReport") -> list[str]:
    from app.intake.column_names.columns import Kind
    from app.intake.report import Counts

    always = {Kind.RATINGS, Kind.USERS, Kind.ITEMS}
    shown = [kind for kind in reversed(Kind) if kind in always or report.counts_of(kind) != Counts()]
    lines = [_line(kind.label, report.counts_of(kind), is_dry_run=report.is_dry_run) for kind in shown]
    lines.append(f"scale       {_scale(report)}")
    if report.n_set_aside:
        lines.append(f"set aside   {report.n_set_aside:,} without a rating")
    lines += [f"note        {note}" for note in report.notes]
    lines += _created_lines(report)
    if report.ignored:
        lines.append(f"ignored     {', '.join(report.ignored)} (--preview says why)")
    lines += [f"left out    {each}" for each in report.left_out]
    lines += [f"rejected    {row.file}, line {row.line}: {row.reason}" for row in report.first_rejected]
    if report.rejected_path is not None:
        lines.append(f"            all {report.n_rejected:,} in {report.rejected_path}")
    lines.append(f"{'dry run, nothing stored;' if report.is_dry_run else 'done in'} {report.seconds:.1f} s")
    return lines + [f"warning: {warning}" for warning in report.warnings]


def _scale(report: "ImportReport") -> str:
    from app.intake.ratings import SET_SCALE
    from app.intake.scales.scale import is_own_range

    scale = report.scale
    meaning = f": {scale.meaning}" if scale.meaning else ""
    if not report.is_scale_detected:
        return f"{scale}{meaning}"
    before = "" if report.previous_scale is None else f", {report.previous_scale} before"
    hint = ""
    if is_own_range(scale):
        hint = f"; if the scale is wider, say so with --scale MIN:MAX or {SET_SCALE}"
    elif scale.kind == "amounts":
        hint = "; if they are grades, say so with --scale MIN:MAX"
    return f"{scale} (detected{before}){meaning}{hint}"


def _created_lines(report: "ImportReport") -> list[str]:
    """Say with which weights event types were created, because weights decide what is learned from the events."""
    lines = []
    learned = [f"{each.name} (weight {each.weight:g})" for each in report.created_types if each.weight]
    if learned:
        lines.append(f"created     event types {', '.join(learned)}; PUT /event-types/NAME changes a weight")
    unlearned = [each.name for each in report.created_types if not each.weight]
    if unlearned:
        lines.append(
            f"created     event types {', '.join(unlearned)} with weight 0:"
            " nothing is learned from them until PUT /event-types/NAME sets a weight"
        )
    return lines


def _line(label: str, counts: "Counts", *, is_dry_run: bool) -> str:
    if is_dry_run:
        return f"{label:<11} {counts.readable:,} readable, {counts.rejected:,} rejected"
    return (
        f"{label:<11} {counts.stored:,} stored, {counts.replaced:,} replaced,"
        f" {counts.unchanged:,} unchanged, {counts.rejected:,} rejected"
    )
