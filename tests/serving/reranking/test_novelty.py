"""What few know rises."""

import numpy as np

from app.serving.reranking.novelty import Novelty
from app.wiring import Service
from tests.serving.reranking.contract import OrderRuleContract
from tests.support.requests import ids, place, recommended


class TestNovelty(OrderRuleContract):
    rule = Novelty
    settings = {"novelty": 0.7}


def mean_count(service: Service) -> float:
    snapshot, catalogue = service.serving.current.scorer, service.serving.current.catalogue
    assert snapshot is not None
    rows = catalogue.rows_of_ids(ids(recommended(service, limit=10)))
    return float(np.mean(snapshot.arrays.item_counts[rows]))


def test_less_popular(service: Service) -> None:
    plain = mean_count(service)
    place(service, novelty=1.0)
    assert mean_count(service) < plain
