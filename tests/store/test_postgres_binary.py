"""What the server reads from the binary formats is what was given."""

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.store.postgres_binary import TextArray, copy_rows, register
from tests.support.databases import MigratedDatabases

Integers = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20)
Floats = st.lists(st.floats(), max_size=20)
Texts = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=2_000), max_size=9)
NO_NULLS = np.zeros(4, np.bool_)


@pytest.fixture(scope="module")
def connection(databases: MigratedDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    with (
        databases.fresh("postgres", tmp_path_factory.mktemp("binary")) as url,
        psycopg.connect(url.replace("+psycopg", "")) as opened,
    ):
        register(opened)
        yield opened


@given(integers=Integers, floats=Floats, texts=Texts)
@settings(max_examples=30, deadline=None)
def test_parameters(connection: psycopg.Connection, integers: list[int], floats: list[float], texts: list[str]) -> None:
    row = connection.execute(
        "SELECT %s::bigint[], %s::float8[], %s::text[]",
        (np.array(integers, np.int64), np.array(floats, np.float64), TextArray(texts)),
    ).fetchone()
    assert row is not None
    assert row[0] == integers
    np.testing.assert_array_equal(row[1], floats)
    assert row[2] == texts


def test_narrow_integers(connection: psycopg.Connection) -> None:
    row = connection.execute("SELECT %s::bigint[]", (np.array([-1, 7], np.int32),)).fetchone()
    assert row == ([-1, 7],)


def test_no_numbers(connection: psycopg.Connection) -> None:
    with pytest.raises(KeyError):
        connection.execute("SELECT %s::bigint[]", (np.array(["1"]),))


@pytest.mark.parametrize("n", [0, 1, 4])
def test_copy(connection: psycopg.Connection, n: int) -> None:
    """Rows with NULLs in none, one or both of the columns."""
    keys, values = np.arange(n), np.array([0.5, np.inf, -np.inf, 1e300])[:n]
    nulls = [np.array([0, 1, 0, 1], bool)[:n], np.array([0, 0, 1, 1], bool)[:n]]
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE copied (place bigint, key bigint, value float8) ON COMMIT DROP")
        with cursor.copy("COPY copied FROM STDIN (FORMAT BINARY)") as copied:
            copied.write(copy_rows((np.arange(n), keys, values), (NO_NULLS[:n], *nulls)))
        found = cursor.execute("SELECT key, value FROM copied ORDER BY place").fetchall()
    connection.rollback()
    assert found == [(0, 0.5), (None, np.inf), (2, None), (None, None)][:n]
