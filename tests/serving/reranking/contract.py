"""What holds for every rule of order: it loses nothing, repeats nothing, and never shortens a list."""

import asyncio
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from app.serving.parts import Context, OrderRule
from app.serving.query import NO_OPTIONS
from app.serving.recommend import ranked_list
from app.serving.reranking.weighing import with_standings
from app.wiring import Service
from tests.support.requests import context_of, ids, place, recommended

USERS = ("user-0", "user-1", "newcomer", "user-5")


class OrderRuleContract:
    """Inherited by the test class of each rule, which says how a placement turns it on."""

    rule: ClassVar[type[OrderRule]]
    settings: ClassVar[dict[str, Any]]

    def prepare(self, service: Service) -> None:
        """Store what the rule needs."""

    @pytest.fixture(autouse=True)
    def prepared(self, service: Service) -> None:
        self.prepare(service)

    def on_for(self, context: Context) -> list[OrderRule]:
        """The rule with its settings, where it is on."""
        return [each for each in context.rules if isinstance(each, self.rule)]

    def test_loses_and_repeats_nothing(self, service: Service) -> None:
        place(service, **self.settings)
        contexts = [context_of(service, user_id, limit=10) for user_id in USERS]
        arranged = [(context, rule) for context in contexts for rule in self.on_for(context)]
        assert arranged
        for context, rule in arranged:
            context.rules = []
            before = with_standings(ranked_list(context))
            after = rule.arrange(before, context)
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
        """The rule may bring what is trending into the list."""
        place(service, **self.settings)
        for user_id in USERS:
            if self.on_for(context_of(service, user_id)):
                request_state = asyncio.run(service.request_states.read(user_id))
                other = replace(request_state, serving=replace(request_state.serving, trends_digest=b"other"))
                assert request_state.entity_tag(b"", NO_OPTIONS) != other.entity_tag(b"", NO_OPTIONS)

    def test_off_by_default(self, service: Service) -> None:
        place(service)
        assert not self.on_for(context_of(service))
