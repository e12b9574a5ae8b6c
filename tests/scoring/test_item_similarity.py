from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from app.entities import Item
from app.scoring import item_similarity as item_similarity_file
from app.scoring.content import ContentEncoding
from app.scoring.item_similarity import ItemSimilarity
from app.scoring.similar import best
from app.snapshots.arrays import N_SIMILAR
from app.snapshots.manifest import SimilarBlend

BLEND = SimilarBlend(together=0.4, taste=0.3, features=0.2, titles=0.1, shrinkage=10)


def drawn(seed: int, n_items: int) -> ItemSimilarity:
    rng = np.random.default_rng(seed)
    items = [
        Item(str(n), title=f"w{rng.integers(5)} w{rng.integers(5)}", categories=(f"c{rng.integers(4)}",))
        for n in range(n_items)
    ]
    encoding = ContentEncoding.fit(items)
    counts = rng.integers(0, 30, n_items)
    vectors = (rng.standard_normal((n_items, 4)) * (counts > 0)[:, None]).astype(np.float32)
    together = sparse.random_array((n_items, n_items), density=0.2, dtype=np.float32, rng=rng).tocsr()
    together.setdiag(0)
    together.eliminate_zeros()
    return ItemSimilarity(vectors, counts, together, encoding.encode(items), encoding, BLEND)


def test_worked_example() -> None:
    # Item 1 points as item 0 does and shares its category; item 2 is at 60 degrees; item 3 away, but chosen with it.
    vectors = np.array([[1, 0], [2, 0], [0.5, 0.75**0.5], [-1, 0]], np.float32)
    items = [Item("0", categories=("a",)), Item("1", categories=("a",)), Item("2", categories=("b",)), Item("3")]
    together = np.zeros((4, 4), np.float32)
    together[0, 3] = 0.5
    encoding = ContentEncoding.fit(items)
    similarity = ItemSimilarity(
        vectors, np.array([30, 10, 90, 0]), sparse.csr_array(together), encoding.encode(items), encoding, BLEND
    )
    taste = 0.3 * 30 / 40
    expected = [0, taste * 10 / 20 + 0.2 * 15 / 20, taste * 0.5 * 90 / 100, 0.4 * 0.5]
    np.testing.assert_allclose(similarity.to_item(0), expected, rtol=1e-6)
    rows, scores = similarity.stored()
    assert rows[0, :4].tolist() == [1, 3, 2, -1]
    np.testing.assert_allclose(scores[0, :3], [expected[1], expected[3], expected[2]], rtol=1e-6)
    assert rows[3, 0] == -1  # its vector is not trusted without ratings, and the table has no row of it


@settings(max_examples=30)
@given(st.integers(1, 120), st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_stored_equals_scanned(n_items: int, seed: int, per_block: int) -> None:
    similarity = drawn(seed, n_items)
    with pytest.MonkeyPatch.context() as patch:
        rows_at_once = lambda n: (np.arange(s, min(s + per_block, n)) for s in range(0, n, per_block))  # noqa: E731
        patch.setattr(item_similarity_file, "blocks", rows_at_once)
        stored_rows, stored_scores = similarity.stored()
    for item_row in range(n_items):
        rows, scores = best(similarity.to_item(item_row), N_SIMILAR)
        kept = stored_rows[item_row] >= 0
        np.testing.assert_allclose(stored_scores[item_row, kept], scores, atol=1e-6)
        gaps = np.diff(scores, prepend=2, append=-1)
        clear = (gaps[:-1] < -1e-5) & (gaps[1:] < -1e-5)
        assert stored_rows[item_row, kept][clear].tolist() == rows[clear].tolist()  # the rest are ties but for rounding


@settings(max_examples=30)
@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_contributions_sum(n_items: int, seed: int) -> None:
    similarity = drawn(seed, n_items)
    others = np.arange(1, n_items)
    parts = similarity.contributions(0, others)
    assert all((values >= 0).all() for values in parts.values())
    np.testing.assert_allclose(sum(parts.values()), similarity.to_item(0)[1:], atol=1e-6)
    assert (similarity.to_item(0) <= 1).all()


def test_newer_by_content() -> None:
    similarity = drawn(0, 30)
    content = similarity.content[[7]]
    scores = similarity.to_newer(content)
    parts = similarity.content_contributions(content, np.arange(30))
    np.testing.assert_allclose(sum(parts.values()), scores, atol=1e-6)
    # As an item that the same users never chose: what is left of the similarity of item 7 are features and titles.
    unknown = replace(similarity, blend=replace(BLEND, together=0, taste=0)).to_item(7)
    np.testing.assert_allclose(np.delete(scores, 7), np.delete(unknown, 7), atol=1e-6)


def test_large_catalogue_stores_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_similarity_file, "STORED_UP_TO", 29)
    rows, scores = drawn(0, 30).stored()
    assert rows.shape == scores.shape == (0, N_SIMILAR)


def test_no_taste() -> None:
    similarity = replace(drawn(0, 30), vectors=np.empty((30, 0), np.float32))
    assert (similarity.contributions(0, np.arange(30))["taste"] == 0).all()
    assert (similarity.to_item(0) > 0).any()
