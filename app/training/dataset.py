"""The data of a run: all ratings and events of one moment, by row instead of by key."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.labels import POSITIVE, UNKNOWN, EventLabels, TypeWeights, label_pairs
from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.storage import IN_MEMORY, filled, spans
from app.algorithms.strengths import strengths_of
from app.entities import UNKNOWN_TIME, Item, RatingScale, User
from app.errors import ReckonError
from app.evaluation.splits import hold_out_latest, leave_one_out
from app.scoring.features import Encodings, describe
from app.scoring.groups import Memberships
from app.store.store import Store
from app.store.training_reads import TrainingData
from app.training.errors import SnapshotRejectedError

Question = Literal["both", "newest", "next"]
"""What recommendations are judged by: what users like of the newest share of their ratings (`newest`), or which item
they choose next, whatever they think of it (`next`)."""

ENOUGH_RATINGS = 1000
"""Ratings that suffice by themselves for learning and holding out, however many events there are."""

RATINGS_PER_LABEL = 0.05
"""With fewer ratings than this for each label, labels are learned from as ratings."""


def hold_out(
    ratings: RatingMatrix, fraction: float, rng: np.random.Generator, question: Question = "both"
) -> tuple[RatingMatrix, RatingMatrix]:
    """The earlier ratings of every user, to learn from, and the newest, to measure on.

    Labels of events are learned from only if they are older than every rating held out of their user.
    """
    # Training on the past and measuring on what came after it is what serving does.
    return divide(ratings, held_out(ratings, fraction, rng, question))


def held_out(ratings: RatingMatrix, fraction: float, rng: np.random.Generator, question: Question) -> NDArray[np.bool_]:
    """(n,) mask: the newest `fraction` of every user's ratings, or for the question `next` the newest one, of users
    with two or more.
    """
    if question == "next":
        return leave_one_out(ratings.user_rows, ratings.times, rng)
    return hold_out_latest(ratings.user_rows, ratings.times, fraction, rng)


def divide(ratings: RatingMatrix, is_held_out: NDArray[np.bool_]) -> tuple[RatingMatrix, RatingMatrix]:
    """The ratings to learn from and those held out, by a mask (n,); labels as of `hold_out`."""
    train, holdout = ratings.subset(~is_held_out), ratings.subset(is_held_out)
    return train if train.labels is None else train.with_labels(_before(holdout, train.labels)), holdout


def _before(holdout: RatingMatrix, labels: EventLabels) -> EventLabels:
    """The labels whose newest event is older than anything held out of their user; all where those times are unknown.

    A pair's label is made of all its events, so a pair with a newer event has no label at all.
    """
    is_timed = holdout.times != UNKNOWN_TIME
    # first_at(u) = min over held-out ratings of u of their time; users without any keep all their labels.
    first_at = np.full(holdout.n_users, np.iinfo(np.int64).max)
    np.minimum.at(first_at, holdout.user_rows[is_timed], holdout.times[is_timed])
    return labels.subset(labels.last_at < first_at[labels.user_rows])


def to_rows(data: TrainingData) -> RatingMatrix:
    """The ratings in `data`, with positions in `data.user_keys` and `data.item_keys` in place of keys."""
    return RatingMatrix(
        n_users=len(data.user_keys),
        n_items=len(data.item_keys),
        user_rows=np.searchsorted(data.user_keys, data.ratings.user_key).astype(np.int32),
        item_rows=np.searchsorted(data.item_keys, data.ratings.item_key).astype(np.int32),
        values=data.ratings.value.astype(np.float32),
        rated_at=data.ratings.rated_at,
    )


def learnable(ratings: RatingMatrix, scale: RatingScale) -> RatingMatrix:
    """`ratings` of a kind of values as learners read them: which are liked; amounts become strengths, and pairs are no
    grades.

    A user's own values are converted alike while serving, see `Scorer`.
    """
    if scale.is_graded:
        return ratings.with_liked_from(scale.liked_from)
    if ratings.storage is not IN_MEMORY:
        return ratings.with_strengths(_stored_strengths(ratings) if scale.kind == "amounts" else ratings.values)
    return ratings.with_strengths(strengths_of(ratings) if scale.kind == "amounts" else ratings.values)


def _stored_strengths(ratings: RatingMatrix) -> NDArray[np.float32]:
    """As `strengths_of`, of whole users at a time: those of a user depend on no other user."""
    storage = ratings.storage
    strengths: NDArray[np.float32] = storage.empty(len(ratings), np.float32)
    for rows, span in ratings.user_blocks():
        strengths[span] = strengths_of(ratings.select_span(rows, span))
    return strengths


def to_labels(data: TrainingData, rated: RatingMatrix, counts_as: float) -> EventLabels:
    """The labels that the events in `data` give to pairs of user and item that are not in `rated`."""
    events, n_items = data.interactions, len(data.item_keys)
    # Events of items and users that have no row cannot be learned from.
    is_known = np.isin(events.item_key, data.item_keys) & np.isin(events.user_key, data.user_keys)
    # One number for a pair of user and item: cell = user row * n_items + item row
    cells = np.searchsorted(data.user_keys, events.user_key[is_known]) * n_items
    cells += np.searchsorted(data.item_keys, events.item_key[is_known])
    is_first = np.diff(cells, prepend=-1) != 0  # of its pair: events come sorted by pair
    pair, starts = np.cumsum(is_first) - 1, np.flatnonzero(is_first)
    types = TypeWeights(data.event_types.type_key, data.event_types.weight, data.event_types.is_exposure)
    columns = (events.type_key[is_known], events.count[is_known], events.portion[is_known])
    labels = label_pairs(types, pair, len(starts), *columns).labels
    last_at = np.maximum.reduceat(events.last_at[is_known], starts) if len(starts) else np.empty(0, np.int64)
    kept = labels != UNKNOWN
    # A rating is more informative than the events of its pair. Held-out ratings count here as well, since the events
    # of their pairs would reveal them.
    for span in spans(len(rated) if kept.any() else 0, rated.storage):
        kept &= ~np.isin(cells[starts], rated.user_rows[span].astype(np.int64) * n_items + rated.item_rows[span])
    user_rows, item_rows = np.divmod(cells[starts][kept], max(n_items, 1))
    return EventLabels(user_rows, item_rows, labels[kept] == POSITIVE, last_at[kept], counts_as)


@dataclass(frozen=True)
class UserSample:
    """About a share of all users, the same ones in every run: a user is in it by the key, whoever else there is."""

    share: float

    def chooses(self, user_keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) whether each user is in the sample."""
        if self.share >= 1:
            return np.ones(len(user_keys), np.bool_)
        # The finalizer of SplitMix64 (G. Steele et al. 2014): close keys have unrelated hashes.
        hashes = user_keys.astype(np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
        chosen: NDArray[np.bool_] = (hashes ^ (hashes >> np.uint64(31))) < np.uint64(int(self.share * 2**64))
        return chosen


ReadRatings = Callable[[Store, RatingScale, Stage], tuple[TrainingData, RatingMatrix, tuple[str, ...]]]
"""Reads all data, the ratings apart and by row, and sentences on where they were read."""


@dataclass(frozen=True)
class Dataset:
    """One moment of the store, by key and by row.

    `data`: as read, by key; without ratings where `rated` was read otherwise.
    `rated`: all ratings as they were given.
    `ratings`: what is learned from; its features describe all items and users. Where there are hardly any ratings, it
    holds the labels as well, at the ends of the scale; the dataset then `is_led_by_events`.
    `scale`: of the ratings.
    `encodings`: how features were made of items and users.
    `labels`: of events, for pairs without a rating.
    `memberships`: the groups of users that the recipe names.
    `content`: (n_items, t) float32 CSR, by what items are compared; columns of `encodings.content`.
    `quarantined`: (n_users,) bool, whose ratings and labels `ratings` leaves out; None for no user.
    `of_quarantine`: sentences on it; empty where nothing was found.
    `is_judged`: (n_users,) bool, who is new no more once the run has published; None if it judges no user.
    `in_part`: (n_users,) bool, of whom `ratings` leaves out what came in a burst; None for no user. `n_capped`: how
    many ratings and labels that is. `of_bursts`: a sentence on it; empty where there was none.
    `of_files`: sentences on ratings that were read from files; empty where all are in the database.
    `of_memory`: sentences on what was left out because the run is larger than memory; empty where it is not.
    `sample`: which users are measured; None for all.
    """

    data: TrainingData
    rated: RatingMatrix
    ratings: RatingMatrix
    scale: RatingScale
    encodings: Encodings
    labels: EventLabels
    memberships: Memberships
    content: sparse.csr_array
    quarantined: NDArray[np.bool_] | None = None
    of_quarantine: tuple[str, ...] = ()
    is_judged: NDArray[np.bool_] | None = None
    in_part: NDArray[np.bool_] | None = None
    n_capped: int = 0
    of_bursts: tuple[str, ...] = ()
    of_files: tuple[str, ...] = ()
    of_memory: tuple[str, ...] = ()
    sample: UserSample | None = None

    @property
    def is_larger_than_memory(self) -> bool:
        return self.ratings.storage is not IN_MEMORY

    def noting(self, what: str) -> "Dataset":
        """The same with a sentence in `of_memory`."""
        return replace(self, of_memory=(*self.of_memory, what))

    def part(self, max_ratings: int) -> "Dataset":
        """What is measured: itself, or some users with about so many ratings where it is larger than memory.

        What has a row for each user is that of these users; sentences and `n_capped` remain those of all.
        """
        if not self.is_larger_than_memory:
            return self
        sample = UserSample(min(1.0, max_ratings / max(len(self.ratings), 1)))
        is_chosen = sample.chooses(self.data.user_keys)
        rows = np.flatnonzero(is_chosen)
        names = ("user_keys", "user_versions", "user_profile_versions", "is_new", "is_direct")
        data = replace(self.data, **{name: getattr(self.data, name)[is_chosen] for name in names})

        def of_chosen(marks: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
            return None if marks is None else marks[is_chosen]

        ratings, rated = self.ratings.select_users(rows), self.rated.select_users(rows)
        labels = self.labels.subset(np.zeros(len(self.labels), np.bool_))
        return replace(
            self,
            data=data,
            rated=rated,
            ratings=ratings,
            labels=labels,
            memberships=Memberships(),
            quarantined=of_chosen(self.quarantined),
            is_judged=of_chosen(self.is_judged),
            in_part=of_chosen(self.in_part),
            sample=sample,
        )

    def without(self, quarantined: NDArray[np.bool_], why: str) -> "Dataset":
        """The same, to be learned without what these users (n_users,) rated and did. `why`: for the card."""
        n, rows = len(self.ratings), self.ratings.user_rows
        ratings = self.ratings.subset(filled(n, np.bool_, lambda span: ~quarantined[rows[span]], self.ratings.storage))
        if ratings.labels is not None:
            ratings = ratings.with_labels(ratings.labels.subset(~quarantined[ratings.labels.user_rows]))
        return replace(self, ratings=ratings, quarantined=quarantined, of_quarantine=(*self.of_quarantine, why))

    def capped(self, ratings: NDArray[np.bool_], labels: NDArray[np.bool_], why: str) -> "Dataset":
        """The same, to be learned without these of its ratings (n,) and of their labels (m,). `why`: for the card."""
        in_part = np.zeros(self.ratings.n_users, bool)
        in_part[self.ratings.user_rows[ratings]] = True
        kept = self.ratings.subset(~ratings)
        if kept.labels is not None:
            in_part[kept.labels.user_rows[labels]] = True
            kept = kept.with_labels(kept.labels.subset(~labels))
        n_capped = int(np.count_nonzero(ratings) + np.count_nonzero(labels))
        return replace(self, ratings=kept, in_part=in_part, n_capped=n_capped, of_bursts=(why,))

    @property
    def user_versions(self) -> NDArray[np.int64]:
        """(n_users,), the versions that a published user side is right for."""
        versions = self.data.user_versions
        for left_out in (self.quarantined, self.in_part):
            # No version is negative, so the sides of these users are folded in for each request.
            versions = versions if left_out is None else np.where(left_out, -1, versions)
        return versions

    @property
    def is_led_by_events(self) -> bool:
        return self.ratings.chosen_from is not None

    @property
    def of_text(self) -> tuple[str, ...]:
        """A sentence on the texts of items and their use; empty where they are not read."""
        text = self.encodings.item_text
        return () if text is None else (f"item text: {text.n_columns:,} words help to place items without ratings",)

    @property
    def of_values(self) -> tuple[str, ...]:
        """A sentence on what the values are and how they are learned from; empty for stars."""
        if not self.scale.meaning:
            return ()
        weighed = "; the order of a user's own amounts is learned from" if self.scale.kind == "amounts" else ""
        return (f"values are {self.scale}: {self.scale.meaning}{weighed}",)

    @property
    def of_events(self) -> tuple[str, ...]:
        """A sentence on the labels and their use; empty without labels."""
        n_positive = int(np.count_nonzero(self.labels.are_positive))
        counted = f"events: {n_positive:,} positive pairs of user and item, {len(self.labels) - n_positive:,} negative"
        if not len(self.labels):
            return ()
        # Where values are no grades, there is no rating that an event could count as.
        is_graded = self.scale.is_graded
        if self.is_larger_than_memory:
            return (f"{counted}, none of them rated; above RECKON_TRAINING_MEMORY they are not learned from",)
        if self.is_led_by_events:
            learned_as = "ratings of {:g} and {:g}".format(*self.scale.of_labels) if is_graded else "choices or none"
            return (f"{counted}; with {len(self.rated):,} ratings only, they are learned from as {learned_as}",)
        counts_as = f"rating of {self.labels.counts_as:g}" if is_graded else "choice, as the least value is"
        return (f"{counted}, none of them rated; to the taste, a positive one is a {counts_as}",)


def training_ratings(rated: RatingMatrix, labels: EventLabels, scale: RatingScale) -> RatingMatrix:
    """The matrix to learn from: `rated` with `labels` kept apart, or both as ratings if there are few ratings.

    A first rating must not replace a thousand labels: too little could be learned from it, and nothing be held out.
    """
    if not len(labels) or rated.storage is not IN_MEMORY:
        return rated
    shape, times = (rated.n_users, rated.n_items), rated.times
    # With enough ratings, labels are kept apart and are not learned from as ratings.
    if len(rated) >= min(ENOUGH_RATINGS, RATINGS_PER_LABEL * len(labels)):
        return rated.with_labels(labels)
    liked, disliked = scale.of_labels
    return RatingMatrix(
        *shape,
        np.append(rated.user_rows, labels.user_rows),
        np.append(rated.item_rows, labels.item_rows),
        np.append(rated.values, np.where(labels.are_positive, liked, disliked)),
        np.append(times, labels.last_at),
        chosen_from=scale.liked_from,
        is_graded=rated.is_graded,
    )


def load_dataset(
    store: Store,
    user_groups: Sequence[str] = (),
    progress: ProgressCallback = ignore,
    *,
    with_text: bool = False,
    read: ReadRatings | None = None,
) -> Dataset:
    """Everything that a run reads. `user_groups`: the fields and attributes that make groups of users.

    `with_text`: whether the texts of items become features of items without ratings. `read`: reads the ratings; None:
    from the database, into memory.
    Raises `SnapshotRejectedError` where there are no ratings and no events with positive labels.
    """
    stage = Stage.from_progress(progress)
    scale = store.instance.scale()
    if read is None:
        data = store.training_reads.load()
        rated, of_files = to_rows(data), tuple[str, ...]()
    else:
        data, rated, of_files = read(store, scale, stage)
    with suppress(ReckonError):  # a later run counts as well
        store.arrivals.keep_totals(data.totals, data.read_at)
    labels = to_labels(data, rated, scale.liked_from)
    ratings = training_ratings(learnable(rated, scale), labels, scale)
    if not ratings.item_choice_counts.any():
        raise SnapshotRejectedError("there are no ratings to learn from, and no events that say what users like")
    users = _users(store, data)
    items = _items(store, data, with_text=with_text)
    features, encodings = describe(items, users, with_text=with_text)
    memberships = Memberships.from_users(users, user_groups)
    content = encodings.content.encode(items)
    dataset = Dataset(
        data, rated, ratings.with_features(features), scale, encodings, labels, memberships, content, of_files=of_files
    )
    if dataset.is_larger_than_memory and len(labels):
        # What was not learned from is in the histories: these users are folded in for each request.
        of_labels = np.zeros(len(data.user_keys), np.bool_)
        of_labels[labels.user_rows] = True
        dataset = replace(dataset, in_part=of_labels)
    stage.note(n_users=len(users), n_items=len(data.item_keys), n_ratings=len(rated), n_labels=len(labels))
    for choice in (*dataset.of_files, *dataset.of_values, *dataset.of_events, *dataset.of_text):
        stage.decide(choice)
    return dataset


def _items(store: Store, data: TrainingData, *, with_text: bool) -> list[Item]:
    """One for each row; an item deleted since the ratings were read has no content."""
    # The catalogue is read after the ratings, in a transaction of its own, so either may lack a row of the other.
    items = dict(store.items.by_key(with_text=with_text))
    return [items.get(key) or Item("gone") for key in data.item_keys.tolist()]


def _users(store: Store, data: TrainingData) -> list[User]:
    users = dict(store.users.with_profiles())
    # One object for all others, of whom there may be millions.
    undescribed = User("undescribed")
    return [users.get(key) or undescribed for key in data.user_keys.tolist()]
