import json
import math

import numpy as np
import pytest

from app.entities import Item
from app.scoring.content import ContentEncoding

ITEMS = [
    Item("1", title="Toy Story", categories=("Comedy", "Family"), attributes={"studio": "Pixar", "minutes": 81}),
    Item("2", title="Toy Story 2", categories=("comedy",), attributes={"studio": "Pixar"}),
    Item("3", title="Story of O", categories=("Drama",), created_by="ann"),
    Item("4"),
    Item("5", title="Heat", categories=("Drama",), attributes={"tags": ["Pixar"]}, created_by="ann"),
]


def test_rare_tokens_weigh_more() -> None:
    encoding = ContentEncoding.fit(ITEMS)
    # Four items have features and titles. Tokens of one item are left out, numbers and other attributes' values too.
    assert set(encoding.features.names) == {
        "categories=comedy",
        "categories=drama",
        "attributes.studio=pixar",
        "created_by=ann",
    }
    assert dict(zip(encoding.words.names, encoding.words.weights, strict=True)) == pytest.approx(
        {"toy": math.log(2), "story": math.log(4 / 3)}
    )
    content = encoding.encode(ITEMS).toarray()
    titles = content * encoding.column_weights(0, 1)
    assert titles[0] @ content[1] == pytest.approx(1)
    story = math.log(4 / 3) / math.hypot(math.log(2), math.log(4 / 3))
    assert titles[0] @ content[2] == pytest.approx(story)
    assert not content[3].any()


def test_blocks_are_weighed() -> None:
    encoding = ContentEncoding.fit(ITEMS)
    content = encoding.encode(ITEMS).toarray()
    both = (content[0] * encoding.column_weights(0.3, 0.2)) @ content[1]
    assert both == pytest.approx(0.3 + 0.2)  # equal features and equal words


def test_document_round_trip() -> None:
    encoding = ContentEncoding.fit(ITEMS)
    read = ContentEncoding.from_document(json.loads(json.dumps(encoding.document)))
    newer = [Item("9", title="TOY", categories=("Comedy", "unseen"))]
    np.testing.assert_array_equal(read.encode(newer).toarray(), encoding.encode(newer).toarray())
    assert read.encode([Item("10", title="unseen")]).nnz == 0


@pytest.mark.parametrize("weights", [[1.0], [0.0, 1.0], [float("inf"), 1.0], ["x", 1.0]])
def test_damaged_documents(weights: list[object]) -> None:
    document = ContentEncoding.fit(ITEMS).document
    document["words"]["weights"] = weights
    with pytest.raises(ValueError):  # noqa: PT011  any message will do
        ContentEncoding.from_document(document)


def test_nothing_known() -> None:
    encoding = ContentEncoding.fit([Item("1"), Item("2")])
    assert encoding.n_columns == 0
    assert encoding.encode([Item("1")]).shape == (1, 0)
