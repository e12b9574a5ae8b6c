import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.algorithms.encoding import (
    LARGEST,
    MAX_COLUMNS,
    MAX_VALUES,
    CategoricalEncoding,
    Encoding,
    FeatureTable,
    NumericEncoding,
)

NAN = float("nan")
FILMS = FeatureTable(
    n_rows=6,
    sets={"categories": [["Drama"], ["Drama", "Comedy, dark"], ["Comedy, dark", "🎬"], ["🎬"], [], ["only here"]]},
    numbers={"year": np.array([1950, 1960, 1970, NAN, 2000, 2000.0])},
    texts={"language": ["fr", "fr", "en", "en", None, ""]},
)


def test_films() -> None:
    encoding = Encoding.fit(FILMS)
    assert encoding.names[:5] == [
        "categories=Comedy, dark", "categories=Drama", "categories=🎬", "language=en", "language=fr",
    ]  # fmt: skip
    matrix = encoding.encode(FILMS)
    half = np.sqrt(0.5)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(
        matrix.toarray()[:, :5],
        [[0, 1, 0, 0, 1], [half, half, 0, 0, 1], [half, 0, half, 1, 0], [0, 0, 1, 1, 0], [0] * 5, [0] * 5],
        rtol=1e-6,
    )


def test_numbers_are_standardised() -> None:
    years = Encoding.fit(FILMS).encode(FILMS).toarray()[:, 5]
    known = years[[0, 1, 2, 4, 5]]
    assert known.mean() == pytest.approx(0, abs=1e-6)
    assert known.std() == pytest.approx(1)
    assert known[0] < known[1] < known[2] < known[3] == known[4]


def test_soft_bins() -> None:
    column = np.arange(1000.0)
    scale = NumericEncoding.fit("n", column)
    assert scale is not None
    bins = scale.encode(FeatureTable(1000, numbers={"n": column})).toarray()[:, 1:]
    np.testing.assert_allclose(bins.sum(axis=1), 1, atol=1e-5)
    assert (np.count_nonzero(bins, axis=1) <= 2).all()
    assert [float(name.removeprefix("n~")) for name in scale.names[1:]] == pytest.approx(np.linspace(0, 999, 8), abs=1)
    assert bins[0, 0] == bins[-1, -1] == pytest.approx(1, abs=1e-6)


def test_missing_number_has_no_entries() -> None:
    encoding = Encoding.fit(FILMS)
    assert np.diff(encoding.encode(FILMS).indptr)[3] == 2  # a category and a language, nothing of the year


def test_flags_have_no_bins() -> None:
    encoding = Encoding.fit(FeatureTable(4, numbers={"dubbed": np.array([0, 1, 1, 0.0])}))
    assert encoding.names == ["dubbed"]
    np.testing.assert_allclose(encoding.encode(FeatureTable(1, numbers={"dubbed": np.array([1.0])})).toarray(), [[1]])


@pytest.mark.parametrize(
    "table",
    [
        FeatureTable(0),
        FeatureTable(3),
        FeatureTable(3, numbers={"n": np.array([7, 7, NAN])}),
        FeatureTable(3, numbers={"n": np.array([np.inf, -np.inf, NAN])}),
        FeatureTable(3, sets={"s": [["a"], ["a"], ["a"]]}),
        FeatureTable(3, sets={"s": [[], [], []]}),
        FeatureTable(3, texts={"t": ["a", "b", "c"]}),
        FeatureTable(3, texts={"t": [None, "", None]}),
    ],
)
def test_nothing_to_tell(table: FeatureTable) -> None:
    encoding = Encoding.fit(table)
    assert encoding.names == []
    assert encoding.encode(table).shape == (table.n_rows, 0)


def test_huge_numbers() -> None:
    column = np.array([1.0, 2, 3, 4, 1e300, -1.7e308, np.inf, NAN])
    encoding = Encoding.fit(FeatureTable(8, numbers={"n": column}))
    ranks = encoding.encode(FeatureTable(8, numbers={"n": column})).toarray()[:, 0]
    assert np.isfinite(ranks).all()
    assert ranks[5] < ranks[0] < ranks[1] < ranks[2] < ranks[3] < ranks[4]
    assert ranks[3] - ranks[2] > 0.3  # one outlier does not squeeze the others together
    assert ranks[6] == ranks[7] == 0


def test_beyond_the_ends() -> None:
    encoding = Encoding.fit(FILMS)
    later = encoding.encode(FeatureTable(3, numbers={"year": np.array([2000, 2030, LARGEST])})).toarray()
    np.testing.assert_array_equal(later[1:], later[[0, 0]])


def test_rare_flag_is_bounded() -> None:
    flags = np.zeros(100_000)
    flags[7] = 1
    assert Encoding.fit(FeatureTable(len(flags), numbers={"n": flags})).encode(
        FeatureTable(1, numbers={"n": np.ones(1)})
    ).toarray().max() == pytest.approx(3)


def test_unknown_is_passed_over() -> None:
    encoding = Encoding.fit(FILMS)
    other = FeatureTable(
        2, {"categories": [["Western"], ["Drama", "Western"]]}, {"price": np.ones(2)}, {"language": ["xx", "en"]}
    )
    dense = encoding.encode(other).toarray()
    np.testing.assert_array_equal(np.flatnonzero(dense[0]), [])
    np.testing.assert_array_equal(np.flatnonzero(dense[1]), [1, 3])
    assert dense[1, 1] == 1


def test_hashed_above() -> None:
    values = [[f"tag {n % 1500}"] for n in range(3000)] + [["frequent"]] * 5
    encoding = Encoding.fit(FeatureTable(len(values), sets={"tags": values}))
    (block,) = encoding.blocks
    assert isinstance(block, CategoricalEncoding)
    assert len(block.values) + block.n_shared == MAX_VALUES == len(encoding.names)
    assert block.values[0] == "frequent"
    matrix = encoding.encode(FeatureTable(len(values), sets={"tags": values}))
    assert (np.diff(matrix.indptr) == 1).all()
    assert np.count_nonzero(matrix.sum(axis=0)) == MAX_VALUES


def test_hash_is_stable() -> None:
    block = CategoricalEncoding("tags", "text", ("a",), n_shared=100)
    assert block.encode(FeatureTable(3, texts={"tags": ["a", "b", "ä\ud800"]})).indices.tolist() == [0, 82, 7]


def test_width_is_bounded() -> None:
    values = [[str(n % 400)] for n in range(800)]
    encoding = Encoding.fit(FeatureTable(800, sets={f"set {n}": values for n in range(20)}))
    assert len(encoding.names) <= MAX_COLUMNS


def test_order_of_rows_changes_nothing() -> None:
    order = [3, 1, 5, 0, 4, 2]
    shuffled = FeatureTable(
        6,
        {"categories": [FILMS.sets["categories"][row] for row in order]},
        {"year": FILMS.numbers["year"][order]},
        {"language": [FILMS.texts["language"][row] for row in order]},
    )
    assert Encoding.fit(shuffled) == Encoding.fit(FILMS)


def test_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="'year' has 2 entries, the table 3 rows"):
        FeatureTable(3, numbers={"year": np.ones(2)})


texts = st.text("a,\u00e9\U0001f3ac\ud800", max_size=3)
numbers = st.floats() | st.sampled_from([0.0, 1.0, 1e300])


@st.composite
def tables(draw: st.DrawFn) -> FeatureTable:
    n_rows = draw(st.integers(0, 8))
    of_each_row = partial(st.lists, min_size=n_rows, max_size=n_rows)
    columns = {name: np.array(draw(of_each_row(numbers)), np.float64) for name in ("n", "m")}
    sets = draw(of_each_row(st.lists(texts, max_size=3)))
    return FeatureTable(n_rows, {"s": sets}, columns, {"t": draw(of_each_row(st.none() | texts))})


@given(tables(), tables())
def test_round_trip(table: FeatureTable, later: FeatureTable) -> None:
    encoding = Encoding.fit(table)
    again = Encoding.from_document(json.loads(json.dumps(encoding.document, allow_nan=False)))
    assert again == encoding
    for each in (table, later):
        matrix = encoding.encode(each)
        assert matrix.shape == (each.n_rows, len(encoding.names))
        assert matrix.dtype == np.float32
        assert np.isfinite(matrix.data).all()
        np.testing.assert_array_equal(matrix.toarray(), again.encode(each).toarray())
