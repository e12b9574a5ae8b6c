"""Entries of refusals are bounded."""

from app.auth.refusals import ENDED, MADE_UP, MOST_A_MINUTE, Refusals, acts_in

ACTS = acts_in(None)


def test_like_refusals() -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    assert [refusals.left_out_before(ACTS, "k", "keys.create") for _ in range(4)] == [0, None, None, None]
    assert refusals.left_out_before(ACTS, "k", "keys.revoke") == 3
    now = 60.0
    assert [refusals.left_out_before(ACTS, "k", "keys.create") for _ in range(2)] == [0, None]


def test_flood() -> None:
    now = 0.0
    refusals = Refusals(lambda: now)
    assert sum(refusals.left_out_before(MADE_UP, str(n)) is not None for n in range(1_000)) == MOST_A_MINUTE
    now = 60.0
    assert refusals.left_out_before(MADE_UP, "0") == 1_000 - MOST_A_MINUTE


def test_kinds_apart() -> None:
    """A flood of one kind hides nothing of the others, and counts in no other."""
    refusals = Refusals(lambda: 0.0)
    for n in range(100):
        refusals.left_out_before(MADE_UP, str(n))
        refusals.left_out_before(acts_in("shop"), str(n))
    assert [refusals.left_out_before(kind, "k") for kind in (ENDED, ACTS, acts_in("news"))] == [0, 0, 0]
