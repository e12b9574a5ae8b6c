from app.segments.engagement import EngagementSegment
from tests.segments.contract import SegmentContract, described_ratings, observed_of


class TestEngagementSegment(SegmentContract):
    segment = EngagementSegment()
    algorithm = "logistic"
    hyperparameters = {"n_factors": 4}
    carried = slice(0, -1)

    def test_reads_all_that_was_met(self) -> None:
        learned = self.segment.open({"intercept": 0.0, "regularization": 0.1, "liked_from": 4.0}, {})
        observed = observed_of(described_ratings(), 0)
        rows, values = learned.select(observed)
        assert len(rows) == len(observed.item_rows) + len(observed.positive_rows) + len(observed.negative_rows)
        assert set(values[len(observed.item_rows) :].tolist()) == {float("inf"), float("-inf")}
