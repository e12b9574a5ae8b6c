"""Blocks are stored in their order, several at a time, by a thread that does not keep errors to itself."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from app.entities import IncomingRatings
from app.intake.blocks import Block
from app.intake.rating_writer import RatingWriter
from app.intake.ratings import ReadRatings
from app.store import REPLACED, STORED, UNCHANGED, Store
from app.store.dialect import UnexpectedDatabaseError
from tests.support.ratings import incoming


def part(name: str, ratings: IncomingRatings) -> tuple[Block, ReadRatings]:
    return Block(name, {}, range(len(ratings))), ReadRatings(ratings, [], range(len(ratings)))


@pytest.mark.parametrize("rows_at_once", [1, 3, 100])
def test_each_block_once(store: Store, monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    monkeypatch.setattr(store.database.dialect, "rows_at_once", rows_at_once)
    seen: list[tuple[str, list[int]]] = []
    with RatingWriter(store, lambda block, _read, status: seen.append((block.file, status.tolist()))) as writer:
        writer.add(*part("a", incoming(("ann", "x", 3, 10), ("ann", "y", 3, 10))))
        writer.add(*part("b", incoming(("ann", "x", 4, 11), ("bob", "y", 3, 10))))
        writer.add(*part("c", incoming(("ann", "x", 1, 9))))
    assert seen == [("a", [STORED, STORED]), ("b", [REPLACED, STORED]), ("c", [UNCHANGED])]
    assert store.ratings.count() == 3


@pytest.mark.parametrize("rows_at_once", [1, 100])
def test_error_of_the_store(store: Store, monkeypatch: pytest.MonkeyPatch, rows_at_once: int) -> None:
    monkeypatch.setattr(store.database.dialect, "rows_at_once", rows_at_once)
    with pytest.raises(UnexpectedDatabaseError):
        write(store, [incoming(("ann", "x", np.inf, 10)), incoming(("ann", "y", 3, 10))])
    assert store.ratings.count() == 0


def test_error_of_the_reader(store: Store) -> None:
    """What was read before it is stored."""

    def damaged() -> Iterator[IncomingRatings]:
        yield incoming(("ann", "x", 3, 10))
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        write(store, damaged())
    assert store.ratings.count() == 1


def write(store: Store, blocks: Iterable[IncomingRatings]) -> None:
    with RatingWriter(store, lambda *_: None) as writer:
        for ratings in blocks:
            writer.add(*part("file", ratings))
