"""The step of a run that leaves out profiles which were made to push an item, see `app.algorithms.pushed_items`.

Their users stay: they have lists of their own, folded in for each request from what they rated. But nothing is learned
from them, and they count in no popularity. Each run judges all profiles anew. What it finds is stored (`reckon
quarantine list`), and a user whom an operator released is never left out again.
"""

from dataclasses import replace

import numpy as np
import structlog
from numpy.typing import NDArray

from app.algorithms.progress import Stage
from app.algorithms.pushed_items import Push, find_pushes
from app.store.store import Store
from app.training.dataset import Dataset

MOST_QUARANTINED = 0.06
"""The share of users up to which they are left out. Where more look made, the data are of another kind than assumed."""

RELEASE = "`reckon quarantine list` names them; `reckon quarantine release USER` lets training learn from one again."


log = structlog.get_logger()


def quarantine(dataset: Dataset, store: Store, rng: np.random.Generator, stage: Stage) -> Dataset:
    """`dataset` without what quarantined users rated and did; who they are is stored."""
    data, ratings = dataset.data, dataset.ratings
    released = np.isin(data.user_keys, store.quarantine.released())
    pushes = [_without(push, released) for push in find_pushes(ratings, rng)]
    pushes = [push for push in pushes if len(push.user_rows)]
    n_found, n_users = sum(len(push.user_rows) for push in pushes), int(np.count_nonzero(ratings.user_choice_counts))
    if n_found > MOST_QUARANTINED * n_users:
        why = stage.decide(f"quarantine: nothing, although {n_found:,} of {n_users:,} users look made up")
        pushes, dataset = [], replace(dataset, of_quarantine=(why,), judges_new=False)
    stage.note(n_quarantined=sum(len(push.user_rows) for push in pushes), n_pushed_items=len(pushes))
    user_rows = np.concatenate([np.empty(0, np.int64), *(push.user_rows for push in pushes)])
    item_rows = np.repeat([push.item_row for push in pushes], [len(push.user_rows) for push in pushes]).astype(np.int64)
    store.quarantine.replace(data.user_keys[user_rows], data.item_keys[item_rows])
    if not pushes:
        return dataset
    is_quarantined = np.zeros(ratings.n_users, bool)
    is_quarantined[user_rows] = True
    of_items = f"{len(pushes):,} {'item' if len(pushes) == 1 else 'items'}"
    found = (
        f"quarantine: {len(user_rows):,} of {n_users:,} users were made to push {of_items}, and are not learned from"
    )
    stage.decide(found)
    # A decision is logged as information, which an operator may not read.
    log.warning("profiles are in quarantine", n_users=len(user_rows), n_pushed_items=len(pushes), advice=RELEASE)
    return dataset.without(is_quarantined, found)


def _without(push: Push, released: NDArray[np.bool_]) -> Push:
    return replace(push, user_rows=push.user_rows[~released[push.user_rows]])
