"""`reckon import`: reads ratings, items, users, events, event types and placements from files into the database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.terminal import shown_progress

if TYPE_CHECKING:
    from app.intake.report import Counts, ImportReport


def import_(
    path: Path = typer.Argument(help="A file, folder or zip: MovieLens, CSV, TSV, JSONL, Parquet, or an export"),
    columns: str | None = typer.Option(
        None, help="user,item,rating,timestamp in the order of the file (- skips a column), or user=NAME,item=NAME,..."
    ),
    scale: str | None = typer.Option(None, help="MIN:MAX[:STEP]; by default the first import detects the scale"),
    dry_run: bool = typer.Option(False, "--dry-run", help="Read and count all rows without storing them"),
    as_json: bool = typer.Option(False, "--json", help="Print the report as JSON"),
) -> None:
    """Import ratings, items, users, events, event types and placements from files into the database.

    Importing a file twice changes nothing. The newest rating of a user for an item wins, an event is stored once by its
    id, and a placement or event type of the same name is replaced. Rows that are not valid are written to a file in
    RECKON_DATA_DIR/rejected with line number and reason.
    """
    from app.entities import RatingScale
    from app.intake.importing import import_path
    from app.serving.placement_config import settings_to_store
    from app.settings import Settings
    from app.store import Store

    settings = Settings()
    wanted = None if scale is None else RatingScale.parse(scale)
    store = Store.open(settings.database_url, settings.data_dir)
    try:
        with shown_progress(is_quiet=as_json) as progress:
            report = import_path(
                path,
                store,
                rejected_dir=settings.data_dir / "rejected",
                check_settings=settings_to_store,
                columns=columns,
                scale=wanted,
                is_dry_run=dry_run,
                progress=progress,
            )
    except KeyboardInterrupt:
        typer.echo("reckon: interrupted; run the same command again to finish the import", err=True)
        raise typer.Exit(130) from None
    finally:
        store.close()
    typer.echo(json.dumps(report.as_json()) if as_json else "\n".join(_lines(report)))
    # Some rejected rows are normal in real data. Without any valid row, the file or the columns are wrong.
    if report.n_rejected and not report.n_readable:
        raise typer.Exit(1)


def _lines(report: "ImportReport") -> list[str]:
    from app.intake.columns import Kind
    from app.intake.report import Counts

    always = {Kind.RATINGS, Kind.USERS, Kind.ITEMS}
    shown = [kind for kind in reversed(Kind) if kind in always or report.counts_of(kind) != Counts()]
    lines = [_line(kind.label, report.counts_of(kind), is_dry_run=report.is_dry_run) for kind in shown]
    lines.append(f"scale       {report.scale}{' (detected)' if report.is_scale_detected else ''}")
    if report.ignored:
        lines.append(f"ignored     {', '.join(report.ignored)}")
    lines += [f"rejected    {row.file}, line {row.line}: {row.reason}" for row in report.first_rejected]
    if report.rejected_path is not None:
        lines.append(f"            all {report.n_rejected:,} in {report.rejected_path}")
    lines.append(f"{'dry run, nothing stored;' if report.is_dry_run else 'done in'} {report.seconds:.1f} s")
    return lines


def _line(label: str, counts: "Counts", *, is_dry_run: bool) -> str:
    if is_dry_run:
        return f"{label:<11} {counts.readable:,} readable, {counts.rejected:,} rejected"
    return (
        f"{label:<11} {counts.stored:,} stored, {counts.replaced:,} replaced,"
        f" {counts.unchanged:,} unchanged, {counts.rejected:,} rejected"
    )
