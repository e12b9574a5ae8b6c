"""Two towers: a network for the users' features and one for the items', whose outputs' dot product is the rating.

The deep content-based filtering of the documents: two small networks, vectors of length 1, mean squared error on
ratings mapped to -1..1, with weight decay. Users and items without ratings are embedded by their features. The only
module that uses torch, an extra; what it learns needs numpy alone (`two_tower_vectors.py`).
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.errors import AlgorithmError, FeaturesNeededError
from app.algorithms.features import Features
from app.algorithms.history_features import HistoryFeatures
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import Progress, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.two_tower_vectors import Tower, TowerVectors, beside

if TYPE_CHECKING:
    import torch

INSTALL = "two_tower needs torch: pip install 'reckon[two-tower]'"

HELD_OUT_SHARE = 0.05
MAX_HELD_OUT = 20_000
MIN_HELD_OUT = 10
"""Of the ratings, to tell when to stop; with fewer, all epochs are run."""

PATIENCE = 3
"""Epochs without a lower held-out error before the best is taken."""

N_PARTS = 5
"""A rating is learned from histories that lack a fifth of all ratings, its own among them."""

FORGOTTEN = 0.1
"""The share of batches whose items are learned from as if nobody had rated them, and of those whose users had rated
nothing: what a tower never met it would not embed well (M. Volkovs et al., "DropoutNet", 2017)."""

MIN_BATCH = 256
MAX_BATCH = 8192
MIN_STEPS = 200
"""An epoch has so many steps, unless that takes batches below the smallest or above the largest."""


@dataclass(frozen=True)
class TwoTower:
    """Learns two networks of three layers; `n_hidden`: the width of the first, the second has half of it.

    `n_factors`: the length of the vectors. `learning_rate`: of Adam's first step, falling in a cosine to 0.
    `regularization`: the weight decay. `n_epochs`: at most; the weights of the best epoch on a held-out slice are kept.
    """

    n_factors: int = hyperparameter(32, low=1, high=1024)
    n_hidden: int = hyperparameter(128, low=2, high=4096)
    n_epochs: int = hyperparameter(15, low=1, high=10_000)
    learning_rate: float = hyperparameter(0.005, low=0.0, high=10.0)
    regularization: float = hyperparameter(0.01, low=0.0, high=10.0)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: Progress = ignore) -> TowerVectors:
        """The towers, and the vectors of all users and items. One thread, so equal seeds give equal bits.

        Raises `FeaturesNeededError` where nothing is known of users and items, and `AlgorithmError` without torch.
        """
        features = ratings.features
        if features is None or not features.items.nnz + features.users.nnz:
            raise FeaturesNeededError("two_tower learns from features of users and items, and none of them has any")
        try:
            import torch  # noqa: PLC0415  an extra, and slow to import
        except ImportError as error:
            raise AlgorithmError(INSTALL) from error
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return _Training(self, ratings, features, rng).run(progress)
        finally:
            torch.set_num_threads(n_threads)


class _Part(NamedTuple):
    """Some ratings, and the features of all users and items whose histories leave them out."""

    positions: NDArray[np.int64]
    users: sparse.csr_array
    items: sparse.csr_array


class _Training:
    """One fit under way: the towers as tensors [weights, biases, weights, biases, ...]."""

    def __init__(self, settings: TwoTower, ratings: RatingMatrix, features: Features, rng: np.random.Generator) -> None:
        low, high = (float(ratings.values.min()), float(ratings.values.max())) if len(ratings) else (0.0, 0.0)
        self.settings, self.ratings, self.features, self.rng = settings, ratings, features, rng
        self.centre, self.half_range = (low + high) / 2, (high - low) / 2
        self.history = HistoryFeatures.learn(ratings, features.items)
        users, items = self._all_features(ratings)
        self.without_history = (
            beside(features.users, None, users.shape[1]),
            beside(features.items, None, items.shape[1]),
        )
        self.user_tower, self.item_tower = (_draw(each, settings, rng) for each in (users, items))

    def run(self, progress: Progress) -> TowerVectors:
        import torch  # noqa: PLC0415  see `TwoTower.fit`

        settings, tensors = self.settings, [*self.user_tower, *self.item_tower]
        train, held_out = self._split()
        parts = [
            _Part(positions, beside(self.features.users, users), beside(self.features.items, items))
            for positions, users, items in self.history.leaving_out(train, N_PARTS, self.rng)
        ]
        optimizer = torch.optim.AdamW(tensors, weight_decay=settings.regularization)
        best, least, least_at = _copies(tensors), math.inf, 0
        for epoch in range(settings.n_epochs if self.half_range else 0):  # nothing to learn of equal ratings
            (group,) = optimizer.param_groups
            group["lr"] = settings.learning_rate * (1 + math.cos(math.pi * epoch / settings.n_epochs)) / 2
            for predicted, targets in self._batches(train, parts):
                optimizer.zero_grad()
                (predicted - targets).square().mean().backward()
                optimizer.step()
            progress((epoch + 1) / settings.n_epochs, f"epoch {epoch + 1} of {settings.n_epochs}")
            error = self._error(train, held_out, epoch)
            if error < least:
                best, least, least_at = _copies(tensors), error, epoch
            elif epoch - least_at >= PATIENCE:
                break
        progress(1.0, "learned")
        n_user = len(self.user_tower)
        return self._learned(best[:n_user], best[n_user:], self.ratings)

    def _split(self) -> tuple[RatingMatrix, RatingMatrix]:
        n_held_out = min(int(HELD_OUT_SHARE * len(self.ratings)), MAX_HELD_OUT)
        is_held_out = np.zeros(len(self.ratings), np.bool_)
        if n_held_out >= MIN_HELD_OUT:
            is_held_out[self.rng.choice(len(self.ratings), n_held_out, replace=False)] = True
        return self.ratings.subset(~is_held_out), self.ratings.subset(is_held_out)

    def _batches(self, train: RatingMatrix, parts: Sequence[_Part]) -> Iterator[tuple["torch.Tensor", "torch.Tensor"]]:
        """Predictions and targets, both (b,) in -1..1, in random order."""
        import torch  # noqa: PLC0415  see `TwoTower.fit`

        n_batch = min(MAX_BATCH, max(MIN_BATCH, len(train) // MIN_STEPS))
        batches = [
            (part, positions)
            for part in parts
            for positions in np.array_split(
                self.rng.permutation(part.positions), -(-len(part.positions) // n_batch) or 1
            )
        ]
        for place in self.rng.permutation(len(batches)):
            part, positions = batches[place]
            users, items = (
                new if self.rng.random() < FORGOTTEN else known
                for new, known in zip(self.without_history, (part.users, part.items), strict=True)
            )
            user_vectors = _forward(self.user_tower, users, train.user_rows[positions])
            item_vectors = _forward(self.item_tower, items, train.item_rows[positions])
            targets = (train.values[positions] - self.centre) / self.half_range
            if len(positions):
                yield (user_vectors * item_vectors).sum(dim=1), torch.from_numpy(targets.astype(np.float32))

    def _error(self, train: RatingMatrix, held_out: RatingMatrix, epoch: int) -> float:
        """Mean squared error on what was held out; without any, lower in every epoch."""
        if not len(held_out):
            return -float(epoch)
        learned = self._learned(self.user_tower, self.item_tower, train)
        return float(np.mean((learned.predict(held_out.user_rows, held_out.item_rows) - held_out.values) ** 2))

    def _learned(
        self, user_tower: Sequence["torch.Tensor"], item_tower: Sequence["torch.Tensor"], ratings: RatingMatrix
    ) -> TowerVectors:
        users, items = self._all_features(ratings)
        of_users, of_items = _tower(user_tower), _tower(item_tower)
        return TowerVectors(
            user_tower=of_users,
            item_tower=of_items,
            user_vectors=of_users.embed(users),
            item_vectors=of_items.embed(items),
            history=self.history,
            centre=self.centre,
            half_range=self.half_range,
        ).checked()

    def _all_features(self, ratings: RatingMatrix) -> tuple[sparse.csr_array, sparse.csr_array]:
        users, items = self.features.users, self.features.items
        return beside(users, self.history.users(ratings)), beside(items, self.history.items(ratings))


def _draw(features: sparse.csr_array, settings: TwoTower, rng: np.random.Generator) -> list["torch.Tensor"]:
    """Random weights through which inputs keep their size (K. He et al. 2015), whatever the length of the features."""
    import torch  # noqa: PLC0415  see `TwoTower.fit`

    square_length = float(features.power(2).sum()) / max(1, features.shape[0])
    sizes = [square_length or 1.0, settings.n_hidden, max(1, settings.n_hidden // 2)]
    widths = [features.shape[1], *sizes[1:], settings.n_factors]
    tensors = []
    for size, (width, next_width) in zip(sizes, itertools.pairwise(widths), strict=True):
        weights = rng.standard_normal((int(width), int(next_width))) * math.sqrt(2 / size)
        biases = rng.standard_normal(int(next_width)) * 0.1
        tensors += [torch.tensor(each, dtype=torch.float32, requires_grad=True) for each in (weights, biases)]
    return tensors


def _forward(tower: Sequence["torch.Tensor"], features: sparse.csr_array, rows: NDArray[np.int32]) -> "torch.Tensor":
    """(b,) rows -> (b, d), of length 1: as `Tower.embed`, with gradients; every row goes through once."""
    import torch  # noqa: PLC0415  see `TwoTower.fit`

    different, places = np.unique(rows, return_inverse=True)
    entries = features[different].tocoo()
    indices = torch.from_numpy(np.stack([entries.row, entries.col]).astype(np.int64))
    # Their invariants hold: scipy made them.
    inputs = torch.sparse_coo_tensor(indices, torch.from_numpy(entries.data), entries.shape, check_invariants=False)
    hidden = torch.sparse.mm(inputs, tower[0]) + tower[1]
    for weights, biases in zip(tower[2::2], tower[3::2], strict=True):
        hidden = torch.relu(hidden) @ weights + biases
    return torch.nn.functional.normalize(hidden, dim=1)[torch.from_numpy(places)]


def _copies(tensors: Sequence["torch.Tensor"]) -> list["torch.Tensor"]:
    return [each.detach().clone() for each in tensors]


def _tower(tensors: Sequence["torch.Tensor"]) -> Tower:
    arrays = [each.detach().numpy().copy() for each in tensors]
    return Tower(tuple(arrays[::2]), tuple(arrays[1::2]))
