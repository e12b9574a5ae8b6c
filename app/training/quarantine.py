"""The step of a run that leaves out profiles which were made to push an item, see `app.algorithms.pushed_items`.

Their users stay: they have lists of their own, folded in for each request from what they rated. But nothing is learned
from them, and they count in no popularity. Each run judges all profiles anew. What it finds is stored (`reckon
quarantine list`), and a user whom an operator released is never left out again.

A run *judges* the users whose profiles are large enough for it and do not look made. All others stay new: caps and the
gate go on to watch them (`bursts.py`, `shift_check.py`).

Where more than `MOST_QUARANTINED` of the users whom earlier runs judged look made now, the data are of another kind
than assumed, and what is found says little. Then those who were in quarantine stay there, no others come in, and no
user is judged. New users do not count for this: attacks come by new users, in any number. Before the first run has
judged, all users count.
"""

from dataclasses import replace

import numpy as np
import structlog

from app.algorithms.progress import Stage
from app.algorithms.pushed_items import can_be_judged, find_pushes
from app.store.jobs import Claim
from app.store.store import Store
from app.training.dataset import Dataset

MOST_QUARANTINED = 0.06
"""The share of judged users up to which those who look made are left out."""

RELEASE = "`reckon quarantine list` names them; `reckon quarantine release USER` lets training learn from one again."


log = structlog.get_logger()


def quarantine(dataset: Dataset, store: Store, claim: Claim, rng: np.random.Generator, stage: Stage) -> Dataset:
    """`dataset` without what quarantined users rated and did; who they are is stored.

    Raises `LeaseLostError` once another worker has taken over the job.
    """
    data, ratings = dataset.data, dataset.ratings
    # (n_users,) the key of the item that each user pushes; 0 for none.
    held, found = np.zeros(ratings.n_users, np.int64), np.zeros(ratings.n_users, np.int64)
    held_users, held_items = store.quarantine.held()
    is_stored = np.isin(held_users, data.user_keys)
    held[np.searchsorted(data.user_keys, held_users[is_stored])] = held_items[is_stored]
    if dataset.is_larger_than_memory:
        what = f"quarantine: no new users are looked for above RECKON_TRAINING_MEMORY; {is_stored.sum():,} stay there"
        stage.decide(what)
        return dataset.without(held > 0, what) if held.any() else dataset.noting(what)
    for push in find_pushes(ratings, rng):
        found[push.user_rows] = data.item_keys[push.item_row]
    found[np.isin(data.user_keys, store.quarantine.released())] = 0
    dataset = replace(dataset, is_judged=can_be_judged(ratings) & (found == 0))
    has_chosen = ratings.user_choice_counts > 0
    judged = has_chosen & (held == 0) & (~data.is_new | data.is_new.all())
    n_found, n_judged = np.count_nonzero(found[judged]), np.count_nonzero(judged)
    if n_found > MOST_QUARANTINED * n_judged:
        why = f"quarantine: no more users, although {n_found:,} of {n_judged:,} users look made up"
        stage.decide(why)
        found, dataset = held, replace(dataset, of_quarantine=(why,), is_judged=None)
    is_quarantined = found > 0
    n_quarantined, n_items = int(np.count_nonzero(is_quarantined)), len(np.unique(found[is_quarantined]))
    stage.note(n_quarantined=n_quarantined, n_pushed_items=n_items)
    store.quarantine.replace(claim, data.user_keys[is_quarantined], found[is_quarantined])
    if not n_quarantined:
        return dataset
    of_items = f"{n_items:,} {'item' if n_items == 1 else 'items'}"
    of_users = f"{n_quarantined:,} of {np.count_nonzero(has_chosen):,} users were made to push {of_items}"
    why = f"quarantine: {of_users}, and are not learned from"
    stage.decide(why)
    # A decision is logged as information, which an operator may not read.
    log.warning("profiles are in quarantine", n_users=n_quarantined, n_pushed_items=n_items, advice=RELEASE)
    return dataset.without(is_quarantined, why)
