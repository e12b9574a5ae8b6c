"""From learned vectors to a live snapshot: assembled, written, opened as a reader does, registered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.algorithms.neighbour_table import NeighbourTable
from app.algorithms.progress import ProgressCallback, ignore
from app.entities import UNKNOWN_TIME
from app.scoring import Scorer, open_snapshot, write_snapshot
from app.scoring.groups import PopularInGroups
from app.snapshots.errors import SnapshotError
from app.snapshots.manifest import Manifest, Watermark, card
from app.snapshots.retention import remove_orphans, remove_snapshot
from app.store.jobs import Claim, LeaseLostError
from app.store.store import Store
from app.training.assemble import assemble
from app.training.dataset import Dataset
from app.training.evaluate_recipe import EvaluatedRecipe
from app.training.learned import Learned
from app.training.sides import Sides, join

SNAPSHOTS_FOLDER = "snapshots"
"""Below the data folder. The register holds paths relative to the data folder."""


@dataclass(frozen=True)
class Publisher:
    """`n_kept`: how many of the newest snapshots stay on disk; the live one always stays."""

    store: Store
    data_dir: Path
    n_kept: int = 5
    sources_of: Callable[[Scorer], Sequence[str]] = lambda _snapshot: ()

    @property
    def root(self) -> Path:
        return self.data_dir / SNAPSHOTS_FOLDER

    def publish(
        self,
        learned: Learned,
        tables: Mapping[str, NeighbourTable],
        evaluated: EvaluatedRecipe,
        dataset: Dataset,
        claim: Claim,
        seed: int,
        progress: ProgressCallback = ignore,
    ) -> int:
        """The version now registered, and live unless another is pinned; the claimed job has succeeded.

        Raises `LeaseLostError`, and leaves no folder behind, when another worker has taken the job over.
        """
        if (uncertainty := evaluated.report.uncertainty) is not None:
            learned = learned.with_uncertainty(uncertainty.around(learned.rating, dataset.ratings))
        # Weights come from the evaluation; vectors are those refitted on everything.
        sides = join(learned, evaluated.weights)
        popular = PopularInGroups.count(dataset.memberships, dataset.ratings.chosen)
        arrays = assemble(learned, sides, dataset, popular, tables)
        # Taken before writing, so that two runs never write the same folder.
        version = self.store.snapshots.next_version()
        manifest = self._manifest(version, sides, evaluated, dataset, seed)
        progress(0.3, "publishing")
        folder = write_snapshot(self.root, manifest, arrays, dataset.encodings, popular.groups)
        try:
            progress(0.7, "publishing")
            # A snapshot that cannot be opened must not go live.
            opened = open_snapshot(folder, manifest.database_id, version)
            path = str(folder.relative_to(self.data_dir))
            self.store.snapshots.register(
                claim, version=version, path=path, card=card(opened.manifest) | {"sources": [*self.sources_of(opened)]}
            )
        except (SnapshotError, LeaseLostError):
            remove_snapshot(self.root, version)
            raise
        # After any other error it may have been registered nevertheless; if not, `tidy` removes it as an orphan.
        return version

    def tidy(self) -> None:
        """Remove all but the newest snapshots and the live one, and what killed runs left behind."""
        entries = self.store.snapshots.entries()
        for entry in entries[self.n_kept :]:
            # The row goes first: an unregistered folder is removed later, a missing one would be an error.
            if self.store.snapshots.forget(entry.version):
                remove_snapshot(self.root, entry.version)
        remove_orphans(self.root, {entry.version for entry in entries})

    def _manifest(
        self, version: int, sides: Sides, evaluated: EvaluatedRecipe, dataset: Dataset, seed: int
    ) -> Manifest:
        data = dataset.data
        return Manifest(
            version=version,
            database_id=self.store.instance.database_id,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            rating_scale=str(dataset.scale),
            requested_recipe=evaluated.requested.document,
            recipe=evaluated.recipe.document,
            seed=seed,
            segments=sides.segments,
            counts={
                "items": len(data.item_keys),
                "users": len(data.user_keys),
                "ratings": len(data.ratings),
                "labels": len(dataset.labels),
            },
            metrics={name: dict(figures.values) for name, figures in evaluated.report.by_name.items()},
            intervals={name: dict(figures.intervals) for name, figures in evaluated.report.by_name.items()},
            watermark=Watermark(
                n_ratings=len(data.ratings),
                change_count=data.change_count,
                newest_rated_at=None if data.newest_rated_at == UNKNOWN_TIME else data.newest_rated_at,
                catalogue_version=data.catalogue_version,
                n_events=int(data.interactions.count.sum()),
                profile_change_count=int(data.user_profile_versions.sum()),
            ),
            choices=(*dataset.of_events, *evaluated.resolved.choices),
            reason=evaluated.reason,
            is_led_by_events=dataset.is_led_by_events,
        )
