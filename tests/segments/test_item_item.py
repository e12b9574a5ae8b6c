from app.segments.item_item import ItemItemSegment
from tests.segments.sparse_contract import SparseSegmentContract


class TestInClosedForm(SparseSegmentContract):
    segment = ItemItemSegment()
    algorithm = "ease"


class TestOnNeighbours(SparseSegmentContract):
    segment = ItemItemSegment()
    algorithm = "slim"
