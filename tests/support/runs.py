"""What training runs do in the store, without a run."""

from collections.abc import Collection

import numpy as np

from app.store import Store
from app.store.jobs import Claim
from app.store.trends import Judgement, judge


def claimed(store: Store, *, lease_seconds: float = 60.0) -> Claim:
    """A running job, requested and claimed."""
    store.jobs.enqueue("request")
    claim = store.jobs.claim("a-worker", lease_seconds=lease_seconds)
    assert claim is not None
    return claim


def judge_all(store: Store, *, but: Collection[str] = ()) -> None:
    """As the registration of a snapshot judges all users, except those of the ids `but`."""
    keys = store.training_reads.load().user_keys
    names = store.users.ids_of(keys.tolist())
    is_judged = np.array([names[key] not in but for key in keys.tolist()], bool)
    with store.database.writing() as connection:
        judge(store.database, connection, Judgement(keys, is_judged))
