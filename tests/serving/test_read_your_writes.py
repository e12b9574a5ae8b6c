"""What one process acknowledged before a request began, another one knows, whatever happened in between.

Each test makes one order of steps by which a process could answer from something older. The fault `read_your_writes`
looks for others at random.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.serving.response_cache import CachedResponse
from app.store import Store
from app.store.read_replica import State
from app.store.serving_reads import RatingHistory, ServingReads
from app.wiring import Service
from tests.support.ratings import incoming
from tests.support.requests import ids, query_of, recommended
from tests.support.trained import RATED_LIGHTLY, train

LATE = 10**16
USER = "user-0"


@pytest.fixture
def other(trained_url: str, tmp_path: Path) -> Iterator[Store]:
    """Of another process."""
    with closing(Store.open(trained_url, tmp_path)) as store:
        yield store


def rated_by(store: Store, item_id: str, user_id: str = USER) -> str:
    store.ratings.record(incoming((user_id, item_id, 5, LATE)))
    return item_id


def test_written_while_an_answer_is_made(service: Service, other: Store) -> None:
    """The answer to the request that began before is not given to the one that begins after."""

    async def answers() -> None:
        query = query_of(USER)
        before = await service.request_states.read(USER)
        item_id = rated_by(other, ids(await service.recommender.recommend(query, before))[0])
        tag_before = before.entity_tag(b"list", query.options)
        service.cache.put(b"list", tag_before, CachedResponse(b"old"))
        after = await service.request_states.read(USER)
        tag_after = after.entity_tag(b"list", query.options)
        assert tag_after != tag_before
        assert service.cache.get(b"list", tag_after) is None
        assert item_id not in ids(await service.recommender.recommend(query, after))

    asyncio.run(answers())


class SlowReads(ServingReads):
    """The first history that is read, `has_read`, arrives when `may_go_on` is set."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.database)
        self.has_read = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def history(self, user_key: int, state: State | None = None) -> RatingHistory:
        history = await super().history(user_key, state)
        if not self.has_read.is_set():
            self.has_read.set()
            await self.may_go_on.wait()
        return history


def test_older_history_arrives_last(service: Service, other: Store) -> None:
    """It was read before the write, and is remembered after what was read later."""
    first, second = ids(recommended(service))[:2]
    rated_by(other, first)  # the user is folded in from here on

    async def answers() -> list[str]:
        reads = service.user_states._reads = SlowReads(service.store)
        query = query_of(USER)
        before = await service.request_states.read(USER)
        slow = asyncio.create_task(service.recommender.recommend(query, before))
        await reads.has_read.wait()
        rated_by(other, second)
        newer = await service.recommender.recommend(query, await service.request_states.read(USER))
        assert not {first, second} & set(ids(newer))
        reads.may_go_on.set()
        assert second in ids(await slow)  # it began before
        return ids(await service.recommender.recommend(query, await service.request_states.read(USER)))

    assert not {first, second} & set(asyncio.run(answers()))


def test_swap_after_the_write(service: Service, other: Store, tmp_path: Path) -> None:
    """The snapshot that goes live was learned before the rating."""
    item_id = ids(recommended(service))[0]
    version = train(other, tmp_path, 1, RATED_LIGHTLY)
    rated_by(other, item_id)
    service.serving.poll()
    answer = recommended(service)
    assert (answer.snapshot_version, answer.strategy) == (version, "fold_in")
    assert item_id not in ids(answer)


def test_swap_between_versions_and_answer(service: Service, other: Store, tmp_path: Path) -> None:
    """A request that has read the versions goes on with the snapshot of that time, and knows the rating by either."""
    item_id = rated_by(other, ids(recommended(service))[0])

    async def answer() -> None:
        state = await service.request_states.read(USER)
        version = train(other, tmp_path, 1, RATED_LIGHTLY)
        service.serving.poll()
        old = await service.recommender.recommend(query_of(USER), state)
        new = await service.recommender.recommend(query_of(USER), await service.request_states.read(USER))
        assert (old.strategy, new.strategy, new.snapshot_version) == ("fold_in", "personalized", version)
        assert item_id not in {*ids(old), *ids(new)}

    asyncio.run(answer())


def test_merged_by_another_process(service: Service, other: Store) -> None:
    """Both histories are remembered, and the guest's moves."""
    rated, own = ids(recommended(service))[:2]
    rated_by(other, own)
    rated_by(other, rated, "guest")
    assert rated in ids(recommended(service))
    assert rated not in ids(recommended(service, "guest"))
    other.users.merge(USER, "guest")
    assert not {rated, own} & set(ids(recommended(service)))
    assert recommended(service, "guest").strategy == "popular"


def test_user_made_anew(service: Service, other: Store) -> None:
    """Under the same id, with the version of the one that was deleted."""
    first, second = ids(recommended(service, "new"))[:2]
    rated_by(other, first, "new")
    assert first not in ids(recommended(service, "new"))
    other.users.delete("new")
    rated_by(other, second, "new")
    shown = ids(recommended(service, "new"))
    assert first in shown
    assert second not in shown


def test_item_of_another_process(service: Service, other: Store) -> None:
    """Rated, and so made, after this process read the catalogue; then its rating goes."""
    rated_by(other, "brand-new")
    assert "brand-new" not in ids(recommended(service))
    other.ratings.remove(USER, "brand-new", at=LATE + 1)
    assert "brand-new" in ids(recommended(service))


@pytest.mark.parametrize("trained_url", ["sqlite"], indirect=True)
def test_no_read_stays_open(service: Service, tmp_path: Path) -> None:
    """A transaction that a read left open would show the same state for ever, and keep the log from being emptied."""
    for user_id in (USER, "unknown"):
        recommended(service, user_id)
    with closing(sqlite3.connect(tmp_path / "reckon.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA busy_timeout = 0")
        is_busy, n_in_log, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (is_busy, n_in_log) == (0, 0)
