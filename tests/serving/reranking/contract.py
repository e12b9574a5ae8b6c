"""What holds for every rule of order: it loses nothing, repeats nothing, and never shortens a list."""

import asyncio
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from app.serving.context import Context
from app.serving.query import ANYTHING, Ranked
from app.serving.reranking import OrderRule
from app.wiring import Service
from tests.support.requests import context_of, ids, place, recommended

NOW = 2_000_000_000_000_000
USERS = ("user-0", "user-1", "newcomer", "user-5")


def ranked_by_score(context: Context, service: Service) -> Ranked:
    """The candidates before any rule of order."""
    rules, service.recommender.order_rules = service.recommender.order_rules, []
    try:
        ranked, _ = service.recommender.ranked(context)
    finally:
        service.recommender.order_rules = rules
    return ranked


class OrderRuleContract:
    """Inherited by the test class of each rule, which says how a placement turns it on."""

    rule: ClassVar[OrderRule]
    settings: ClassVar[dict[str, Any]]

    def prepare(self, service: Service) -> None:
        """Whatever the rule needs to be there."""

    @pytest.fixture(autouse=True)
    def prepared(self, service: Service) -> None:
        self.prepare(service)

    def test_loses_and_repeats_nothing(self, service: Service) -> None:
        place(service, **self.settings)
        for user_id in USERS:
            context = context_of(service, user_id, limit=10)
            if not self.rule.is_on(context):
                continue
            before = ranked_by_score(context, service)
            after = self.rule.arrange(before, context)
            assert len(set(after.rows.tolist())) == len(after.rows)
            assert set(before.rows.tolist()) <= set(after.rows.tolist())
            assert after.scores.shape == after.standings.shape == after.proposed_by.shape == after.rows.shape
            assert np.isfinite(after.standings).all()

    def test_never_shortens(self, service: Service) -> None:
        whole = {user_id: len(recommended(service, user_id).items) for user_id in USERS}
        place(service, **self.settings)
        for user_id in USERS:
            for limit in (1, 3, 20, 100):
                answer = recommended(service, user_id, limit=limit)
                assert len(set(ids(answer))) == len(answer.items) >= min(limit, whole[user_id])

    def test_tags_follow_the_trends(self, service: Service) -> None:
        """The rule may bring what trends into the list."""
        place(service, **self.settings)
        for user_id in USERS:
            if self.rule.is_on(context_of(service, user_id)):
                request_state = asyncio.run(service.request_states.read(user_id))
                other = replace(request_state, serving=replace(request_state.serving, trends_digest=b"other"))
                assert request_state.entity_tag(b"", ANYTHING, NOW) != other.entity_tag(b"", ANYTHING, NOW)

    def test_off_by_default(self, service: Service) -> None:
        place(service)
        assert not self.rule.is_on(context_of(service))
