"""The search for the settings of a sparse segment's table, by nDCG@10 of its lists inside the training part."""

from collections.abc import Collection, Mapping

import numpy as np

from app.algorithms.progress import ProgressCallback, Stage
from app.algorithms.rating_matrix import RatingMatrix
from app.segments.base import SegmentDivergedError, Validation
from app.segments.sparse import LEAST_SUPPORT, LearnedSparseSegment, SparseSegment, entries_that_fit

MOST_ENTRIES, FEWER_ENTRIES = 100, 50
"""Entries of each row: the most that are kept, and the smaller number that is tried. Beyond 100 nothing is gained."""

LEAST_SHARE = 0.998
"""A smaller table is taken if it keeps this share of nDCG@10."""

DECAYS = (1.0, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5)
"""Decays of the history that `AUTO` compares; a history is not decayed where the order of choices is unknown."""

SEARCHED_UP_TO = 50_000
"""Items up to which `AUTO` compares regularizations; above, a fit takes minutes and the default is taken."""

CLOSED_FORM_UP_TO, LEAST_GAIN = 12_000, 0.02
"""Items up to which `AUTO` tries the closed form, which takes time n^3, and the share by which it must raise nDCG@10:
it is learned twice more in every run."""


class TableSearch:
    """Finds the settings of a table by nDCG@10 of its lists, one after the other.

    A fit is expensive and another decay of the history costs only the lists, so the decay is found for the first table,
    and all other settings at that decay.
    """

    def __init__(
        self,
        segment: SparseSegment,
        validation: Validation,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback,
        allowed: Collection[str] | None = None,
    ) -> None:
        """`allowed`: the algorithms that may be chosen; None: both."""
        self._segment = segment
        self._tries_closed_form = allowed is None or segment.closed_form in allowed
        self._validation = validation
        self._rng = rng
        self._stage = Stage.from_progress(progress)
        self._n_searched = _n_supported(validation.train)
        # The table published in the end is of all items, of which a sample of the users may have chosen few.
        self._n_items = max(self._n_searched, _n_supported(ratings))
        self._n_entries = most_entries(self._n_items)
        self._best: tuple[float, LearnedSparseSegment] | None = None
        self._n_fits = 0
        self._dropped: list[str] = []

    def run(self) -> tuple[LearnedSparseSegment, str]:
        segment = self._segment
        self._find_decay(self._fit(segment.on_neighbours, segment.first, 1.0))
        if self._n_searched <= SEARCHED_UP_TO:
            for step in segment.steps:
                self._try(segment.on_neighbours, {**self._settings, **step})
        if self._tries_closed_form and self._n_items <= CLOSED_FORM_UP_TO:
            known = segment.hyperparameters(segment.closed_form, {})
            settings = {name: value for name, value in self._settings.items() if name in known}
            self._try(segment.closed_form, settings, least_gain=LEAST_GAIN)
        ndcg, learned = self._ndcg, self.best
        if self._n_entries > FEWER_ENTRIES:
            cut = learned.with_entries(FEWER_ENTRIES)
            if self._validation.ndcg(cut.scores) >= LEAST_SHARE * ndcg:
                learned = cut
        return learned, self._sentence(ndcg, learned)

    def _find_decay(self, learned: LearnedSparseSegment) -> None:
        """Compare decays from the middle outwards, in each direction for as long as the lists get better."""
        if not learned.choices.has_order:
            self._compare(learned)
            return
        middle = len(DECAYS) // 2
        self._compare(learned.with_decay(DECAYS[middle]))
        for decays in (DECAYS[middle + 1 :], DECAYS[middle - 1 :: -1]):
            for decay in decays:
                if not self._compare(learned.with_decay(decay)):
                    break

    @property
    def _settings(self) -> dict[str, float]:
        """The settings of the best table so far that `AUTO` changes."""
        names = {name for each in (self._segment.first, *self._segment.steps) for name in each}
        return {name: self.best.recipe.hyperparameters[name] for name in names}

    @property
    def best(self) -> LearnedSparseSegment:
        if self._best is None:
            raise RuntimeError("nothing was compared yet")
        return self._best[1]

    @property
    def _ndcg(self) -> float:
        return -np.inf if self._best is None else self._best[0]

    def _fit(self, algorithm: str, chosen: Mapping[str, float], decay: float) -> LearnedSparseSegment:
        self._n_fits += 1
        settings = {**chosen, "history_decay": decay, "n_entries": self._n_entries}
        recipe = self._segment.complete(algorithm, settings)
        with self._stage.part(f"{algorithm} {self._n_fits}", 1 - 0.7**self._n_fits, **settings) as part:
            return self._segment.fit(recipe, self._validation.train, self._rng, part)

    def _try(self, algorithm: str, chosen: Mapping[str, float], least_gain: float = 0.0) -> None:
        """Fit a table at the best decay and compare it; one that diverges is dropped."""
        try:
            learned = self._fit(algorithm, chosen, self.best.fold.decay)
        except SegmentDivergedError as error:
            self._dropped.append(self._stage.decide(f"dropped, {error}"))
            return
        self._compare(learned, least_gain)

    def _compare(self, learned: LearnedSparseSegment, least_gain: float = 0.0) -> bool:
        """Keep `learned` if its lists are better than the best so far, by more than a share of `least_gain`."""
        ndcg = self._validation.ndcg(learned.scores)
        is_better = self._best is None or ndcg > self._ndcg * (1 + least_gain)
        if is_better:
            self._best = (ndcg, learned)
        return is_better

    def _sentence(self, ndcg: float, learned: LearnedSparseSegment) -> str:
        settings = learned.recipe.hyperparameters
        shown = f"regularization {settings['regularization']:g}, decay of the history {settings['history_decay']:g}"
        of_memory = "" if self._n_entries == MOST_ENTRIES else f" (more than {self._n_entries} do not fit the memory)"
        chosen = (
            f"{self._segment.name} by {learned.recipe.algorithm}: {shown}, {settings['n_entries']} entries an item"
            f"{of_memory}, nDCG@10 {ndcg:.4f}, the best of {self._n_fits} tables tried"
        )
        return "; ".join([chosen, *self._dropped])


def _n_supported(ratings: RatingMatrix) -> int:
    """How many items at least `LEAST_SUPPORT` users chose."""
    return int(np.count_nonzero(ratings.item_choice_counts >= LEAST_SUPPORT))


def most_entries(n_items: int) -> int:
    """The number of entries of each row that `AUTO` starts from."""
    return min(entries_that_fit(n_items), MOST_ENTRIES)
