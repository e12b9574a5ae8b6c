"""`reckon train --from`: where ratings are read, and on which scale they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from app.store.store import Store

DATABASE = "database"
"""In place of a path: ratings are those of the database alone."""


def reading_from(store: "Store", recipe: dict[str, Any] | None, source: str | None) -> dict[str, Any] | None:
    """`recipe`, None for that of the service, with the place where ratings are read.

    Without a `source` it is that of the live snapshot, as for a run without a recipe: otherwise most of what is live
    would be lost.
    """
    from app.training.recipe import parse_recipe, recipe_in_use
    from app.training.source_files import is_address

    if source is None:
        if recipe is None or "source" in recipe or (inherited := recipe_in_use(store).source) is None:
            return recipe
        return {**recipe, "source": inherited}
    document = parse_recipe(recipe or store.instance.recipe()).document
    document.pop("source", None)
    if source == DATABASE:
        return document
    # The whole path, since a later run may have another working folder.
    whole = source if is_address(source) else str(Path(source).resolve())
    return parse_recipe(document | {"source": whole}).document


def settle_scale(store: "Store", source: str | None, stated: str | None) -> None:
    """Set the scale of a service without ratings: the one `stated`, or else the one that the files show.

    Raises `InvalidInputError` and `ConflictError`.
    """
    from app.entities import RatingScale
    from app.errors import ConflictError, InvalidInputError
    from app.intake.scales.scale import detect_scale
    from app.intake.scales.value_counts import ValueCounts
    from app.training.columns_file import ColumnFiles

    if source is None or source == DATABASE:
        raise InvalidInputError("--scale needs --from PATH", field="scale")
    files = ColumnFiles.find(source)
    if stated is not None:
        scale = RatingScale.parse(stated)
        # Stored ratings alone are looked at below, and those of files are in the snapshot.
        if store.snapshots.live() is not None and scale != store.instance.scale():
            message = f"a snapshot on the scale {store.instance.scale()} is live, so {scale} cannot replace it"
            raise ConflictError(message)
        store.instance.set_scale(scale)
        return
    # What was learned from files keeps its scale, too: the service shows its predictions.
    if not store.instance.is_scale_open() or store.ratings.count() or store.snapshots.live() is not None:
        return
    if not files.has_ratings:
        found = RatingScale.parse("pairs")
    else:
        counts = ValueCounts.of(files.ratings())
        if not counts.total:
            raise InvalidInputError(f"the files in {source} hold no finite rating", field="from")
        found = detect_scale(counts).scale
    store.instance.set_scale(found, is_declared=False)
    typer.echo(f"the values are {found}, as the files show; --scale states another scale", err=True)
