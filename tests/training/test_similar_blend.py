"""The choice of the weights of similar items, on data whose right answer is known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.progress import Stage, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.scoring.content import ContentEncoding
from app.snapshots.manifest import UNMEASURED_BLEND
from app.training import similar_blend
from app.training.similar_blend import (
    COSINE,
    FEATURES,
    LEAST_CONTENT,
    PARTS,
    TASTE,
    TITLES,
    SimilarParts,
    SimilarProposals,
    choose,
    draw_queries,
    gather,
    measure_alone,
)
from app.training.validation_split import ValidationSplit

STAGE = Stage.from_progress(ignore)
RNG = np.random.default_rng


def candidates(**told_by: float) -> SimilarProposals:
    """One hit a query. A part holds it in the first place in this share of the queries, and else draws values."""
    rng, n_queries, n_items = RNG(0), 60, 40
    values = np.zeros((n_queries, n_items, len(PARTS)), np.float32)
    hits = rng.integers(0, n_items, n_queries)
    for name, share in told_by.items():
        column = PARTS.index(name)
        values[:, :, column] = rng.random((n_queries, n_items)) * 0.9
        is_told = rng.random(n_queries) < share
        values[np.flatnonzero(is_told), hits[is_told], column] = 1
    gains = np.zeros((n_queries, n_items))
    gains[np.arange(n_queries), hits] = 2.0
    scales = (values.reshape(-1, len(PARTS)).max(axis=0) > 0).astype(float)
    return SimilarProposals(np.arange(n_queries), values, gains, np.full(n_queries, 2.0), scales)


def together(share: float) -> dict[str, float]:
    return dict.fromkeys((COSINE, "together3", "together10", "together30"), share)


def test_best_part_leads() -> None:
    assert choose(candidates(**together(0.9), taste=0.1)).taste == pytest.approx(0)
    assert choose(candidates(**together(0.1), taste=0.9)).taste >= 0.75


def test_best_shrinkage() -> None:
    assert choose(candidates(cosine=0.2, together3=0.2, together10=0.2, together30=0.9)).shrinkage == 30


def test_content_that_tells_gets_more() -> None:
    idle = choose(candidates(**together(0.8), features=0.0))
    telling = choose(candidates(**together(0.3), features=0.9))
    assert idle.features <= LEAST_CONTENT[0] < telling.features
    assert (idle.titles, telling.titles) == (0, 0)  # there are none


def test_never_worse_than_cosine() -> None:
    found = candidates(**together(1.0), features=0.0, titles=0.0)
    # Content that points elsewhere, with more weight than the least has.
    found.values[:, :, PARTS.index(FEATURES)] = 20 * (found.gains == 0)
    assert choose(found).content == 0


def test_measure_by_hand() -> None:
    # The hits stand at ranks 2 and 11 of the two queries.
    values = np.zeros((2, 12, len(PARTS)), np.float32)
    values[:, :, PARTS.index(TASTE)] = np.arange(12, 0, -1)
    gains = np.zeros((2, 12))
    gains[0, 1] = gains[1, 10] = 3.0
    measured = SimilarProposals(np.arange(2), values, gains, np.full(2, 3.0), np.ones(len(PARTS))).alone(TASTE)
    np.testing.assert_allclose(measured, [1 / np.log2(3), 0])


def cliques(n_users: int = 90, n_items: int = 24, seed: int = 0) -> ValidationSplit:
    """Users choose items of one clique of eight; the last two choices of each are held out."""
    rng = RNG(seed)
    rows = [(user, item) for user in range(n_users) for item in user % 3 * 8 + rng.permutation(8)[:6]]
    users, items = np.array(rows).T
    is_held = np.arange(len(rows)) % 6 >= 4
    train, holdout = (
        RatingMatrix(n_users, n_items, users[kept], items[kept], np.full(kept.sum(), 5.0))
        for kept in (~is_held, is_held)
    )
    return ValidationSplit.draw(train, holdout, RatingScale(), rng, question="newest")


def of_items(split: ValidationSplit, likeness: NDArray[np.float32]) -> SimilarParts:
    nothing = sparse.csr_array(np.zeros((split.train.n_items, 0), np.float32))
    return SimilarParts.from_split(split, likeness, nothing, ContentEncoding())


def test_cliques_are_found() -> None:
    split = cliques()
    queries = draw_queries(split, RNG(0))
    assert len({query.user_row for query in queries}) == 90
    assert not any(np.isin(query.relevant, query.known).any() for query in queries)
    # The taste is noise: what is chosen together finds the clique.
    found = gather(queries, of_items(split, RNG(1).standard_normal((24, 8)).astype(np.float32)))
    # Of the clique's items, two of the four that are new to a user are relevant, in no order that could be known.
    assert measure_alone(found, COSINE) > 0.6
    assert measure_alone(found, TASTE) < 0.5
    assert choose(found).taste <= 0.25


def test_popular_hits_count_less() -> None:
    split = cliques()
    parts = of_items(split, np.zeros((24, 1), np.float32))
    counts = split.train.item_counts
    assert (np.argsort(parts.gains, kind="stable") == np.argsort(-counts, kind="stable")).all()


def test_too_few_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    split = cliques()
    nothing = of_items(split, np.zeros((24, 1), np.float32))
    assert similar_blend.choose_blend(split, None, nothing.content, nothing.encoding, RNG(0), STAGE) == UNMEASURED_BLEND
    monkeypatch.setattr(similar_blend, "LEAST_QUERIES", 10_000)
    likeness = np.ones((24, 1), np.float32)
    assert similar_blend.choose_blend(split, likeness, nothing.content, nothing.encoding, RNG(0), STAGE).measured == {}


def test_weights_sum_to_one() -> None:
    split = cliques()
    nothing = of_items(split, np.zeros((24, 1), np.float32))
    likeness = RNG(1).standard_normal((24, 8)).astype(np.float32)
    blend = similar_blend.choose_blend(split, likeness, nothing.content, nothing.encoding, RNG(0), STAGE)
    assert blend.together + blend.taste + blend.features + blend.titles == pytest.approx(1)
    assert (blend.features, blend.titles) == (0, 0)
    assert blend.measured["blend"] > 0.6 > blend.measured[TASTE]
    assert blend.measured[TITLES] == 0
