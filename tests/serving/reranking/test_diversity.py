"""Diversity by maximal marginal relevance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.serving.reranking.diversity import Diversity, chosen_places
from app.wiring import Service
from tests.serving.reranking.contract import OrderRuleContract
from tests.support.requests import context_of, ids, place, recommended


class TestDiversity(OrderRuleContract):
    rule = Diversity
    settings = {"diversity": 0.5}


def mean_likeness(service: Service) -> float:
    snapshot = service.serving.current.scorer
    assert snapshot is not None
    rows = service.serving.current.catalogue.rows_of_ids(ids(recommended(service, limit=10)))
    directions = snapshot.directions(snapshot.item_vectors[rows])
    return float((directions @ directions.T)[np.triu_indices(len(rows), 1)].mean())


def test_list_is_less_alike(service: Service) -> None:
    place(service, diversity=0.0)
    plain = mean_likeness(service)
    place(service, diversity=0.8)
    assert mean_likeness(service) < plain
    assert Diversity in map(type, context_of(service).rules)


@given(seed=st.integers(0, 10_000), diversity=st.floats(0, 1), n=st.integers(1, 12))
def test_as_defined(seed: int, diversity: float, n: int) -> None:
    """The slow readable definition chooses the same."""
    rng = np.random.default_rng(seed)
    relevance = rng.random(12)
    directions = rng.standard_normal((12, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    chosen: list[int] = []
    for _ in range(n):
        value = {
            place: (1 - diversity) * relevance[place]
            - diversity * max([0.0, *(float(directions[place] @ directions[other]) for other in chosen)])
            for place in range(12)
            if place not in chosen
        }
        chosen.append(max(value, key=lambda place: value[place]))
    assert chosen_places(relevance, directions, diversity, n).tolist() == chosen
