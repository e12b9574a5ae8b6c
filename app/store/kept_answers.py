"""Answers to requests with an idempotency key, kept so that a request that is sent again acts once.

An answer is inserted at the end of the transaction that stores the effect of its request. The key is unique, so of
several transactions with one key the first to commit wins. The others are rolled back and raise
`AlreadyAnsweredError`; their callers then find the answer of the first.

What is kept of a request is a hash of its key and a fingerprint of its content. An answer may name one user, who is
noted beside it: when the user is deleted, the answer is emptied and the key stays, so that a late repetition does not
bring the user back. The fingerprint goes, too, since short contents could be found by trying all of them. An answer
that quotes refused input may name any user, so it is emptied whichever user is deleted.
"""

import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

import sqlalchemy as sa

from app.store.database import Database
from app.store.dialect import PointRead, Upsert
from app.store.schema import kept_answers

ANSWERS_KEPT = timedelta(hours=24)
MAX_KEPT_BYTES = 256 * 1024
"""Of a compressed body. The answer to a batch of 1,000 rows has 3 kB, and 100 kB if it quotes every row."""

FIND = PointRead(
    "SELECT fingerprint, status, body FROM kept_answers WHERE request_key = ?", str, ("fingerprint", "status", "body")
)
KEEP = Upsert(
    "kept_answers",
    columns=(
        ("request_key", "text"),
        ("fingerprint", "text"),
        ("status", "integer"),
        ("body", "bytea"),
        ("user_id", "text"),
        ("kept_at", "bigint"),
    ),
    key=("request_key",),
)

ANY_USER = ""
"""In place of the id of a user: the body quotes refused input, which may name any."""

GONE = ""
"""In place of the fingerprint of an answer that was emptied."""

T = TypeVar("T")
U = TypeVar("U")


class AlreadyAnsweredError(Exception):
    """Another request with this key was carried out meanwhile. Nothing was stored for this one."""


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with an idempotency key: the hash of the key, and a fingerprint that only an equal request has."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request that was carried out; `user_id`: the user whom `body` names, if any, or `ANY_USER`."""

    status: int
    body: bytes
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What is kept under a key.

    `body`: None if the answer was too large to be kept, or its user is deleted. Then the `fingerprint` is `GONE`.
    """

    fingerprint: str
    status: int
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Keep(Generic[T]):
    """Asks a write to keep the answer to its request in its transaction.

    `answer` makes the answer of the outcome of the write; None: nothing was stored, so none is kept.
    """

    request: KeyedRequest
    answer: Callable[[T], Answer | None]

    def of(self, convert: Callable[[U], T | None]) -> "Keep[U]":
        """The same for a write with another outcome, which `convert` translates."""

        def answer(outcome: U) -> Answer | None:
            converted = convert(outcome)
            return None if converted is None else self.answer(converted)

        return Keep(self.request, answer)


class KeptAnswers:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: str) -> KeptAnswer | None:
        with self._database.availability.reported():
            row = await self._database.dialect.read_row(FIND, key)
        if row is None:
            return None
        fingerprint, status, body = row
        return KeptAnswer(fingerprint, status, None if body is None else zlib.decompress(body))

    def carry_out(self, request: KeyedRequest, act: Callable[[], Answer]) -> None:
        """Stores what `act` writes and the answer that it returns in one transaction.

        Raises `AlreadyAnsweredError` if the key is taken.
        """
        with self._database.joined():
            self.keep([(request, act())])

    def keep(self, answers: Sequence[tuple[KeyedRequest, Answer]]) -> None:
        """Raises `AlreadyAnsweredError` if a key is taken or comes twice."""
        if not answers:
            return
        with self._database.writing() as connection:
            now = self._database.dialect.now(connection)
            rows = [
                (request.key, request.fingerprint, answer.status, _bounded(answer.body), answer.user_id, now)
                for request, answer in answers
            ]
            n_kept = self._database.dialect.upsert(connection, KEEP, list(zip(*rows, strict=True)))
            if n_kept < len(rows):
                raise AlreadyAnsweredError

    def purge(self) -> int:
        """Removes what was kept longer than `ANSWERS_KEPT`, by the clock of the database; returns how many."""
        with self._database.writing(uses_reserve=True) as connection:
            before = self._database.dialect.now(connection) - ANSWERS_KEPT // timedelta(microseconds=1)
            return connection.execute(sa.delete(kept_answers).where(kept_answers.c.kept_at < before)).rowcount


def empty_answers_of(connection: sa.Connection, user_ids: Collection[str]) -> None:
    """Empties the answers that name any of the users, and those that may name any. Their keys stay taken."""
    is_named = kept_answers.c.user_id.in_([*user_ids, ANY_USER])
    connection.execute(sa.update(kept_answers).where(is_named).values(body=None, user_id=None, fingerprint=GONE))


def _bounded(body: bytes) -> bytes | None:
    compressed = zlib.compress(body, level=1)
    return compressed if len(compressed) <= MAX_KEPT_BYTES else None
