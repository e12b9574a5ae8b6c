"""Two towers: one network embeds user features, one item features; the dot product of the embeddings is the rating.

    v_u = tower_U(features of u),    v_i = tower_V(features of i),    both normalised to length 1
    minimise  mean over ratings of (v_u . v_i - (r_ui - centre) / half_range)^2,    with weight decay

P.-S. Huang et al., "Learning Deep Structured Semantic Models for Web Search using Clickthrough Data" (2013), for the
architecture; AdamW (I. Loshchilov, F. Hutter, 2019) minimises. Users and items without ratings are embedded by their
features. The only module that uses torch, an extra; its result needs numpy alone (`two_tower_vectors.py`).

Complexity: O(n_ratings (entries + n_hidden^2)) per epoch, entries the non-zero features of a row; one thread.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.early_stopping import HELD_OUT_SHARE, MAX_HELD_OUT, MIN_HELD_OUT, EarlyStopping
from app.algorithms.errors import AlgorithmError, FeaturesNeededError
from app.algorithms.history_features import HistoryFeatures
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.progress import ProgressCallback, ignore, report_epoch
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.algorithms.two_tower_vectors import Tower, TowerVectors, join_features

if TYPE_CHECKING:
    import torch

INSTALL = "two_tower needs torch: pip install 'reckon[two-tower]'"

# Epochs without a lower validation error after which the weights of the best epoch are taken.
PATIENCE = 3

# History features for a rating are computed without a random fifth of all ratings that contains it, so that the target
# does not leak into them.
N_PARTS = 5

# The share of batches whose items are presented without history features, and likewise for users. Otherwise the towers
# would never see rows without ratings and would embed them badly (M. Volkovs et al., "DropoutNet", 2017).
DROPOUT_SHARE = 0.1

MIN_BATCH = 256
MAX_BATCH = 8192
# Steps of an epoch, as long as the batches stay within MIN_BATCH..MAX_BATCH ratings.
MIN_STEPS = 200


@dataclass(frozen=True)
class TwoTower:
    """Learns two networks of three layers each.

    `n_factors`: length of the embeddings.
    `n_hidden`: width of the first hidden layer; the second has half of it.
    `n_epochs`: passes over the ratings, at most; the weights of the epoch with the least validation error are kept.
    `learning_rate`: initial step size of AdamW, falling to 0 along a cosine.
    `regularization`: weight decay of AdamW.
    """

    n_factors: int = hyperparameter(32, low=1, high=1024)
    n_hidden: int = hyperparameter(128, low=2, high=4096)
    n_epochs: int = hyperparameter(15, low=1, high=10_000)
    learning_rate: float = hyperparameter(0.005, low=0.0, high=10.0)
    regularization: float = hyperparameter(0.01, low=0.0, high=10.0)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore) -> TowerVectors:
        """The towers and the vectors of all users and items.

        Raises `FeaturesNeededError` where neither users nor items have features, `AlgorithmError` without torch, and
        `FitDivergedError`.
        """
        features = ratings.features
        if features is None or not features.items.nnz + features.users.nnz:
            raise FeaturesNeededError("two_tower learns from features of users and items, and none of them has any")
        try:
            import torch
        except ImportError as error:
            raise AlgorithmError(INSTALL) from error
        # One thread: the order of summation, and with it the bits of the result, then do not depend on the machine.
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return _Training(self, ratings, features, rng).run(progress)
        finally:
            torch.set_num_threads(n_threads)


class _Part(NamedTuple):
    """`positions`: (m,) of some ratings. `users`, `items`: features of all rows, computed without these ratings."""

    positions: NDArray[np.int64]
    users: sparse.csr_array
    items: sparse.csr_array


class _Training:
    """The state of one fit; a tower is a list of tensors [weights, biases, weights, biases, ...]."""

    def __init__(self, settings: TwoTower, ratings: RatingMatrix, features: Features, rng: np.random.Generator) -> None:
        # Ratings are mapped to -1..1, the range of a dot product of unit vectors.
        low, high = (float(ratings.values.min()), float(ratings.values.max())) if len(ratings) else (0.0, 0.0)
        self.settings, self.ratings, self.features, self.rng = settings, ratings, features, rng
        self.centre, self.half_range = (low + high) / 2, (high - low) / 2
        # What history features are is defined by all ratings; their values come from each part's complement.
        self.history = HistoryFeatures.from_ratings(ratings, features.items)
        users, items = self._all_features(ratings)
        # The features of rows without ratings, for dropout: history columns are empty.
        self.without_history = (
            join_features(features.users, None, users.shape[1]),
            join_features(features.items, None, items.shape[1]),
        )
        self.user_tower, self.item_tower = (_draw(each, settings, rng) for each in (users, items))

    def run(self, progress: ProgressCallback) -> TowerVectors:
        """Run the epochs; returns the vectors of the best one, computed from all ratings."""
        import torch

        settings, tensors = self.settings, [*self.user_tower, *self.item_tower]
        train, held_out = self._split()
        parts = [
            _Part(positions, join_features(self.features.users, users), join_features(self.features.items, items))
            for positions, users, items in self.history.leaving_out(train, N_PARTS, self.rng)
        ]
        optimizer = torch.optim.AdamW(tensors, weight_decay=settings.regularization)
        best, stopping = _copies(tensors), EarlyStopping(PATIENCE)
        for epoch in range(settings.n_epochs if self.half_range else 0):  # equal ratings teach nothing
            # rate(epoch) = rate (1 + cos(pi epoch / n_epochs)) / 2
            (group,) = optimizer.param_groups
            group["lr"] = settings.learning_rate * (1 + math.cos(math.pi * epoch / settings.n_epochs)) / 2
            for predicted, targets in self._batches(train, parts):
                optimizer.zero_grad()
                (predicted - targets).square().mean().backward()
                optimizer.step()
            # Without a held-out slice every epoch counts as better than the last one, so all epochs are run.
            error = self._validation_error(train, held_out) if len(held_out) else -float(epoch)
            measure = f"validation RMSE {math.sqrt(error):.4f}" if len(held_out) else ""
            report_epoch(progress, "two_tower", epoch, settings.n_epochs, measure)
            if stopping.improves(epoch, error):
                best = _copies(tensors)
            elif stopping.is_over(epoch):
                break
        progress(1.0, "two_tower fitted")
        n_user = len(self.user_tower)
        return self._learned(best[:n_user], best[n_user:], self.ratings)

    def _split(self) -> tuple[RatingMatrix, RatingMatrix]:
        """The training ratings and the held-out slice; the latter is empty where it would be too small to measure."""
        n_held_out = min(int(HELD_OUT_SHARE * len(self.ratings)), MAX_HELD_OUT)
        is_held_out = np.zeros(len(self.ratings), np.bool_)
        if n_held_out >= MIN_HELD_OUT:
            is_held_out[self.rng.choice(len(self.ratings), n_held_out, replace=False)] = True
        return self.ratings.subset(~is_held_out), self.ratings.subset(is_held_out)

    def _batches(self, train: RatingMatrix, parts: Sequence[_Part]) -> Iterator[tuple["torch.Tensor", "torch.Tensor"]]:
        """Predictions and targets of one epoch, (b,) each in -1..1, in random order."""
        import torch

        # A batch stays within one part, because all its history features leave out the same ratings.
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
            # Dropout of the history, independently for users and items.
            users, items = (
                new if self.rng.random() < DROPOUT_SHARE else known
                for new, known in zip(self.without_history, (part.users, part.items), strict=True)
            )
            user_vectors = _forward(self.user_tower, users, train.user_rows[positions])
            item_vectors = _forward(self.item_tower, items, train.item_rows[positions])
            # Targets in -1..1, the range of the product of two unit vectors
            targets = (train.values[positions] - self.centre) / self.half_range
            if len(positions):
                yield (user_vectors * item_vectors).sum(dim=1), torch.from_numpy(targets.astype(np.float32))

    def _validation_error(self, train: RatingMatrix, held_out: RatingMatrix) -> float:
        """Mean squared error on the held-out slice, in the rating scale; history features come from `train` alone."""
        learned = self._learned(self.user_tower, self.item_tower, train)
        return float(np.mean((learned.predict(held_out.user_rows, held_out.item_rows) - held_out.values) ** 2))

    def _learned(
        self, user_tower: Sequence["torch.Tensor"], item_tower: Sequence["torch.Tensor"], ratings: RatingMatrix
    ) -> TowerVectors:
        """The towers as arrays, and the embeddings of all rows with history features from `ratings`."""
        users, items = self._all_features(ratings)
        user_network, item_network = _tower(user_tower), _tower(item_tower)
        return TowerVectors(
            user_tower=user_network,
            item_tower=item_network,
            user_vectors=user_network.embed(users),
            item_vectors=item_network.embed(items),
            history=self.history,
            centre=self.centre,
            half_range=self.half_range,
        ).checked()

    def _all_features(self, ratings: RatingMatrix) -> tuple[sparse.csr_array, sparse.csr_array]:
        users, items = self.features.users, self.features.items
        return join_features(users, self.history.users(ratings)), join_features(items, self.history.items(ratings))


def _draw(features: sparse.csr_array, settings: TwoTower, rng: np.random.Generator) -> list["torch.Tensor"]:
    """Random weights and biases of one tower, which keep the size of activations through the layers.

    W ~ N(0, 2 / size) with size the fan-in (K. He et al., "Delving Deep into Rectifiers", 2015); for the sparse input
    layer the mean squared length of the features takes the place of the fan-in.
    """
    import torch

    # E |x|^2 over rows; 0 where no row has features
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
    """(b,) rows -> (b, d) of length 1, as `Tower.embed`, with gradients.

    Distinct rows are embedded once, since a batch contains popular items many times.
    """
    import torch

    distinct, places = np.unique(rows, return_inverse=True)
    entries = features[distinct].tocoo()
    # COO: torch multiplies a sparse by a dense matrix with gradients for the dense one.
    indices = torch.from_numpy(np.stack([entries.row, entries.col]).astype(np.int64))
    # scipy guarantees the invariants of the indices; checking them again costs time in every step.
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
