"""Texts of items, from the store to the vectors of new items."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.entities import Item
from app.training.recipe import rating_recipe
from tests.support.published import Shop, opened_shop
from tests.support.ratings import incoming

N_ITEMS, N_USERS = 24, 30
PLAIN = rating_recipe("biases")


def film(item_id: str, words: str) -> Item:
    return Item(item_id, title=f"The {item_id}", description=f"A {words} film")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Films that differ only in a word of their description; every second one is rated 5, the others 3; one user rates
    low.
    """
    rows = [
        (f"user-{user}", f"film-{item}", (5 if item % 2 else 3) if user else 1, (7 * item + 5 * user) % N_ITEMS)
        for user in range(N_USERS)
        for item in range(N_ITEMS)
        if (user + item // 2) % 3
    ]
    items = [film(f"film-{item}", "superb" if item % 2 else "dull") for item in range(N_ITEMS)]
    items += [film("unrated", "superb"), Item("bare")]
    with opened_shop(tmp_path, incoming(*rows), items=items) as opened:
        yield opened


def test_new_items_by_their_text(shop: Shop) -> None:
    plain, read = (shop.train(recipe.document) for recipe in (PLAIN, replace(PLAIN, item_text="tfidf")))
    assert read.manifest.recipe["item_text"] == "tfidf"
    assert any(choice.startswith("item text: ") for choice in read.manifest.choices)
    later = shop.store.items.of_keys(shop.store.training_reads.load().item_keys[-2:].tolist())
    superb, bare = read.vectors_of([*later.values()])
    np.testing.assert_allclose(superb, read.item_vectors[-2], rtol=1e-5)
    np.testing.assert_array_equal(bare, read.arrays.unrated_item)
    # The item part of `biases` is the bias of the item.
    dull = read.vectors_of([film("new", "dull")])[0]
    rating = read.manifest.segment("rating")
    assert rating is not None
    assert (superb - bare)[rating.slice][0] > 0.5 > -0.5 > (dull - bare)[rating.slice][0]
    # What has ratings is learned from them alone.
    np.testing.assert_array_equal(read.item_vectors[:N_ITEMS], plain.item_vectors[:N_ITEMS])
    np.testing.assert_array_equal(read.user_vectors, plain.user_vectors)
    np.testing.assert_array_equal(plain.vectors_of([film("new", "dull")])[0], plain.arrays.unrated_item)
