"""What an error of the database says, and what it must not say."""

import asyncio
import traceback

import pytest
import sqlalchemy as sa

from app.store import Store
from app.store.dialect import UnexpectedDatabaseError
from app.store.serving_reads import VERSIONS

USER_ID = "a-user-of-ours"
BAD_JOB = sa.text(
    "INSERT INTO training_jobs (job_id, state, trigger, created_at) VALUES (:job_id, 'no state', 'request', 0)"
)


def text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("door", ["reading", "writing"])
def test_statement_stays_out_of_errors(store: Store, door: str) -> None:
    with pytest.raises(UnexpectedDatabaseError) as caught, getattr(store.database, door)() as connection:
        connection.execute(BAD_JOB, {"job_id": USER_ID})
    assert any(code in str(caught.value) for code in ("SQLITE_CONSTRAINT_CHECK", "23514"))
    assert USER_ID not in text_of(caught.value)
    assert "[SQL" not in text_of(caught.value)
    assert "test_statement_stays_out_of_errors" in text_of(caught.value)  # where it happened is still told


def test_parameter_stays_out_of_errors(store: Store) -> None:
    """Of the point reads, which go around SQLAlchemy; no driver knows how to send a dictionary."""
    dialect = store.database.dialect
    with pytest.raises(UnexpectedDatabaseError) as in_thread:
        dialect.hot_row(VERSIONS.statement, {USER_ID: 1})
    with pytest.raises(UnexpectedDatabaseError) as on_loop:
        asyncio.run(dialect.read_row(VERSIONS, {USER_ID: 1}))
    for caught in (in_thread, on_loop):
        assert USER_ID not in text_of(caught.value)
        assert "[SQL" not in text_of(caught.value)


def test_engine_hides_parameters(store: Store) -> None:
    """A use of the engine itself raises SQLAlchemy's own error."""
    with store.database.dialect.engine.connect() as connection, pytest.raises(sa.exc.IntegrityError) as caught:
        connection.execute(BAD_JOB, {"job_id": USER_ID})
    assert f"'{USER_ID}'" not in str(caught.value)
