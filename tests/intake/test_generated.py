from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from app.entities import to_microseconds
from app.intake.generated import FIRST_DAY, LAST_DAY, SCALE, GeneratedCatalogue, generate_catalogue, write_catalogue
from app.intake.importing import import_path
from app.intake.report import Counts
from app.serving.placement_config import settings_to_store
from app.store import Store


@pytest.fixture(scope="module")
def catalogue() -> GeneratedCatalogue:
    return generate_catalogue()


def test_sizes(catalogue: GeneratedCatalogue) -> None:
    assert (len(catalogue.items), len(catalogue.users), len(catalogue.ratings)) == (1_000, 2_000, 150_000)
    assert len({item.title for item in catalogue.items}) == 1_000
    assert len({user.country for user in catalogue.users}) == 8
    assert len({user.attributes["age_group"] for user in catalogue.users}) == 5
    pairs = set(zip(catalogue.ratings.user_id, catalogue.ratings.item_id, strict=True))
    assert len(pairs) == 150_000
    assert min(Counter(catalogue.ratings.user_id).values()) >= 15


def test_same_seed_same_catalogue(catalogue: GeneratedCatalogue) -> None:
    again = generate_catalogue()
    assert (again.items, again.users) == (catalogue.items, catalogue.users)
    np.testing.assert_array_equal(again.ratings.value, catalogue.ratings.value)
    np.testing.assert_array_equal(again.ratings.rated_at, catalogue.ratings.rated_at)
    assert generate_catalogue(seed=1).ratings.item_id != catalogue.ratings.item_id


def test_times(catalogue: GeneratedCatalogue) -> None:
    added_at = {item.item_id: item.added_at for item in catalogue.items}
    times = catalogue.ratings.rated_at
    assert times.min() >= to_microseconds(FIRST_DAY)
    assert times.max() <= to_microseconds(LAST_DAY)
    earliest = np.array([to_microseconds(added_at[item_id] or LAST_DAY) for item_id in catalogue.ratings.item_id])
    assert (times >= earliest - 1_000_000).all()


def test_structure_to_find(catalogue: GeneratedCatalogue) -> None:
    assert SCALE.contains(catalogue.ratings.value).all()
    user_rows = np.unique(catalogue.ratings.user_id, return_inverse=True)[1]
    item_rows = np.unique(catalogue.ratings.item_id, return_inverse=True)[1]
    matrix = np.zeros((2_000, 1_000))
    centred = catalogue.ratings.value - catalogue.ratings.value.mean()
    centred -= (np.bincount(item_rows, centred) / np.bincount(item_rows))[item_rows]
    centred -= (np.bincount(user_rows, centred) / np.bincount(user_rows))[user_rows]
    matrix[user_rows, item_rows] = centred
    strengths = np.linalg.svd(matrix, compute_uv=False)
    assert strengths[7] > 1.1 * strengths[8]  # eight directions stand out of the noise


def test_written_files_import(store: Store, tmp_path: Path) -> None:
    folder = write_catalogue(tmp_path / "generated")
    report = import_path(folder, store, rejected_dir=tmp_path, check_settings=settings_to_store)
    assert report.ratings == Counts(readable=150_000, stored=150_000)
    assert report.items == Counts(readable=1_000, stored=1_000)
    assert report.users == Counts(readable=2_000, stored=2_000)
    assert report.scale == SCALE
