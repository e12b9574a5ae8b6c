"""From learned vectors to a live snapshot: assembled, written, opened as a reader does, registered."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from app.algorithms.column_cosines import ColumnCosines
from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.storage import IN_MEMORY
from app.entities import UNKNOWN_TIME
from app.scoring import PublishedScorer, Scorer, open_snapshot, write_snapshot
from app.scoring.groups import PopularInGroups
from app.scoring.item_similarity import N_TOGETHER, ItemSimilarity
from app.snapshots.arrays import SnapshotArrays, kept_users
from app.snapshots.errors import (
    ObjectStorageDownError,
    ObjectStorageError,
    PrefixTakenError,
    PublishedMeanwhileError,
    SnapshotError,
)
from app.snapshots.folders import Publication, SnapshotFolders
from app.snapshots.manifest import UNMEASURED_BLEND, Acceptance, Manifest, SimilarBlend, Watermark, card
from app.snapshots.read import manifest_digest
from app.snapshots.retention import remove_snapshot
from app.store.jobs import Claim, JobCancelledError, LeaseLostError
from app.store.store import Store
from app.store.trends import Judgement
from app.training.dataset import Dataset
from app.training.errors import SnapshotRejectedError
from app.training.evaluate_recipe import EvaluatedRecipe
from app.training.fit import Learned
from app.training.live import fetching
from app.training.refit_check import check_refit
from app.training.shift_check import check_shift
from app.training.sides import Sides, join
from app.training.unregistered import remove_unregistered_objects

UNPUBLISHED = (
    SnapshotError,
    SnapshotRejectedError,
    LeaseLostError,
    JobCancelledError,
    ObjectStorageError,
    PrefixTakenError,
    PublishedMeanwhileError,
)
"""Errors after which the snapshot is certainly not registered."""

SIMILAR_RATINGS = 2_000_000
"""Ratings from which it is counted what is chosen together, where there are more than fit into memory."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Publisher:
    """`n_kept`: how many of the newest snapshots stay on disk; the live one always stays. `max_users`: as
    `RECKON_SNAPSHOT_USERS`.
    """

    store: Store
    folders: SnapshotFolders
    n_kept: int = 5
    max_users: int = 2_000_000
    sources_of: Callable[[Scorer], Sequence[str]] = lambda _snapshot: ()

    @property
    def data_dir(self) -> Path:
        return self.folders.data_dir

    @property
    def root(self) -> Path:
        return self.folders.root

    def check(self) -> None:
        """Raises `ObjectStorageRefusedError` or `PrefixTakenError` where nothing could be published: before a run."""
        bucket = self.folders.bucket
        if bucket is not None:
            try:
                bucket.check_owner(self.store.instance.database_id)
            except ObjectStorageDownError as error:  # a run may take longer than that lasts
                log.warning("object storage does not answer", why=error.detail)

    def publish(
        self,
        learned: Learned,
        evaluated: EvaluatedRecipe,
        dataset: Dataset,
        claim: Claim,
        seed: int,
        progress: ProgressCallback = ignore,
        *,
        similar: SimilarBlend = UNMEASURED_BLEND,
        seconds: Mapping[str, float] = MappingProxyType({}),
    ) -> int:
        """The version now registered, and live unless another is pinned; the claimed job has succeeded.

        `seconds`: how long the phases of the run before this one took, for the card.

        Raises `LeaseLostError` when another worker has taken the job over, `JobCancelledError` when it was cancelled,
        `SnapshotRejectedError` if what was fitted on everything does not know what it was fitted on, or if items
        rose by what new users alone chose and the job does not accept it, and, with object storage,
        `PublishedMeanwhileError` if another run was first, `PrefixTakenError` and `ObjectStorageError`. None of them
        leaves a folder behind.
        """
        with self.folders.publishing(self.store.instance.database_id) as publication:
            return self._publish(
                publication, learned, evaluated, dataset, claim, seed, progress, similar=similar, seconds=seconds
            )

    def _publish(
        self,
        publication: Publication,
        learned: Learned,
        evaluated: EvaluatedRecipe,
        dataset: Dataset,
        claim: Claim,
        seed: int,
        progress: ProgressCallback,
        *,
        similar: SimilarBlend,
        seconds: Mapping[str, float],
    ) -> int:
        stage, began_at = Stage.from_progress(progress), time.perf_counter()
        with stage.part("assembling", 0.3) as part:
            # The refitted learner may lack an uncertainty; the errors on the hold-out gave one.
            if (uncertainty := evaluated.report.uncertainty) is not None and learned.rating is not None:
                learned = learned.with_uncertainty(uncertainty.around(learned.rating, dataset.ratings))
            # Weights come from the evaluation; vectors are those refitted on everything.
            sides = join(learned, evaluated.weights)
            popular = PopularInGroups.from_memberships(dataset.memberships, dataset.ratings)
            arrays = assemble(learned, sides, dataset, popular, similar)
            # Of files that were read, the snapshot alone holds the histories, so it must hold them all.
            user_share = 1.0 if dataset.of_files else min(1.0, self.max_users / max(len(arrays.user_keys), 1))
            if dataset.of_files and len(arrays.user_keys) > self.max_users:
                part.decide(
                    "users: all are in the table, above RECKON_SNAPSHOT_USERS, since it alone has their histories"
                )
            if user_share < 1:
                arrays = arrays.of_users(kept_users(arrays.user_keys, user_share))
                part.decide(_of_users(user_share))
            part.note(
                n_items=len(arrays.item_keys), n_users=len(arrays.user_keys), n_columns=sides.item_vectors.shape[1]
            )
        # Taken before writing, so that two runs never write the same folder.
        version = self._free_version()
        manifest = self._manifest(version, sides, learned, evaluated, dataset, seed, similar)
        if user_share < 1:
            choices = (*manifest.choices, _of_users(user_share))
            manifest = replace(manifest, user_share=user_share, choices=choices)
        stage.note(version=version)
        try:
            with stage.part("snapshot", 0.7) as part:
                folder = write_snapshot(self.root, manifest, arrays, dataset.encodings, popular.groups, part)
            with stage.part("opening", 0.9):
                # A snapshot that cannot be opened must not go live.
                opened = open_snapshot(folder, manifest.database_id, version)
                digest = manifest_digest(folder)
            # Popular items are the same for all users. An acceptance says nothing of vectors that were spoilt since.
            if evaluated.reason is None:
                stage.decide(f"fitted: {check_refit(opened, evaluated.report, dataset.data.item_keys)}")
            if evaluated.reason is None and (accepted := self._check_shift(opened, dataset, claim, stage)) is not None:
                # Once more, with the acceptance on the card.
                del opened
                remove_snapshot(self.root, version)
                manifest = replace(manifest, accepted=accepted.beside(evaluated.accepted))
                with stage.part("snapshot", 0.95) as part:
                    folder = write_snapshot(self.root, manifest, arrays, dataset.encodings, popular.groups, part)
                opened = open_snapshot(folder, manifest.database_id, version)
                digest = manifest_digest(folder)
            if publication.turn is not None:
                with stage.part("uploading", 0.99) as part:
                    publication.upload(folder, version, digest, claim.job.job_id, part)
            # Nothing is reported after the registration: the lease ends with it, and a listener would raise.
            with stage.part("registering"):
                path = str(folder.relative_to(self.data_dir))
                phases = {**seconds, "publishing": round(time.perf_counter() - began_at, 3)}
                served = card(opened.manifest) | {
                    "sources": [*self.sources_of(opened)],
                    "phase_seconds": phases,
                    "job_id": claim.job.job_id,
                }
                judged = dataset.is_judged
                judgement = None if judged is None else Judgement(dataset.data.user_keys, judged)
                self.store.snapshots.register(
                    claim, version=version, path=path, card=served, digest=digest, judgement=judgement
                )
        except UNPUBLISHED:
            self._remove([version])
            raise
        # After any other error it may have been registered nevertheless; if not, `tidy` removes it as an orphan.
        return version

    def _check_shift(self, opened: PublishedScorer, dataset: Dataset, claim: Claim, stage: Stage) -> Acceptance | None:
        """None if no item rose by what new users alone chose; otherwise the acceptance by which it is published.

        Raises `SnapshotRejectedError` if the job accepts nothing.
        """
        entry = self.store.snapshots.live()
        if entry is None or entry.card["reason"] is not None:
            return None
        database_id = self.store.instance.database_id
        # By itself: neither what stops the run nor a storage that is down is taken for a file that cannot be opened.
        # A run that is repeated can look.
        with suppress(SnapshotError):
            fetching(self.folders, stage)(entry)
        try:
            live = self.folders.read(
                entry, lambda folder: open_snapshot(folder, database_id, entry.version, entry.digest)
            )
        except ObjectStorageError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a forged file raises, a sound snapshot must replace it
            stage.decide(f"shift: not looked at, since snapshot {entry.version} cannot be opened: {error!r}")
            return None
        try:
            stage.decide(f"shift: {check_shift(opened, live, dataset)}")
        except SnapshotRejectedError as error:
            if not claim.job.accept:
                stage.decide(f"rejected: {error.detail}; snapshot {entry.version} stays live")
                raise
            stage.decide(f"accepted, although {error.detail}")
            return Acceptance(datetime.now(UTC).isoformat(timespec="seconds"), error.detail, (error.kind,))
        return None

    def _free_version(self) -> int:
        """A version that neither another snapshot nor a folder has."""
        while True:
            version = self.store.snapshots.next_version()
            if self.folders.is_free(version):
                return version
            # Left by a run after the state that the database was restored to; `tidy` removes it as an orphan.
            log.warning("snapshot folder is left over", version=version)

    def tidy(self) -> None:
        """Remove all but the newest snapshots and the live one, and what killed runs left behind."""
        with Stage(ignore, log).part("retention") as stage:
            entries = self.store.snapshots.entries()
            # The rows go first: an unregistered folder is removed later, a missing one would be an error.
            old = [entry.version for entry in entries[self.n_kept :]]
            removed = [version for version in old if self.store.snapshots.forget(version)]
            self._remove(removed)
            orphans = self.folders.remove_orphans(self.store.snapshots.versions)
            self._remove_objects()
            stage.note(removed_versions=removed, removed_orphans=orphans, n_kept=len(entries) - len(removed))

    def _remove(self, versions: Sequence[int]) -> None:
        """What object storage does not let be removed now is left over, and removed by a later `tidy`."""
        try:
            self.folders.remove(versions, self.store.instance.database_id)
        except (ObjectStorageError, PrefixTakenError) as error:
            log.warning("objects of snapshots stay for now", versions=[*versions], why=error.detail)

    def _remove_objects(self) -> None:
        try:
            remove_unregistered_objects(self.store, self.folders)
        except (ObjectStorageError, PrefixTakenError) as error:
            log.warning("object storage is not tidied", why=error.detail)

    def _manifest(
        self,
        version: int,
        sides: Sides,
        learned: Learned,
        evaluated: EvaluatedRecipe,
        dataset: Dataset,
        seed: int,
        similar: SimilarBlend,
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
                "ratings": len(dataset.rated),
                "labels": len(dataset.labels),
            },
            metrics={name: dict(figures.values) for name, figures in evaluated.report.by_name.items()},
            intervals={name: dict(figures.intervals) for name, figures in evaluated.report.by_name.items()},
            watermark=Watermark(
                n_ratings=len(dataset.rated),
                change_count=data.change_count,
                newest_rated_at=None if data.newest_rated_at == UNKNOWN_TIME else data.newest_rated_at,
                catalogue_version=data.catalogue_version,
                n_events=int(data.interactions.count.sum()),
                profile_change_count=int(data.user_profile_versions.sum()),
                n_erasures=data.n_erasures,
            ),
            choices=(
                *dataset.of_files,
                *dataset.of_memory,
                *dataset.of_values,
                *dataset.of_events,
                *dataset.of_text,
                *dataset.of_quarantine,
                *dataset.of_bursts,
                *evaluated.resolved.choices,
                *learned.remarks,
            ),
            reason=evaluated.reason,
            advice=evaluated.advice,
            accepted=evaluated.accepted,
            is_led_by_events=dataset.is_led_by_events,
            n_quarantined=0 if dataset.quarantined is None else int(np.count_nonzero(dataset.quarantined)),
            n_capped=dataset.n_capped,
            similar=similar,
            diagnosis=evaluated.report.diagnosis,
            histories="snapshot" if dataset.of_files else "database",
        )


def _of_users(share: float) -> str:
    return f"users: the table holds {share:.1%} of them; the others are folded in from what is stored of them"


def assemble(
    learned: Learned,
    sides: Sides,
    dataset: Dataset,
    popular: PopularInGroups,
    similar: SimilarBlend = UNMEASURED_BLEND,
) -> SnapshotArrays:
    """The arrays of a snapshot, made of what was learned and of the data it was learned from.

    `popular`: what is popular in the groups of users. `similar`: how similar items are blended.
    """
    data, counts, labels = dataset.data, learned.item_counts, dataset.labels
    rating, uncertainty = learned.rating, learned.uncertainty
    # Where events lead, `dataset.ratings` holds labels as well, and a history holds ratings alone.
    histories = histories_of(dataset.rated)
    n_users = dataset.rated.n_users
    labels_order = newest_first(labels.user_rows, labels.item_rows, labels.last_at)
    starts = np.arange(n_users + 1)
    # Computed once for all items, since every item page shows them and a search for each request would take longer.
    similarity = item_similarity(sides, counts, dataset, similar)
    similar_rows, similar_scores = similarity.stored()
    together, content = similarity.together, similarity.content
    return SnapshotArrays(
        item_keys=data.item_keys,
        item_vectors=sides.item_vectors,
        item_counts=counts,
        # Where no ratings are predicted, these are zeros that nothing reads.
        item_uncertainties=np.zeros(len(counts), np.float32) if uncertainty is None else uncertainty.item_std,
        like_counts=learned.like_counts,
        popular_rows=np.argsort(-learned.like_counts, kind="stable").astype(np.int32),
        unrated_item=sides.unrated_item,
        item_mean=sides.item_mean,
        item_covariance=sides.item_covariance,
        user_keys=data.user_keys,
        user_vectors=sides.user_vectors,
        user_biases=np.zeros(n_users, np.float32) if rating is None else rating.user_biases,
        user_uncertainties=np.zeros(n_users, np.float32) if uncertainty is None else uncertainty.user_std,
        user_versions=dataset.user_versions,
        user_profile_versions=data.user_profile_versions,
        history_starts=histories.starts,
        history_rows=histories.rows,
        history_values=histories.values,
        history_times=histories.times,
        label_starts=np.searchsorted(labels.user_rows[labels_order], starts),
        label_rows=labels.item_rows[labels_order],
        label_times=labels.last_at[labels_order],
        are_positive=labels.are_positive[labels_order],
        similar_rows=similar_rows,
        similar_scores=similar_scores,
        together_starts=together.indptr.astype(np.int64),
        together_rows=together.indices.astype(np.int32),
        together_values=together.data,
        content_starts=content.indptr.astype(np.int64),
        content_columns=content.indices.astype(np.int32),
        content_values=content.data,
        **popular.arrays,
        item_map=sides.item_map,
        user_map=sides.user_map,
        item_offset=sides.item_offset,
        user_offset=sides.user_offset,
        extra=sides.extra,
    )


class HistoryArrays(NamedTuple):
    """As of `SnapshotArrays`."""

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    values: NDArray[np.float32]
    times: NDArray[np.int64]


def histories_of(rated: RatingMatrix) -> HistoryArrays:
    """The ratings by user, each newest first."""
    starts = np.concatenate([[0], np.cumsum(rated.user_counts)])
    if rated.storage is IN_MEMORY:
        order = newest_first(rated.user_rows, rated.item_rows, rated.times)
        return HistoryArrays(starts, rated.item_rows[order], rated.values[order], rated.times[order])
    n, storage = len(rated), rated.storage
    rows, values, times = (storage.empty(n, dtype) for dtype in (np.int32, np.float32, np.int64))
    for _, span in rated.user_blocks():
        order = newest_first(rated.user_rows[span], rated.item_rows[span], rated.times[span])
        rows[span], values[span] = rated.item_rows[span][order], rated.values[span][order]
        times[span] = rated.times[span][order]
    return HistoryArrays(starts, rows, values, times)


def item_similarity(sides: Sides, counts: NDArray[np.int32], dataset: Dataset, similar: SimilarBlend) -> ItemSimilarity:
    """How alike all items are. `counts`: (n_items,), how many users chose each."""
    ratings = dataset.part(SIMILAR_RATINGS).ratings
    cosines = ColumnCosines.from_ratings(ratings, dataset.scale.minimum, dataset.scale.maximum)
    return ItemSimilarity(
        vectors=sides.likeness,
        counts=counts,
        together=cosines.strongest(similar.shrinkage, N_TOGETHER),
        content=dataset.content,
        encoding=dataset.encodings.content,
        blend=similar,
    )


def newest_first(
    user_rows: NDArray[np.int32], item_rows: NDArray[np.int32], times: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(n,) positions: by user, each newest first, unknown times last, equal times by item."""
    # ~t descends where t ascends and never overflows.
    return np.lexsort((item_rows, ~times, user_rows))
