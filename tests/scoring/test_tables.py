"""Scores with a table: their sum with the dense part, the history behind them, and what they propose."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME
from app.scoring import Observations, PublishedScorer, open_snapshot, write_snapshot
from app.scoring.features import Encodings
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.manifest import SegmentEntry
from tests.support.snapshot_data import (
    DATABASE_ID,
    GROUPS,
    manifest_of,
    observed_of,
    segments,
    small_table,
    snapshot_arrays,
    table_entry,
    write_small_snapshot,
)

N_ITEMS, WEIGHT = 40, 0.8
ALL, NONE = np.arange(N_ITEMS), np.empty(0, np.int64)
CHOSEN_FROM = 4.0


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> PublishedScorer:
    return open_snapshot(write_small_snapshot(tmp_path_factory.mktemp("small")), DATABASE_ID, 1)


@pytest.fixture(scope="module")
def led(tmp_path_factory: pytest.TempPathFactory) -> PublishedScorer:
    """Learned from events as ratings; the last user has a positive and a negative item beside ratings."""
    arrays = snapshot_arrays()
    rated = arrays.history(11)[0]
    free = np.setdiff1d(np.flatnonzero(arrays.item_counts), rated)[:2].astype(np.int32)
    starts = np.zeros(13, np.int64)
    starts[-1] = 2
    are_positive = np.array([True, False])
    arrays = replace(
        arrays, label_starts=starts, label_rows=free, label_times=np.array([9, 8]), are_positive=are_positive
    )
    entry = table_entry()
    entry = replace(entry, numbers=entry.numbers | {"least_liked": CHOSEN_FROM})
    manifest = manifest_of(arrays, segments=(*segments(), entry), is_led_by_events=True)
    folder = write_snapshot(tmp_path_factory.mktemp("led"), manifest, arrays, Encodings(), GROUPS)
    return open_snapshot(folder, DATABASE_ID, 1)


def scored_by(scorer: PublishedScorer, *history: tuple[int, float]) -> NDArray[np.float64]:
    """The definition: item j of a history adds its weight to the next item, and half of it to the one after that."""
    scores = np.zeros(N_ITEMS + 2)
    for row, counts in history:
        scores[row + 1 : row + 3] += counts, counts / 2
    scores = scores[:N_ITEMS]
    # Standardised over the chosen items, as if all others had score 0.
    n_chosen = np.count_nonzero(scorer.arrays.item_counts)
    spread = np.sqrt((scores**2).sum() / n_chosen - (scores.sum() / n_chosen) ** 2)
    weighted: NDArray[np.float64] = WEIGHT * np.append(scores, scores.sum() / n_chosen) / spread
    return weighted


def test_history_decays(scorer: PublishedScorer) -> None:
    times = np.array([9, 7, 7, UNKNOWN_TIME])
    observed = Observations(np.array([3, 10, 20, 30]), np.full(4, 1.0), rated_at=times)
    expected = scored_by(scorer, (3, 1.0), (10, 0.5), (20, 0.5), (30, 0.125))
    np.testing.assert_allclose(scorer.fold_in(observed).tables["item_item"], expected, atol=1e-5)


def test_guest_history_is_ordered(scorer: PublishedScorer) -> None:
    """Without times the rows are in the order of time, newest first."""
    observed = Observations(np.array([3, 10]), np.full(2, 5.0))
    expected = scored_by(scorer, (3, 1.0), (10, 0.5))
    np.testing.assert_allclose(scorer.fold_in(observed).tables["item_item"], expected, atol=1e-5)


def test_positive_items_count_by_time(scorer: PublishedScorer) -> None:
    observed = Observations(
        np.array([3, 10]),
        np.array([5.0, 1.0]),
        positive_rows=np.array([20]),
        negative_rows=np.array([30]),
        rated_at=np.array([9, 5]),
        positive_at=np.array([7]),
    )
    expected = scored_by(scorer, (3, 1.0), (20, 0.5), (10, 0.25))
    np.testing.assert_allclose(scorer.fold_in(observed).tables["item_item"], expected, atol=1e-5)


def test_scores_are_dense_and_table(scorer: PublishedScorer) -> None:
    side = scorer.user_side(3)
    scores = scorer.scores(side, ALL, scorer.item_vectors)
    np.testing.assert_allclose(scores, scorer.item_vectors @ side.vector + side.tables["item_item"][:-1], atol=1e-6)
    some = np.array([7, 2])
    np.testing.assert_array_equal(scorer.scores(side, some, scorer.item_vectors[some]), scores[some])


def test_newer_items_have_the_mean(scorer: PublishedScorer) -> None:
    side, rows = scorer.user_side(3), np.array([N_ITEMS + 1, 4, N_ITEMS])
    vectors = np.stack([scorer.arrays.unrated_item, scorer.item_vectors[4], scorer.arrays.unrated_item])
    scores, shares = scorer.scores(side, rows, vectors), scorer.shares(side, rows, vectors)
    mean = side.tables["item_item"][-1]
    np.testing.assert_allclose(scores[[0, 2]], vectors[[0, 2]] @ side.vector + mean, atol=1e-6)
    np.testing.assert_allclose(sum(shares.values()), scores, atol=1e-5)
    assert shares["item_item"][[0, 2]].tolist() == [mean, mean] != [0, 0]
    carried = scorer.influences(observed_of(scorer.arrays, 3), rows, vectors)
    alone = scorer.influences(observed_of(scorer.arrays, 3), rows[[1]], vectors[[1]])
    np.testing.assert_allclose(carried[[1]], alone)


@pytest.mark.parametrize("name", ["scorer", "led"])
def test_published_side_is_fold_in(name: str, request: pytest.FixtureRequest) -> None:
    scorer = request.getfixturevalue(name)
    for user in range(12):
        published, folded = scorer.user_side(user), scorer.fold_in(observed_of(scorer.arrays, user))
        np.testing.assert_allclose(folded.tables["item_item"], published.tables["item_item"], atol=1e-5)


def test_low_ratings_are_no_choices_where_events_lead(led: PublishedScorer) -> None:
    observed = observed_of(led.arrays, 11)
    assert len(observed.positive_rows) == len(observed.negative_rows) == 1
    liked = observed.item_rows[observed.values >= CHOSEN_FROM].tolist()
    # Events of the last user are older than all ratings.
    chosen = [*liked, int(observed.positive_rows[0])]
    expected = scored_by(led, *((row, 0.5**age) for age, row in enumerate(chosen)))
    np.testing.assert_allclose(led.user_side(11).tables["item_item"], expected, atol=1e-5)
    carried = led.influences(observed, ALL, led.item_vectors)
    assert carried.shape == (N_ITEMS, len(observed.item_rows) + 1)


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(0, 10_000))
def test_entries_carry_the_score(scorer: PublishedScorer, n: int, seed: int) -> None:
    """With ties, unknown times, and positive items among rated ones: what tables carry is their share."""
    rng = np.random.default_rng(seed)
    rows, n_rated = rng.permutation(N_ITEMS)[:n], int(rng.integers(0, n + 1))
    times = np.sort(rng.choice([UNKNOWN_TIME, 1, 2, 3], n_rated))[::-1]
    positive_at = np.sort(rng.integers(1, 4, n - n_rated))[::-1]
    observed = Observations(
        rows[:n_rated], np.full(n_rated, 4.0), rows[n_rated:], rated_at=times, positive_at=positive_at
    )
    without_table = replace(scorer, tables={})
    of_table = scorer.influences(observed, ALL, scorer.item_vectors) - without_table.influences(
        observed, ALL, scorer.item_vectors
    )
    share = scorer.shares(scorer.fold_in(observed), ALL, scorer.item_vectors)["item_item"]
    np.testing.assert_allclose(of_table.sum(axis=1), share, atol=1e-5)


def test_proposes_the_strongest_allowed(scorer: PublishedScorer) -> None:
    side = scorer.fold_in(Observations(np.array([3, 10]), np.full(2, 5.0)))
    allowed = np.ones(N_ITEMS, np.bool_)
    assert sorted(side.proposals("item_item", 9, allowed)) == [4, 5, 11, 12]
    assert side.proposals("item_item", 1, allowed).tolist() == [4]
    allowed[4] = False
    assert sorted(side.proposals("item_item", 2, allowed)) == [5, 11]
    assert side.proposals("item_item", 0, allowed).tolist() == []


def test_nothing_chosen_has_no_table(scorer: PublishedScorer) -> None:
    nothing = Observations(NONE, np.empty(0))
    for side in (scorer.unknown_side, scorer.fold_in(nothing)):
        assert side.tables == {}
        assert list(scorer.shares(side, ALL, scorer.item_vectors)) == ["rating", "taste", "popularity"]
    declined = scorer.fold_in(nothing._replace(negative_rows=np.array([3])))
    np.testing.assert_array_equal(declined.vector, scorer.unknown_side.vector)
    last = scorer.fold_in(Observations(np.array([N_ITEMS - 1]), np.array([5.0])))  # its row of the table is empty
    np.testing.assert_array_equal(last.tables["item_item"], np.zeros(N_ITEMS + 1))


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (replace(table_entry(), name="taste"), "there is no segment taste with a table"),
        (SegmentEntry("item_item", "ease", (7, 8), 1.0), "there is no segment item_item with columns"),
        (replace(table_entry(), numbers={"decay": 0.5}), "the segment item_item lacks 'least_liked'"),
    ],
)
def test_entry_of_another_kind(scorer: PublishedScorer, entry: SegmentEntry, problem: str) -> None:
    manifest = replace(scorer.manifest, segments=(*segments(), entry))
    with pytest.raises(SnapshotDamagedError, match=problem):
        PublishedScorer.from_parts(manifest, scorer.arrays, scorer.index, scorer.encodings)


@pytest.mark.parametrize(
    ("forged", "problem"),
    [({"columns": ALL[:1].repeat(77) + N_ITEMS}, "rows that do not exist"), ({"starts": ALL}, "rows of a table")],
)
def test_table_of_another_catalogue(tmp_path: Path, forged: dict[str, NDArray[np.int64]], problem: str) -> None:
    arrays = snapshot_arrays()
    table = small_table(N_ITEMS)
    changed = {f"item_item.{name}": array.astype(table[f"item_item.{name}"].dtype) for name, array in forged.items()}
    arrays = replace(arrays, extra=dict(arrays.extra) | changed)
    folder = write_snapshot(tmp_path, manifest_of(arrays), arrays, Encodings(), GROUPS)
    with pytest.raises(SnapshotDamagedError, match=problem):
        open_snapshot(folder, DATABASE_ID, 1)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (replace(table_entry(), numbers=table_entry().numbers | {"decay": 2.0}), "does not decay by 2"),
        (table_entry(weight=1e300), "scores that are not finite"),
    ],
)
def test_table_of_forged_numbers(tmp_path: Path, entry: SegmentEntry, problem: str) -> None:
    arrays = snapshot_arrays()
    *others, popularity = segments()
    manifest = manifest_of(arrays, segments=(*others, entry, popularity))
    folder = write_snapshot(tmp_path, manifest, arrays, Encodings(), GROUPS)
    with pytest.raises(SnapshotDamagedError, match=problem):
        open_snapshot(folder, DATABASE_ID, 1)
