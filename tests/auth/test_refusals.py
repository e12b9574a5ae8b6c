"""Entries of refusals are bounded."""

from app.auth.refusals import MOST_A_MINUTE, Refusals


def test_like_refusals() -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    assert [refusals.left_out_before("k", "keys.create") for _ in range(4)] == [0, None, None, None]
    assert refusals.left_out_before("k", "keys.revoke") == 3
    now = 60.0
    assert [refusals.left_out_before("k", "keys.create") for _ in range(2)] == [0, None]


def test_flood() -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    assert sum(refusals.left_out_before(str(n)) is not None for n in range(1_000)) == MOST_A_MINUTE
    now = 60.0
    assert refusals.left_out_before("0") == 1_000 - MOST_A_MINUTE
