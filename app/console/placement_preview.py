"""Lists before and after a change of a placement, side by side, for a few users."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from starlette.concurrency import run_in_threadpool

from app.entities import clean_id
from app.errors import InvalidInputError
from app.serving.list_measures import ListMeasures, measure_lists
from app.serving.placement import Placement
from app.serving.placement_config import CompiledPlacement
from app.serving.query import ListOptions, Query
from app.serving.serving_state import ServingState
from app.wiring import Service

LENGTH = 10
SHARES = {"with few choices": 0.1, "with a typical number of choices": 0.5, "with many choices": 0.95}
"""Who is shown: the user at each of these shares of all, in the order of their number of choices."""


@dataclass(frozen=True, slots=True)
class PreviewItem:
    """`moved`: places up since the list before (down if negative); None for an item that it did not hold."""

    item_id: str
    title: str
    moved: int | None


@dataclass(frozen=True, slots=True)
class UserPreview:
    """`gone`: items of the list before that the list after lacks."""

    user_id: str
    who: str
    strategy: str
    before: tuple[PreviewItem, ...]
    after: tuple[PreviewItem, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """`problem`: what is wrong with the id of the chosen user. `notes`: what to look at in the new settings."""

    users: tuple[UserPreview, ...]
    before: ListMeasures
    after: ListMeasures
    notes: tuple[str, ...]
    chosen: str = ""
    problem: str | None = None
    length: int = LENGTH


async def preview_of(service: Service, name: str, before: Placement, after: Placement, chosen: str = "") -> Preview:
    """`chosen`: the id of a user who is shown besides the sample; empty for none."""
    state = await service.request_states.read("")
    users = await run_in_threadpool(_sample, service, state.serving)
    problem = None
    if chosen:
        try:
            users = [(clean_id(chosen), "of your choice"), *users]
        except InvalidInputError as error:
            problem = error.detail
    old, new = CompiledPlacement(before), CompiledPlacement(after)
    shown: list[UserPreview] = []
    notes: dict[str, None] = {}
    for user_id, who in users:
        of_user = await service.request_states.read(user_id)
        query = Query(user_id, ListOptions(limit=LENGTH, placement=name))
        was = await service.unseen_recommender.recommend(query, of_user.with_placement(name, old))
        changed = of_user.with_placement(name, new)
        now = await service.unseen_recommender.recommend(query, changed)
        notes |= dict.fromkeys(await service.unseen_recommender.placement_notes(query, changed))
        old_places = {each.item_id: place for place, each in enumerate(was.items)}
        new_ids = {each.item_id for each in now.items}
        shown.append(
            UserPreview(
                user_id,
                who,
                now.strategy,
                tuple(PreviewItem(each.item_id, each.title or each.item_id, 0) for each in was.items),
                tuple(
                    PreviewItem(
                        each.item_id,
                        each.title or each.item_id,
                        old_places[each.item_id] - place if each.item_id in old_places else None,
                    )
                    for place, each in enumerate(now.items)
                ),
                tuple(each.item_id for each in was.items if each.item_id not in new_ids),
            )
        )
    lists = [[each.before for each in shown], [each.after for each in shown]]
    of_old, of_new = [await run_in_threadpool(_measured, each, state.serving) for each in lists]
    return Preview(tuple(shown), of_old, of_new, tuple(notes), chosen, problem)


def _measured(lists: Sequence[Sequence[PreviewItem]], serving: ServingState) -> ListMeasures:
    rows = [[serving.catalogue.row_of_id(item.item_id) for item in each] for each in lists]
    return measure_lists([np.array([row for row in each if row is not None], np.int64) for each in rows], serving)


def _sample(service: Service, serving: ServingState) -> list[tuple[str, str]]:
    """(id, who it is) of up to three users."""
    arrays = serving.scorer.arrays
    if not len(arrays.user_keys):
        return [(user.user_id, "of the sample") for _, user in service.store.users.page(limit=len(SHARES))]
    n_choices = np.diff(arrays.history_starts) + np.diff(arrays.label_starts)
    places = [int(share * (len(n_choices) - 1)) for share in SHARES.values()]
    rows = np.argpartition(n_choices, places)[places]
    keys = arrays.user_keys[rows].tolist()
    ids = service.store.users.ids_of(keys)
    # Few users: one may stand at two of the shares.
    named = {ids[key]: who for key, who in zip(keys, SHARES, strict=True) if key in ids}
    return list(named.items())
