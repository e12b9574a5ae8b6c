"""Signed tokens: they come back as they went out, and nothing else does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.serving.tokens import ForgedTokenError, RecommendationToken, TokenSigner

tokens = TokenSigner(b"k" * 32)
keys = st.lists(st.integers(1, 2**62), unique=True, max_size=50)


@given(keys=keys, user_id=st.text(min_size=1, max_size=20))
def test_cursor_round_trip(keys: list[int], user_id: str) -> None:
    cursor = tokens.cursor(user_id, np.array(keys, dtype=np.int64))
    assert tokens.read_cursor(user_id, cursor).tolist() == sorted(keys)


@given(
    user_id=st.none() | st.text(),
    version=st.one_of(st.none(), st.integers(1, 2**62)),
    at=st.integers(-(2**62), 2**62),
)
def test_recommendation_id_round_trip(user_id: str | None, version: int | None, at: int) -> None:
    token = RecommendationToken(tokens.owner(user_id), version, at, "home")
    assert tokens.read_recommendation_id(tokens.recommendation_id(token)) == token


def test_owner() -> None:
    """Differs between users, and between services, so that the id of a user cannot be guessed from it."""
    others = tokens.owner("bob"), tokens.owner(None), TokenSigner(b"x" * 32).owner("ann")
    assert tokens.owner("ann") not in others


@given(place=st.integers(0, 1_000), flip=st.integers(1, 255))
def test_any_change_is_noticed(place: int, flip: int) -> None:
    cursor = tokens.cursor("ann", np.arange(1, 20))
    characters = bytearray(cursor.encode())
    characters[place % len(characters)] ^= flip
    try:
        read = tokens.read_cursor("ann", characters.decode("latin-1"))
    except ForgedTokenError:
        return
    assert read.tolist() == list(range(1, 20))  # the spare bits of the last character carry nothing


def test_foreign_tokens() -> None:
    cursor = tokens.cursor("ann", np.arange(1, 20))
    for read in (
        lambda: tokens.read_cursor("bob", cursor),
        lambda: TokenSigner(b"x" * 32).read_cursor("ann", cursor),
        lambda: tokens.read_position("ann", cursor),
        lambda: tokens.read_recommendation_id(cursor),
    ):
        with pytest.raises(ForgedTokenError):
            read()


def test_full_cursor_fits_a_url() -> None:
    spread = np.sort(np.random.default_rng(0).choice(10_000_000, 1_000, replace=False)) + 1
    assert len(tokens.cursor("x" * 128, spread)) < 6_000
