from app.segments.taste import TasteSegment
from tests.segments.contract import SegmentContract


class TestTasteSegment(SegmentContract):
    segment = TasteSegment()
    algorithm = "als_implicit"
    hyperparameters = {"n_factors": 4}
    carried = slice(None)
