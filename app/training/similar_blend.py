"""The weights of similar items, chosen by what held-out users chose with an item.

For a user of the hold-out and one of the items that this user liked before, a *query*, the ten most similar items that
were new to the user are compared with what the user liked afterwards:

    gain = sum_{k=1..10} hit_k log((m + 1) / n_k) / log2(1 + k),   divided by the largest gain that was possible

with n_k the users who chose the item at rank k, of m users. Hits on popular items count less: popular items are chosen
with every item, so that finding them says little of likeness. The mean over all queries is the measure.

Decisions, and why:

- **Behaviour first**: the shrinkage, and the shares of what is chosen together and of taste, are those with the best
  measure, each part standardised by its mean among its ten best items.
- **Then as much content as costs little.** Choices of users reward content too little: a list beside an item is read,
  and what shares tags, series or creator with it is understood as similar. `LEAST_CONTENT` is a prior; larger weights
  are taken as long as they cost at most `TOLERANCE` of what behaviour alone finds. On films the prior costs 2 % of the
  measure, and on game purchases titles improve it.
- **Never worse than plain cosine** of the columns of ratings: content is left out where it would be.
- The figures on the card are honest: for the users of one half, weights are those chosen by the other half.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.column_cosines import ColumnCosines
from app.algorithms.progress import Stage
from app.scoring.content import ContentEncoding
from app.scoring.item_similarity import content_trust
from app.scoring.similar import trust, unit_directions
from app.snapshots.manifest import UNMEASURED_BLEND, SimilarBlend
from app.training.validation_split import ValidationSplit, relevant_from

K = 10
"""Similar items of each query that are judged."""

MAX_QUERIES, MAX_OF_USER = 2_000, 10
"""Queries in all and of one user, at most."""

CELLS_AT_ONCE, MOST_AT_ONCE = 1 << 21, 100
"""Queries are compared with all items some at a time, so that the values of a part take 8 MB at most."""

LEAST_QUERIES = 40
"""With fewer, a weight chosen by them would be chosen by chance."""

ROWS_SCALED = 400
"""Items by which the parts are standardised."""

N_CANDIDATES = 30
"""Items that each part proposes for a query; the blends are compared on their union."""

SHRINKAGES = (3.0, 10.0, 30.0)
TASTE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LEAST_CONTENT = (0.2, 0.1)
"""Shares of features and of titles, in units of the share of behaviour, which is 1."""
FEATURE_SHARES, TITLE_SHARES = (LEAST_CONTENT[0], 0.3), (LEAST_CONTENT[1], 0.2, 0.3)
TOLERANCE = 0.03
"""The share of the measure of behaviour alone that content above the least may cost."""

COSINE, TASTE, FEATURES, TITLES = "cosine", "taste", "features", "titles"
PARTS = (COSINE, *(f"together{shrinkage:g}" for shrinkage in SHRINKAGES), TASTE, FEATURES, TITLES)
"""The columns of the candidates' values."""

_DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))

Measures = NDArray[np.float64]


class LikedItem(NamedTuple):
    """`item_row`: liked before. `relevant`: rows liked afterwards. `known`: rows that the user has, not to be shown."""

    user_row: int
    item_row: int
    relevant: NDArray[np.int32]
    known: NDArray[np.int32]


@dataclass(frozen=True)
class Choice:
    """A point of the grid. `shares`: of each part, standardised; behaviour sums to 1, content comes on top."""

    shrinkage: float
    taste: float
    features: float = 0.0
    titles: float = 0.0

    def raw(self, scales: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n_parts,) the weights of unscaled values, in the order of `PARTS`; 0 for a part that is nowhere above 0."""
        named = {f"together{self.shrinkage:g}": 1 - self.taste, TASTE: self.taste}
        named |= {FEATURES: self.features, TITLES: self.titles}
        shares = np.array([named.get(part, 0.0) for part in PARTS])
        weights: NDArray[np.float64] = np.divide(shares, scales, out=np.zeros_like(shares), where=scales > 0)
        return weights

    @property
    def content(self) -> float:
        return self.features + self.titles


@dataclass(frozen=True)
class SimilarProposals:
    """What the parts propose for q queries, up to m items each.

    `values`: (q, m, n_parts) float32, 0 where there is no item. `gains`: (q, m), of each item if it is a hit, else 0.
    `possible`: (q,), the largest gain. `scales`: (n_parts,), the mean of each part among its ten best items.
    """

    user_rows: NDArray[np.int64]
    values: NDArray[np.float32]
    gains: NDArray[np.float64]
    possible: NDArray[np.float64]
    scales: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.user_rows)

    def of(self, are_kept: NDArray[np.bool_]) -> "SimilarProposals":
        """Some of the queries, with the scales of all."""
        columns = (self.user_rows[are_kept], self.values[are_kept], self.gains[are_kept], self.possible[are_kept])
        return SimilarProposals(*columns, self.scales)

    def measure(self, weights: NDArray[np.floating]) -> Measures:
        """(q,) the measure of each query, of the ten best by values . weights."""
        scores = self.values @ weights.astype(np.float32)
        k = min(K, scores.shape[1])
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        gains = np.where(np.take_along_axis(scores, best, axis=1) > 0, np.take_along_axis(self.gains, best, axis=1), 0)
        found: Measures = (gains * _DISCOUNTS[:k]).sum(axis=1) / self.possible
        return found

    def alone(self, part: str) -> Measures:
        """(q,) the measure of a single part."""
        return self.measure(np.array([float(each == part) for each in PARTS]))


def choose_blend(
    split: ValidationSplit,
    likeness: NDArray[np.float32] | None,
    content: sparse.csr_array,
    encoding: ContentEncoding,
    rng: np.random.Generator,
    stage: Stage,
) -> SimilarBlend:
    """The blend of similar items with the best measure on the hold-out of `split`.

    `likeness`: (n_items, c), learned on the training part; None where nothing was. `content`: (n_items, t), of
    `encoding`. `UNMEASURED_BLEND` where there are too few queries.
    """
    queries = [] if likeness is None else draw_queries(split, rng)
    if likeness is None or len(queries) < LEAST_QUERIES:
        stage.decide("weights by default, since too few users can be measured")
        return UNMEASURED_BLEND
    candidates = gather(queries, SimilarParts.from_split(split, likeness, content, encoding))
    chosen = choose(candidates)
    _, users = np.unique(candidates.user_rows, return_inverse=True)
    by_half = [users % 2 == half for half in (0, 1)]
    crossed = np.concatenate(
        [candidates.of(~half).measure(choose(candidates.of(half)).raw(candidates.scales)) for half in by_half]
    )
    strongest = max((f"together{each:g}" for each in SHRINKAGES), key=lambda part: measure_alone(candidates, part))
    parts = {"cosine": COSINE, "together": strongest, "taste": TASTE, "features": FEATURES, "titles": TITLES}
    measured = {name: measure_alone(candidates, part) for name, part in parts.items()}
    measured = {name: round(value, 5) for name, value in ({"blend": float(crossed.mean())} | measured).items()}
    blend = replace(_as_blend(chosen, candidates.scales), measured=measured, n_measured=len(candidates))
    weights = ", ".join(f"{part} {getattr(blend, part):.2f}" for part in ("together", TASTE, FEATURES, TITLES))
    stage.decide(
        f"{weights}; of what was chosen with an item they find {measured['blend']:.4f}, plain cosine"
        f" {measured['cosine']:.4f}"
    )
    return blend


def draw_queries(split: ValidationSplit, rng: np.random.Generator) -> list[LikedItem]:
    """Up to `MAX_QUERIES`, spread evenly over the measured users, in the order of items."""
    liked_from = relevant_from(split.scale, split.question)
    liked = split.train.subset(split.train.values >= liked_from).by_user
    held = split.holdout.subset(split.holdout.values >= liked_from).by_user
    known, queries = split.train.observed, list[LikedItem]()
    n_each = min(MAX_OF_USER, math.ceil(MAX_QUERIES / max(len(split.user_rows), 1)))
    for user in rng.permutation(split.user_rows).tolist():
        before, after = _row(liked, user), _row(held, user)
        if len(before) and len(after):
            drawn = rng.choice(before, min(n_each, len(before)), replace=False)
            queries += [LikedItem(user, item_row, after, _row(known, user)) for item_row in drawn.tolist()]
        if len(queries) >= MAX_QUERIES:
            break
    # Sorted, so that queries of one item share a block.
    return sorted(queries, key=lambda query: (query.item_row, query.user_row))


@dataclass(frozen=True)
class SimilarParts:
    """The parts of the similarity, as learned from a training part, unweighted."""

    cosines: ColumnCosines
    directions: NDArray[np.float32]
    content: sparse.csr_array
    encoding: ContentEncoding
    counts: NDArray[np.int64]
    n_users: int

    @classmethod
    def from_split(
        cls,
        split: ValidationSplit,
        likeness: NDArray[np.float32],
        content: sparse.csr_array,
        encoding: ContentEncoding,
    ) -> "SimilarParts":
        cosines = ColumnCosines.from_ratings(split.train, split.scale.minimum, split.scale.maximum)
        n_users = int(np.count_nonzero(split.train.user_choice_counts))
        counts = split.train.item_choice_counts
        return cls(cosines, unit_directions(likeness), content, encoding, counts, n_users)

    def values(self, item_rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """(b, n_items) for each of `PARTS`, in their order; 0 for an item with itself."""
        cosines = self.cosines.of(item_rows)
        yield cosines.values.toarray()
        for shrinkage in SHRINKAGES:
            yield cosines.shrunk(shrinkage).toarray()
        trusted, of_content = trust(self.counts), content_trust(self.counts)
        alike = (self.directions[item_rows] @ self.directions.T).clip(min=0)
        yield _without_own(alike * trusted * trusted[item_rows, None], item_rows)
        for columns in _content_columns(self.encoding):
            part = self.content[:, columns]
            yield _without_own((part[item_rows] @ part.T).toarray() * of_content, item_rows)

    @property
    def gains(self) -> NDArray[np.float64]:
        """(n_items,), what a hit on each item counts: log((m + 1) / n)."""
        gains: NDArray[np.float64] = np.log((self.n_users + 1) / np.maximum(self.counts, 1))
        return gains


def gather(queries: list[LikedItem], parts: SimilarParts) -> SimilarProposals:
    """What each part proposes for each query, with the values of all parts and the gains."""
    gains_of, found = parts.gains, []
    sums, n_rows = np.zeros(len(PARTS)), 0
    n_at_once = max(1, min(MOST_AT_ONCE, CELLS_AT_ONCE // max(len(parts.counts), 1)))
    for start in range(0, len(queries), n_at_once):
        some = queries[start : start + n_at_once]
        item_rows, place = np.unique([query.item_row for query in some], return_inverse=True)
        values = [*parts.values(item_rows)]
        if n_rows < ROWS_SCALED:
            sums += [_best_mean(of_part) * len(item_rows) for of_part in values]
            n_rows += len(item_rows)
        for query, row in zip(some, place.tolist(), strict=True):
            rows = _proposed([of_part[row] for of_part in values], query.known)
            gains = np.where(np.isin(rows, query.relevant), gains_of[rows], 0)
            possible = -np.sort(-gains_of[query.relevant])[:K]
            found.append(
                (
                    np.stack([of_part[row, rows] for of_part in values], axis=1),
                    gains,
                    float(possible @ _DISCOUNTS[: len(possible)]),
                )
            )
    width = max(len(gains) for _, gains, _ in found)
    padded = np.zeros((len(found), max(width, 1), len(PARTS)), np.float32)
    hits = np.zeros(padded.shape[:2])
    for row, (of_query, gains, _) in enumerate(found):
        padded[row, : len(gains)], hits[row, : len(gains)] = of_query, gains
    # Never 0: an item that every user chose counts log((m + 1) / m).
    possible_gains = np.array([possible for _, _, possible in found])
    users = np.array([query.user_row for query in queries])
    return SimilarProposals(users, padded, hits, possible_gains, sums / max(n_rows, 1))


def choose(candidates: SimilarProposals) -> Choice:
    """The point of the grid that the queries speak for, see the decisions above."""

    def measure(choice: Choice) -> float:
        return float(candidates.measure(choice.raw(candidates.scales)).mean()) if len(candidates) else 0.0

    has = dict(zip(PARTS, (candidates.scales > 0).tolist(), strict=True))
    tastes = TASTE_SHARES if has[TASTE] and has[COSINE] else (1.0,) if has[TASTE] else (0.0,)
    # `max` takes the first of equals: less shrinkage, less taste.
    behaviour = max((Choice(*point) for point in product(SHRINKAGES, tastes)), key=measure)
    of_features, of_titles = (shares if has[part] else (0.0,) for part, shares in _CONTENT)
    # The first is the prior.
    contents = [replace(behaviour, features=f, titles=t) for f, t in product(of_features, of_titles)]
    least, plain = (1 - TOLERANCE) * measure(behaviour), measure_alone(candidates, COSINE)
    affordable = [choice for choice in contents if measure(choice) >= max(least, plain)]
    if affordable:
        return max(affordable, key=lambda choice: (choice.content, measure(choice)))
    return contents[0] if measure(contents[0]) >= plain else behaviour


def measure_alone(candidates: SimilarProposals, part: str) -> float:
    """The mean measure of a single part."""
    return float(candidates.alone(part).mean()) if len(candidates) else 0.0


_CONTENT = ((FEATURES, FEATURE_SHARES), (TITLES, TITLE_SHARES))


def _as_blend(choice: Choice, scales: NDArray[np.float64]) -> SimilarBlend:
    weights = dict(zip(PARTS, choice.raw(scales).tolist(), strict=True))
    total = sum(weights.values())
    if not total:  # nothing is alike
        return UNMEASURED_BLEND
    return SimilarBlend(
        together=weights[f"together{choice.shrinkage:g}"] / total,
        taste=weights[TASTE] / total,
        features=weights[FEATURES] / total,
        titles=weights[TITLES] / total,
        shrinkage=choice.shrinkage,
    )


def _content_columns(encoding: ContentEncoding) -> tuple[slice, slice]:
    n_features = len(encoding.features.names)
    return slice(0, n_features), slice(n_features, encoding.n_columns)


def _best_mean(values: NDArray[np.float32]) -> float:
    """The mean of the ten largest values (b, n_items) of each row."""
    k = min(K, values.shape[1])
    return float(np.partition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k :].mean())


def _proposed(values: list[NDArray[np.float32]], known: NDArray[np.int32]) -> NDArray[np.int64]:
    """Ascending rows of the largest values (n_items,) above 0 of each part, without the known ones."""
    proposed = np.zeros(len(values[0]), np.bool_)
    n = min(N_CANDIDATES, len(proposed))
    for of_part in values:
        new = of_part.copy()
        new[known] = 0
        best = np.argpartition(-new, n - 1)[:n]
        proposed[best[new[best] > 0]] = True
    return np.flatnonzero(proposed)


def _without_own(values: NDArray[np.float32], item_rows: NDArray[np.int64]) -> NDArray[np.float32]:
    values[np.arange(len(item_rows)), item_rows] = 0
    return values


def _row(matrix: sparse.csr_array, row: int) -> NDArray[np.int32]:
    """The columns of the entries of one row."""
    rows: NDArray[np.int32] = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
    return rows
