"""What new users add to trends above what is expected waits until a run has judged them."""

import time

import numpy as np
import pytest

from app.entities import User
from app.store import Store
from app.store.bursts import most_of_new
from app.store.trends import Judgement, judge
from tests.support.ratings import incoming
from tests.support.runs import claimed, judge_all

NOW = time.time_ns() // 1_000


def like(store: Store, users: range, *items: str) -> None:
    store.ratings.record(incoming(*[(f"u{user:04}", item, 5, NOW) for user in users for item in items]))


def heat(store: Store) -> dict[str, float]:
    """In signals of now."""
    keys, scores = store.trends.top_trending()
    names = store.items.ids_of(keys.tolist())
    _, (alone,) = store.trends.top_trending("of one signal")
    return {names[key]: float(np.exp2(each - alone)) for key, each in zip(keys.tolist(), scores.tolist(), strict=True)}


@pytest.fixture
def judged(store: Store) -> Store:
    """20 items with 10 signals each, of users whom a run has judged, and one of another country."""
    items = [f"i{item:02}" for item in range(20)]
    like(store, range(10), *items)
    store.users.record([User("one", country="of one signal")])
    store.ratings.record(incoming(("one", "one", 5, NOW)))
    judge_all(store)
    return store


def test_push(judged: Store) -> None:
    like(judged, range(100, 400), "pushed")
    assert heat(judged)["pushed"] == pytest.approx(4, rel=1e-3)
    assert next(iter(heat(judged))) != "pushed"
    judge_all(judged)
    assert heat(judged)["pushed"] == pytest.approx(300)


def test_unjudged(judged: Store) -> None:
    """Who chose too little to be judged stays new, until a later run can judge; who was judged stays known."""
    like(judged, range(100, 400), "pushed")
    judge_all(judged, but={f"u{user:04}" for user in range(100, 400)})
    assert heat(judged)["pushed"] == pytest.approx(4, rel=1e-3)
    like(judged, range(50, 60), "pushed")  # users who are newer than those
    judge_all(judged, but={f"u{user:04}" for user in range(100, 300)})
    assert heat(judged)["pushed"] == pytest.approx(110 + 4, rel=1e-3)
    judge_all(judged, but={f"u{user:04}" for user in range(400)})
    assert heat(judged)["pushed"] == pytest.approx(110 + 4, rel=1e-3)
    judge_all(judged)
    assert heat(judged)["pushed"] == pytest.approx(310)


def test_user_stored_meanwhile(judged: Store) -> None:
    """A user who is not in the data of the run, with a lower key than others, is new."""
    like(judged, range(100, 400), "pushed")
    data = judged.training_reads.load()
    seen = np.r_[data.user_keys[:-300], data.user_keys[-1:]]
    with judged.database.writing() as connection:
        judge(judged.database, connection, Judgement(seen, np.ones(len(seen), bool)))
    assert heat(judged)["pushed"] == pytest.approx(1 + 4, rel=1e-3)


def test_hit(judged: Store) -> None:
    """Known users choose it as well, and new users choose other items as well: nothing is held back."""
    like(judged, range(10), "hit")
    like(judged, range(100, 110), *(f"i{item:02}" for item in range(20)))
    like(judged, range(100, 115), "hit")
    assert heat(judged)["hit"] == pytest.approx(25)


def test_quarantined(judged: Store) -> None:
    like(judged, range(100, 103), "pushed")
    data = judged.training_reads.load()
    made, (pushed,) = data.user_keys[-3:], data.item_keys[-1:]
    judged.quarantine.replace(claimed(judged), made, np.full(3, pushed))
    assert "pushed" not in heat(judged)
    like(judged, range(100, 103), "i00")
    assert heat(judged)["i00"] == pytest.approx(10)
    judged.quarantine.release("u0100")
    assert heat(judged)["pushed"] == pytest.approx(1)
    assert heat(judged)["i00"] == pytest.approx(11)


def test_before_the_first_run(store: Store) -> None:
    store.users.record([User("one", country="of one signal")])
    store.ratings.record(incoming(("one", "one", 5, NOW)))
    like(store, range(50), "x")
    assert heat(store)["x"] == pytest.approx(50)


def test_first_places(judged: Store) -> None:
    """However many items are pushed above others, the others take their places."""
    like(judged, range(100, 112), *(f"p{item:03}" for item in range(8)))
    names = judged.items.ids_of(judged.trends.top_trending(n=20)[0].tolist())
    assert set(names.values()) == {f"i{item:02}" for item in range(20)}


def test_limit_by_hand() -> None:
    """A fifth of the signals of most items are of new users: of 80 known signals, 20 are expected, and 42 count."""
    total = np.log2([100.0] * 9 + [80.0 + 60])
    new = np.log2([20.0] * 9 + [60.0])
    assert np.exp2(most_of_new(total, new, 0.0)) == pytest.approx([(20**0.5 + 2) ** 2] * 10)
    assert np.isinf(most_of_new(new, new, 0.0)).all()
    assert len(most_of_new(total[:0], new[:0], 0.0)) == 0
