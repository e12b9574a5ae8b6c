"""From learned vectors to a live snapshot: assembled, written, opened as a reader does, registered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from app.algorithms.neighbour_table import NeighbourTable
from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.entities import UNKNOWN_TIME
from app.scoring import Scorer, open_snapshot, write_snapshot
from app.scoring.groups import PopularInGroups
from app.scoring.neighbours import table_arrays
from app.scoring.similar import similar_items
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.errors import SnapshotError
from app.snapshots.manifest import Manifest, Watermark, card
from app.snapshots.retention import remove_orphans, remove_snapshot
from app.store.jobs import Claim, LeaseLostError
from app.store.store import Store
from app.training.dataset import Dataset, to_rows
from app.training.evaluate_recipe import EvaluatedRecipe
from app.training.fit import Learned
from app.training.sides import Sides, join

SNAPSHOTS_FOLDER = "snapshots"
"""Below the data folder. The register holds paths relative to the data folder."""

log = structlog.get_logger()


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
        stage = Stage.from_progress(progress)
        with stage.part("assembling", 0.3) as part:
            # The refitted learner may lack an uncertainty; the errors on the hold-out gave one.
            if (uncertainty := evaluated.report.uncertainty) is not None:
                learned = learned.with_uncertainty(uncertainty.around(learned.rating, dataset.ratings))
            # Weights come from the evaluation; vectors are those refitted on everything.
            sides = join(learned, evaluated.weights)
            popular = PopularInGroups.from_memberships(dataset.memberships, dataset.ratings.chosen)
            arrays = assemble(learned, sides, dataset, popular, tables)
            part.note(
                n_items=len(arrays.item_keys), n_users=len(arrays.user_keys), n_columns=sides.item_vectors.shape[1]
            )
        # Taken before writing, so that two runs never write the same folder.
        version = self.store.snapshots.next_version()
        manifest = self._manifest(version, sides, evaluated, dataset, seed)
        stage.note(version=version)
        try:
            with stage.part("snapshot", 0.7) as part:
                folder = write_snapshot(self.root, manifest, arrays, dataset.encodings, popular.groups, part)
            with stage.part("opening", 0.9):
                # A snapshot that cannot be opened must not go live.
                opened = open_snapshot(folder, manifest.database_id, version)
            # Nothing is reported after the registration: the lease ends with it, and a listener would raise.
            with stage.part("registering"):
                path = str(folder.relative_to(self.data_dir))
                served = card(opened.manifest) | {"sources": [*self.sources_of(opened)]}
                self.store.snapshots.register(claim, version=version, path=path, card=served)
        except (SnapshotError, LeaseLostError):
            remove_snapshot(self.root, version)
            raise
        # After any other error it may have been registered nevertheless; if not, `tidy` removes it as an orphan.
        return version

    def tidy(self) -> None:
        """Remove all but the newest snapshots and the live one, and what killed runs left behind."""
        with Stage(ignore, log).part("retention") as stage:
            entries = self.store.snapshots.entries()
            removed = []
            for entry in entries[self.n_kept :]:
                # The row goes first: an unregistered folder is removed later, a missing one would be an error.
                if self.store.snapshots.forget(entry.version):
                    remove_snapshot(self.root, entry.version)
                    removed.append(entry.version)
            orphans = remove_orphans(self.root, {entry.version for entry in entries})
            stage.note(removed_versions=removed, removed_orphans=orphans, n_kept=len(entries) - len(removed))

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


def assemble(
    learned: Learned,
    sides: Sides,
    dataset: Dataset,
    popular: PopularInGroups,
    tables: Mapping[str, NeighbourTable],
) -> SnapshotArrays:
    """The arrays of a snapshot, made of what was learned and of the data it was learned from.

    `popular`: what is popular in the groups of users. `tables`: by the name of their algorithm.
    """
    data, counts, labels = dataset.data, learned.item_counts, dataset.labels
    # Where events lead, `dataset.ratings` holds labels as well, and a history holds ratings alone.
    rated = to_rows(data)
    histories = newest_first(rated.user_rows, rated.item_rows, rated.times)
    labels_order = newest_first(labels.user_rows, labels.item_rows, labels.last_at)
    starts = np.arange(rated.n_users + 1)
    # Computed once for all items, since every item page shows them and a search for each request would take longer.
    similar_rows, similar_scores = similar_items(sides.likeness, counts)
    return SnapshotArrays(
        item_keys=data.item_keys,
        item_vectors=sides.item_vectors,
        item_counts=counts,
        item_uncertainties=learned.uncertainty.item_std,
        popular_rows=np.argsort(-counts, kind="stable").astype(np.int32),
        unrated_item=sides.unrated_item,
        item_mean=sides.item_mean,
        item_covariance=sides.item_covariance,
        user_keys=data.user_keys,
        user_vectors=sides.user_vectors,
        user_biases=learned.rating.user_biases,
        user_uncertainties=learned.uncertainty.user_std,
        user_versions=data.user_versions,
        user_profile_versions=data.user_profile_versions,
        history_starts=np.searchsorted(rated.user_rows[histories], starts),
        history_rows=rated.item_rows[histories],
        history_values=rated.values[histories],
        label_starts=np.searchsorted(labels.user_rows[labels_order], starts),
        label_rows=labels.item_rows[labels_order],
        are_positive=labels.are_positive[labels_order],
        similar_rows=similar_rows,
        similar_scores=similar_scores,
        **popular.arrays,
        item_map=sides.item_map,
        user_map=sides.user_map,
        item_offset=sides.item_offset,
        user_offset=sides.user_offset,
        extra={**sides.extra, **table_arrays(tables)},
    )


def newest_first(
    user_rows: NDArray[np.int32], item_rows: NDArray[np.int32], times: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(n,) positions: by user, each newest first, unknown times last, equal times by item."""
    # ~t descends where t ascends and never overflows.
    return np.lexsort((item_rows, ~times, user_rows))
